"""One system with an operator: the engine in this process, and real workers where that matters."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from saga.client.operator import Operator
from saga.core.rows import StepKey, child_id
from saga.engine.attempt.work import Outcome, Work
from saga.engine.sweep.sweeper import Sweeper
from saga.engine.worker.process import WorkerProcess
from tests.faults.arena import Arena
from tests.faults.code import own_registry
from tests.faults.workers import Worker
from tests.operators import troubles
from tests.operators.code import sagas
from tests.operators.troubles import Troubles

_WORK = """
SELECT t.saga_id, t.position, t.undo, t.name FROM saga.step t
 WHERE t.kind = 'step' AND t.state IN ('ready', 'unknown') ORDER BY t.saga_id, t.position
"""
_NEWS = "SELECT id FROM saga.saga WHERE due_at IS NOT NULL AND status <> 'parked' ORDER BY id"
_SOON = """
SELECT 1 FROM saga.step WHERE due_at <= now() + interval '5 seconds' AND kind <> 'child'
"""
_HURRY = """
UPDATE saga.step SET due_at = now()
 WHERE due_at <= now() + interval '5 seconds' AND state IN ('retrying', 'unknown')
"""


@dataclass(slots=True)
class Stage:
    """Arena, troubles and an operator named Ann."""

    arena: Arena
    troubles: Troubles
    process: WorkerProcess
    sweeper: Sweeper
    ann: Operator

    def start(self, saga: Any, *args: Any, key: str = "one", **kwargs: Any) -> UUID:
        """Starts a saga and lets it go as far as it goes."""
        saga_id = self.arena.start(saga, *args, key=key, **kwargs).id
        self.run()
        return saga_id

    def run(self) -> None:
        """Whatever can be done now is done, retries included; timers do not pass."""
        rounds = 0
        while self._round():
            rounds += 1
            assert rounds < 200, self.arena.describe()

    def _round(self) -> bool:
        query = self.arena.records.query
        news, work = query(_NEWS), query(_WORK)
        for row in news:
            self.process.advance(row.id)
        for row in work:
            self.process.run_step(row.name, StepKey(row.saga_id, row.position, row.undo))
        query(_HURRY)
        self.sweeper.sweep()
        return bool(news or work or query(_SOON))

    def settle(self, work: Work, outcome: Outcome) -> None:
        """The thread that has this lease, or had it, comes back and goes on as it is told."""
        following = self.process.conductor.settle(work, outcome)
        if following is not None:
            self.arena.carry_out(self.process, following)

    # What came of it

    def status(self, saga_id: UUID) -> str:
        return self.arena.records.statuses()[saga_id]

    def states(self, saga_id: UUID) -> list[str]:
        """`name state` of each step, undos behind theirs."""
        rows = self.arena.records.query(
            "SELECT name, state FROM saga.step WHERE saga_id = %s ORDER BY position, undo", saga_id
        )
        return [f"{row.name} {row.state}" for row in rows]

    def step(self, saga_id: UUID, position: int, *, undo: bool = False) -> Any:
        return self.arena.records.steps(saga_id)[position, undo]

    def undone(self, saga_id: UUID) -> list[int]:
        """Positions in the order in which they were undone."""
        prefix = f"{saga_id}:"
        keys = [key for key in self.arena.ledger.undone if key.startswith(prefix)]
        return [int(key.removeprefix(prefix)) for key in keys]

    def stands(self) -> list[str]:
        """What was done and not undone, by name."""
        ledger = self.arena.ledger
        names = {entry.key: entry.name for entry in ledger.entries if entry.verb == "do"}
        return sorted(names[key] for key in ledger.applied if key not in ledger.undone)

    def child(self, saga_id: UUID, position: int) -> UUID:
        return child_id(saga_id, position)

    def audit(self) -> list[Any]:
        return self.arena.records.query("SELECT * FROM saga.audit ORDER BY id")

    def actors(self, saga_id: UUID) -> list[tuple[str | None, str, str | None]]:
        """Of what a person did to a saga: who, to what, why."""
        rows = self.arena.records.query(
            "SELECT actor, after, reason FROM saga.history "
            "WHERE saga_id = %s AND actor IS NOT NULL ORDER BY seq",
            saga_id,
        )
        return [tuple(row) for row in rows]

    def worker(self, failpoints: str = "", **options: Any) -> Worker:
        """A real worker process with the code of these tests."""
        environment = {troubles.FOLDER: str(self.troubles.folder)}
        modules: Sequence[str] = ("tests.operators.sagas",)
        return self.arena.worker(failpoints, environment=environment, modules=modules, **options)


@contextmanager
def staged(arena: Arena) -> Generator[Stage]:
    """A stage on an arena."""
    made = Troubles(arena.folder / "troubles")
    with (
        pytest.MonkeyPatch.context() as patch,
        arena.inline(code=own_registry(sagas)) as process,
        arena.sweeper() as sweeper,
    ):
        patch.setenv(troubles.FOLDER, str(made.folder))
        yield Stage(arena, made, process, sweeper, arena.client.operator("ann"))

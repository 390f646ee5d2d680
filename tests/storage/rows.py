"""Rows as the engine writes them: each state is reached by legal moves, each move is in history."""

from collections import deque
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, func, insert, select, update

from saga import models
from saga.core.states import (
    ENDED,
    SAGA_MOVES,
    SETTLED,
    STEP_MOVES,
    SagaStatus,
    StepState,
)

NOW = func.clock_timestamp()
_TRIED = (StepState.SUCCEEDED, StepState.FAILED, StepState.BLOCKED)  # reached by an attempt here


def path_to(goal: Any, moves: Any, first: Any = None) -> list[Any]:
    """The shortest legal way from nothing to a state, through `first` if given."""
    queue = deque([[first]] if first is not None else [[state] for state in sorted(moves[None])])
    while queue:
        path = queue.popleft()
        if path[-1] == goal:
            return path
        queue.extend([*path, state] for state in sorted(moves[path[-1]]) if state not in path)
    raise AssertionError(f"no way to {goal}")


class Rows:
    """Inserts sagas, steps and workers, and moves them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def saga(
        self,
        name: str = "order",
        status: SagaStatus = SagaStatus.RUNNING,
        *,
        age: timedelta = timedelta(0),
        **columns: Any,
    ) -> UUID:
        """A saga that was started `age` ago."""
        saga_id = columns.pop("id", None) or uuid4()
        started = datetime.now(UTC) - age
        values: dict[str, Any] = {
            "version": 1,
            "queue": "sagas",
            "input": {},
            "created_at": started,
            **columns,
        }
        late = {key: values.pop(key) for key in ("result", "error", "note") if key in values}
        self.connection.execute(
            insert(models.saga).values(id=saga_id, name=name, status="running", **values)
        )
        self._note(saga_id, None, None, None, "running", seq=1)
        before = SagaStatus.RUNNING
        for after in path_to(status, SAGA_MOVES)[1:]:
            ended: dict[str, Any] = {"ended_at": NOW if after in ENDED else None}
            if after == SagaStatus.COMPENSATING:
                ended["undo_cause"] = values.get("undo_cause", "failure")
            self._update_saga(saga_id, status=after, **ended)
            self._note(saga_id, None, None, before, after)
            before = after
        if late:
            self._update_saga(saga_id, **late)
        return saga_id

    def step(
        self,
        saga_id: UUID,
        position: int,
        state: StepState = StepState.SUCCEEDED,
        *,
        undo: bool = False,
        kind: str = "step",
        name: str = "reserve",
        worker: int | None = None,
        reason: str | None = None,
        actor: str | None = None,
        path: list[StepState] | None = None,
        **columns: Any,
    ) -> None:
        """A step (or the undo of one) that came to `state`."""
        first = StepState.WAITING if kind != "step" else StepState.READY
        states = path or path_to(state, STEP_MOVES, first)
        if kind == "step" and path is None and state in _TRIED:
            states = [StepState.READY, StepState.RUNNING, state]
        queue = "stock" if kind == "step" else None
        values = {"queue": queue, "args": {"item": "a"}, "after": 0, **columns}
        late = {k: values.pop(k) for k in ("result", "error", "in_doubt", "note") if k in values}
        key = {"saga_id": saga_id, "position": position, "undo": undo}
        self.connection.execute(
            insert(models.step).values(**key, kind=kind, name=name, state=states[0], **values)
        )
        self._note(saga_id, position, undo, None, states[0])
        attempt = 0
        for number, (before, after) in enumerate(pairwise(states)):
            changes: dict[str, Any] = {"state": after, "worker_id": None}
            if after == StepState.RUNNING:
                attempt += 1
                changes |= {"worker_id": worker or 1, "attempt": attempt, "started_at": NOW}
            changes["settled_at"] = NOW if after in SETTLED else None
            if after in SETTLED:
                changes["due_at"] = None
            self._update_step(key, **changes)
            is_last = number == len(states) - 2
            self._note(
                saga_id,
                position,
                undo,
                before,
                after,
                attempt=attempt or None,
                worker_id=(worker or 1) if attempt else None,
                reason=reason if is_last else None,
                actor=actor if is_last else None,
            )
        if late:
            self._update_step(key, **late)

    def worker(self, name: str = "host:1", *queues: str, **columns: Any) -> int:
        """A live worker."""
        values: dict[str, Any] = {
            "host": "host",
            "pid": 1,
            "queues": list(queues),
            "lease_until": func.now() + timedelta(seconds=10),
            **columns,
        }
        query = insert(models.worker).values(name=name, **values).returning(models.worker.c.id)
        return self.connection.execute(query).scalar_one()

    def _update_saga(self, saga_id: UUID, **changes: Any) -> None:
        self.connection.execute(
            update(models.saga).where(models.saga.c.id == saga_id).values(**changes)
        )

    def _update_step(self, key: dict[str, Any], **changes: Any) -> None:
        self.connection.execute(update(models.step).filter_by(**key).values(**changes))

    def _note(
        self,
        saga_id: UUID,
        position: int | None,
        undo: bool | None,
        before: str | None,
        after: str,
        *,
        seq: int | None = None,
        **more: Any,
    ) -> None:
        table = models.history
        if seq is None:
            latest = select(func.max(table.c.seq)).where(table.c.saga_id == saga_id)
            seq = self.connection.execute(latest).scalar_one() + 1
            self._update_saga(saga_id, seq=seq)
        row = {"position": position, "undo": undo, "before": before, "after": after, **more}
        self.connection.execute(insert(table).values(saga_id=saga_id, seq=seq, **row))

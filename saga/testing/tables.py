"""The engine's tables in memory, with a clock that moves when it is told to."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol
from uuid import UUID

from saga.core.intent import Intent
from saga.core.rows import StepKey, StepRow
from saga.core.states import REOPENINGS, SAGA_MOVES, STEP_MOVES, SagaStatus, StepState
from saga.errors import SagaError


class Note(NamedTuple):
    """An entry of a saga's history. `position` None: the saga itself moved."""

    position: int | None
    undo: bool
    before: str | None
    after: str
    attempt: int | None = None
    reason: str | None = None


@dataclass(slots=True)
class Letter:
    """A signal that was accepted."""

    event: int
    at: float
    name: str
    payload: str
    consumed_by: int | None = None


@dataclass(slots=True)
class Step:
    """A row of `saga.step`."""

    key: StepKey
    intent: Intent
    state: str
    after: int
    asked_at: float
    deadline: float | None = None
    due_at: float | None = None
    planned: int = 0  # the number of the write that has planned it
    worker_id: int | None = None
    attempt: int = 0
    forgiven: int = 0
    lost: int = 0
    wakes: int = 0
    result: str | None = None
    error: str | None = None
    in_doubt: bool = False
    event: int | None = None
    settled_at: float | None = None
    note: str | None = None

    @property
    def row(self) -> StepRow:
        """As decisions see it."""
        return StepRow(
            *self.key,
            self.intent,
            self.state,
            self.result,
            self.error,
            self.in_doubt,
            self.after,
            self.event,
            self.attempt,
        )


@dataclass(slots=True)
class Saga:
    """A row of `saga.saga`, with the rows of the other tables that are its own."""

    id: UUID
    name: str
    version: int
    queue: str
    input: str
    created_at: float
    due_at: float | None = None
    parent: UUID | None = None
    parent_position: int | None = None
    status: str = SagaStatus.RUNNING
    events: int = 0
    applied: int = 0
    fence: int = 0
    wakes: int = 0
    result: str | None = None
    error: str | None = None
    exposed: str | None = None
    undo_cause: str | None = None
    undo_only: frozenset[int] | None = None
    undo_from: int | None = None
    note: str | None = None
    steps: dict[tuple[int, bool], Step] = field(default_factory=dict[tuple[int, bool], Step])
    letters: list[Letter] = field(default_factory=list[Letter])
    history: list[Note] = field(default_factory=list[Note])

    @property
    def seq(self) -> int:
        """The number of the last entry in its history."""
        return len(self.history)

    @property
    def rows(self) -> list[StepRow]:
        """All its steps, by position."""
        return [self.steps[key].row for key in sorted(self.steps)]

    def move(self, after: str, reason: str | None = None) -> None:
        """To another status; what the database would refuse is refused here."""
        if SagaStatus(after) not in SAGA_MOVES[SagaStatus(self.status)]:
            raise IllegalMove(f"saga {self.name} moved from {self.status} to {after}")
        self.history.append(Note(None, False, self.status, after, None, reason))
        self.status = after

    def move_step(
        self, step: Step, after: str, attempt: int | None = None, reason: str | None = None
    ) -> None:
        """The same of a step."""
        before = StepState(step.state)
        if StepState(after) not in STEP_MOVES[before] and not _reopens(step, after):
            raise IllegalMove(f"step {step.intent.name} moved from {before} to {after}")
        self.tell(step.key, step.state, after, attempt, reason)
        step.state = after

    def tell(
        self,
        key: StepKey,
        before: str | None,
        after: str,
        attempt: int | None = None,
        reason: str | None = None,
    ) -> None:
        """Another entry of the history."""
        self.history.append(Note(key.position, key.undo, before, after, attempt, reason))


class IllegalMove(SagaError):
    """The database would have refused it."""


class Witness(Protocol):
    """Sees each write, before it is done and when it is there for good."""

    def before(self, what: str) -> None: ...

    def after(self, what: str) -> None: ...


class Tables:
    """All of them. `now` is the clock, epoch seconds."""

    def __init__(self, now: float, witness: Witness | None = None) -> None:
        self.now = now
        self.sagas: dict[UUID, Saga] = {}
        self.workers: set[int] = set()
        self.writes = 0
        self.undone: list[StepKey] = []
        """Undos that succeeded, in order."""
        self._witness = witness

    @contextmanager
    def write(self, what: str) -> Generator[None]:
        """All inside is one transaction: it is there, or not at all."""
        if self._witness is not None:
            self._witness.before(what)
        yield
        self.writes += 1
        if self._witness is not None:
            self._witness.after(what)

    def step(self, key: StepKey) -> Step | None:
        """The row of this key."""
        saga = self.sagas.get(key.saga_id)
        return saga and saga.steps.get((key.position, key.undo))

    def steps(self) -> Iterable[Step]:
        """All of all sagas, oldest first."""
        for saga in list(self.sagas.values()):
            yield from list(saga.steps.values())


def _reopens(step: Step, after: str) -> bool:
    """See `states.REOPENINGS`."""
    return (step.state, after) in REOPENINGS and step.key.undo and step.in_doubt

"""What goes into the hot statements and what comes out of them."""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from uuid import UUID

from saga.core.intent import Intent
from saga.core.loop.events import AskKind, Outcome
from saga.core.rows import StepKey


class Seen(NamedTuple):
    """What a decision knew of its saga; it lands only if that still holds."""

    events: int
    applied: int
    fence: int


MANY, LARGE = 32, 500_000
"""A saga with more new events than `MANY`, each of which may be a mebibyte, is read by itself if
its journal has more bytes than `LARGE`, as they are stored.
"""


class Known(NamedTuple):
    """What the caller of a load knows of a saga already; by default nothing.

    `seq`: of its history, whose later entries tell which steps have changed since; `width`: how
    much it waits for.
    """

    saga_id: UUID
    seq: int = -1
    seen: Seen = Seen(-1, -1, -1)
    width: int = 0


class Landed(NamedTuple):
    """A decision that has been written. `awaited`: somebody waits for the saga's end."""

    awaited: bool
    fence: int
    seq: int


class Settled(NamedTuple):
    """The end of a step. `event`: relative to what was seen; None if the journal needs none."""

    position: int
    undo: bool
    state: str
    attempt: int | None
    before: str
    result: str | None
    error: str | None
    in_doubt: bool
    event: int | None
    at: float
    reason: str | None = None
    traceback: str | None = None


class NewStep(NamedTuple):
    """A step to be written before anything is dispatched.

    `due` is absolute (database clock, epoch seconds), `due_in` in seconds from the landing.
    """

    position: int
    undo: bool
    intent: Intent
    state: str
    after: int
    due: float | None
    due_in: float | None


FRESH_LIST: Any = list
"""For fields of what each step makes: `list[NewStep]()` takes ten times as long as `list()`."""


@dataclass(slots=True)
class Landing:
    """A decision about one saga: all of it lands, or nothing does."""

    saga_id: UUID
    seen: Seen
    before: str
    settled: list[Settled] = field(default_factory=FRESH_LIST)
    asked: list[NewStep] = field(default_factory=FRESH_LIST)
    status: str | None = None
    result: str | None = None
    error: str | None = None
    exposed: str | None = None
    attributes: str | None = None  # which join those that it has
    undo_cause: str | None = None
    traceback: str | None = None  # of the code that has failed
    note: str | None = None
    due_in: float | None = None
    consumed: list[tuple[int, int]] = field(default_factory=FRESH_LIST)
    """Signals that waits have taken: position and event."""

    @property
    def new_events(self) -> int:
        return sum(1 for s in self.settled if s.event is not None)

    @property
    def grants(self) -> bool:
        """Whether its worker takes steps with it, and so must not have been taken for dead."""
        return any(asked.state == "running" for asked in self.asked)

    @property
    def transitions(self) -> int:
        return len(self.settled) + len(self.asked) + (self.status is not None)


class Move(NamedTuple):
    """One step's transition that needs no decision. `attempt` None: whoever holds it. `void`: why
    the attempt that it ends is none of those that its step has: its worker was lost, or nobody had
    begun it.
    """

    key: StepKey
    before: str
    after: str
    attempt: int | None = None
    result: str | None = None
    error: str | None = None
    in_doubt: bool | None = None
    is_event: bool = False
    at: float | None = None
    due_in: float | None = None
    fences: bool = False
    worker_id: int | None = None
    actor: str | None = None
    reason: str | None = None
    traceback: str | None = None
    note: str | None = None
    void: Literal["lost", "not begun"] | None = None


class Claimed(NamedTuple):
    """A step this worker now holds the lease of."""

    saga_id: UUID
    position: int
    undo: bool
    intent: Intent
    attempt: int
    in_doubt: bool
    saga_name: str
    events: int
    applied: int
    fence: int
    forgiven: int
    lost: int
    result: str | None
    traceparent: str | None

    @property
    def key(self) -> StepKey:
        return StepKey(self.saga_id, self.position, self.undo)


class LoadedStep(NamedTuple):
    """A step as replay needs it."""

    position: int
    undo: bool
    kind: AskKind
    name: str
    state: Outcome
    event: int | None
    at: float | None
    payload: str | None
    digest: int | None
    args: str | None  # only where there is no digest
    in_doubt: bool


class LoadedSignal(NamedTuple):
    """A signal as replay needs it."""

    event: int
    at: float
    name: str
    payload: str


class Loaded(NamedTuple):
    """One consistent snapshot of a saga, beyond what the caller had seen."""

    saga_id: UUID
    name: str
    version: int
    queue: str
    status: str
    input: str
    seen: Seen
    seq: int
    is_large: bool  # then it has neither steps nor signals yet
    created_at: float
    undo_cause: str | None
    due: bool
    parent: UUID | None
    exposed: str | None
    traceparent: str | None
    losses: int
    steps: list[LoadedStep]
    signals: list[LoadedSignal]

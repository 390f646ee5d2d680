"""A saga as this process last saw it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from saga.core.declare.registry import registry
from saga.core.loop.events import Event, Recorded
from saga.core.replay import Run
from saga.core.rows import StepRow
from saga.core.states import DECIDABLE, ENDED, OPEN, REOPENABLE, SagaStatus
from saga.core.undo.plan import EVERYTHING, Choice
from saga.engine.advance.stages import Attempted, Decided
from saga.storage.hot.rows import LARGE, Known, Landed, Landing, Loaded, Seen
from saga.storage.turning.stuck import MOST_LOSSES
from saga.storage.turning.take_back import TAKEN_BACK, resumed_at

_SAGA, _ENTRY = 8_000, 700  # bytes of a coroutine with its loop, and of an entry in its journal

_NONE: Mapping[int, str | None] = {}


@dataclass(slots=True)
class Live:
    """What a decision needs; caught up by applying only newer history.

    `open` holds the kinds of the steps that were asked for and have not settled, by (position,
    undo); `rows` all steps, only while the saga compensates.
    """

    saga_id: UUID
    name: str
    version: int
    queue: str
    status: str
    seen: Seen
    seq: int  # of the history, at least
    due: bool
    parent: UUID | None = None
    exposed: str | None = None
    attributes: str | None = None  # as its code has last set them here
    started_at: float = 0.0  # epoch seconds
    traceparent: str | None = None
    losses: int = 0
    undo_cause: str | None = None
    choice: Choice = EVERYTHING
    run: Run | None = None
    open: dict[tuple[int, bool], str] = field(default_factory=dict[tuple[int, bool], str])
    rows: list[StepRow] | None = None
    is_ahead: bool = False  # its code has decided on what did not land
    size: int = 0  # about so many bytes

    @classmethod
    def of(cls, loaded: Loaded) -> "Live":
        live = cls(
            loaded.saga_id,
            loaded.name,
            loaded.version,
            loaded.queue,
            loaded.status,
            loaded.seen,
            loaded.seq,
            loaded.due,
            loaded.parent,
            loaded.exposed,
            None,
            loaded.created_at,
            loaded.traceparent,
            size=_SAGA + len(loaded.input),
        )
        live.take(loaded)
        return live

    def take(self, loaded: Loaded) -> None:
        """Moves on to a newer snapshot (everything but the coroutine)."""
        self.status, self.seen, self.due = loaded.status, loaded.seen, loaded.due
        self.seq, self.losses = loaded.seq, loaded.losses
        self.undo_cause, self.exposed = loaded.undo_cause, loaded.exposed
        self.rows = None
        self.grow(row.payload for row in (*loaded.steps, *loaded.signals))
        for row in loaded.steps:
            if row.state in OPEN:
                self.open[row.position, row.undo] = row.kind
            else:
                self.open.pop((row.position, row.undo), None)

    @property
    def known(self) -> Known:
        """What a load need not tell any more."""
        return Known(self.saga_id, self.seq, self.seen, len(self.open))

    @property
    def as_landed(self) -> Landed:
        """Of a decision that writes nothing: the saga as it was seen."""
        return Landed(False, self.seen.fence, self.seq)

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def is_stuck(self) -> bool:
        """Whether its code is not to run again before somebody says that it is mended."""
        return self.losses >= MOST_LOSSES

    @property
    def lacks_rows(self) -> bool:
        """Whether it compensates, and its steps are still to be read."""
        return self.status == SagaStatus.COMPENSATING and self.rows is None

    def is_rewritten(self, loaded: Loaded) -> bool:
        """Somebody stepped in, and may have taken a failure out of the journal we applied."""
        if self.is_ahead and loaded.seen.applied != self.seen.applied:
            return True
        if loaded.seen.fence == self.seen.fence:
            return False
        return not self.status == loaded.status == SagaStatus.COMPENSATING

    def grow(self, payloads: Iterable[str | None]) -> None:
        """More of its journal is in memory now."""
        for payload in payloads:
            self.size += _ENTRY + len(payload or "")

    @property
    def has_kept_up(self) -> bool:
        """Whether the coroutine has applied all that was seen."""
        return self.run is not None and self.run.applied == self.seen.events

    @property
    def is_large(self) -> bool:
        """Whether reading all of it is nothing to let others wait for."""
        return self.size > LARGE

    def lands_directly(self, attempted: Attempted) -> bool:
        """Whether an outcome can land with the decision it leads to: nothing else can settle at
        the same time, and the lease is still this process's own.
        """
        return (
            self.status in DECIDABLE
            and attempted.work.fence == self.seen.fence  # else only the record of it can tell
            and attempted.settles_first
            and not attempted.work.lost  # else it is recorded whatever the code makes of it
            and attempted.key in self.open  # else it has landed before its reply was lost
            and all(kind != "step" or key == attempted.key for key, kind in self.open.items())
        )

    def take_recorded(self, attempted: Attempted, number: int) -> tuple[Event] | None:
        """An outcome just recorded, if it is the very next event: then nothing is to be read."""
        if self.run is None or self.status != SagaStatus.RUNNING or number != self.seen.events + 1:
            return None
        event = attempted.event(number)
        self.seen = Seen(number, self.seen.applied, self.seen.fence)
        self.open.pop(attempted.key, None)
        self.grow([event.payload])
        return (event,)

    def stays_ahead(self, decided: Decided) -> bool:
        """A decision has not landed: whether the coroutine can go on from it. Not if it has seen an
        outcome whose number somebody else's may have now.
        """
        landing = decided.landing
        if landing is None or landing.new_events or self.run is None:
            return False
        self.run.put_back()
        self.is_ahead = True
        return True

    def confirm(self, decided: Decided, landing: Landing, landed: Landed) -> None:
        """A decision has landed: what is known of the saga moves on with it."""
        events = landing.seen.events + landing.new_events
        self.is_ahead = False
        self.seen = Seen(events, events, landed.fence)
        self.seq = landed.seq
        self.due = landing.due_in is not None
        self.status = landing.status or self.status
        self.undo_cause = landing.undo_cause or self.undo_cause
        self.exposed = landing.exposed or self.exposed
        self.attributes = landing.attributes or self.attributes
        for key in decided.closed:
            self.open.pop(key, None)
        self.open.update(decided.opened)
        self.rows = decided.rows
        self.grow(settled.result for settled in landing.settled)

    def close(self) -> None:
        if self.run is not None:
            self.run.close()
            self.run = None


def events_of(loaded: Loaded) -> list[Event]:
    """The journal's entries in a snapshot, in order."""
    settled = [
        Event(row.event, row.at or 0.0, "settled", row.position, row.undo, row.state, row.payload)
        for row in loaded.steps
        if row.event is not None
    ]
    signals = [
        Event(s.event, s.at, "taken_back", resumed_at(s.payload))
        if s.name == TAKEN_BACK
        else Event(s.event, s.at, "signal", payload=s.payload, name=s.name)
        for s in loaded.signals
    ]
    return sorted(settled + signals, key=lambda event: event.number) if signals else settled


def recorded_of(loaded: Loaded, arguments: Mapping[int, str | None] = _NONE) -> list[Recorded]:
    """The commands that the journal holds, as far as the snapshot shows them; with `arguments`
    where digests were not enough to go by.
    """
    return [
        Recorded(
            row.position,
            row.undo,
            row.kind,
            registry.renamed(row.name, row.undo) if row.kind == "step" else row.name,
            row.state not in OPEN,
            row.digest,
            row.args if row.undo else arguments.get(row.position, row.args),
            row.event is None and row.state in REOPENABLE and not row.undo,
            row.in_doubt,
        )
        for row in loaded.steps
    ]

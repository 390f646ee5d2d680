"""A saga as this process last saw it, and the small cache of them."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from saga.core.loop.events import Event, Recorded
from saga.core.replay import Run
from saga.core.rows import StepRow
from saga.core.states import OPEN
from saga.core.undo.plan import EVERYTHING, Choice
from saga.storage.hot.rows import Loaded, Seen

_NONE: Mapping[int, str] = {}


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
    due: bool
    parent: UUID | None = None
    exposed: str | None = None
    started_at: float = 0.0  # epoch seconds
    traceparent: str | None = None
    undo_cause: str | None = None
    choice: Choice = EVERYTHING
    run: Run | None = None
    open: dict[tuple[int, bool], str] = field(default_factory=dict[tuple[int, bool], str])
    last_position: int = 0
    rows: list[StepRow] | None = None

    @classmethod
    def of(cls, loaded: Loaded) -> "Live":
        live = cls(
            loaded.saga_id,
            loaded.name,
            loaded.version,
            loaded.queue,
            loaded.status,
            loaded.seen,
            loaded.due,
            loaded.parent,
            loaded.exposed,
            loaded.created_at,
            loaded.traceparent,
        )
        live.take(loaded)
        return live

    def take(self, loaded: Loaded) -> None:
        """Moves on to a newer snapshot (everything but the coroutine)."""
        self.status, self.seen, self.due = loaded.status, loaded.seen, loaded.due
        self.undo_cause, self.exposed = loaded.undo_cause, loaded.exposed
        self.rows = None
        for row in loaded.steps:
            self.last_position = max(self.last_position, row.position)
            if row.state in OPEN:
                self.open[row.position, row.undo] = row.kind
            else:
                self.open.pop((row.position, row.undo), None)

    @property
    def has_kept_up(self) -> bool:
        """Whether the coroutine has applied all that was seen."""
        return self.run is not None and self.run.applied == self.seen.events

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
        Event(s.event, s.at, "signal", payload=s.payload, name=s.name) for s in loaded.signals
    ]
    return sorted(settled + signals, key=lambda event: event.number) if signals else settled


def recorded_of(loaded: Loaded, arguments: Mapping[int, str] = _NONE) -> list[Recorded]:
    """The commands that the journal holds, as far as the snapshot shows them; with `arguments`
    where digests were not enough to go by.
    """
    return [
        Recorded(
            row.position,
            row.undo,
            row.kind,
            row.name,
            row.state not in OPEN,
            row.digest,
            row.args if row.undo else arguments.get(row.position, row.args),
        )
        for row in loaded.steps
    ]


class Cache:
    """The sagas this process worked on last. Not for two threads at once."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._live: OrderedDict[UUID, Live] = OrderedDict()

    def get(self, saga_id: UUID) -> Live | None:
        live = self._live.get(saga_id)
        if live is None:
            return None
        if live.status != "compensating" and not live.has_kept_up:
            # A batch took in news and then decided nothing: what comes later would not fit.
            self.drop(saga_id)
            return None
        # A batch must not push out the sagas that it is about to decide upon itself.
        self._live.move_to_end(saga_id)
        return live

    def put(self, live: Live) -> None:
        self._live[live.saga_id] = live
        self._live.move_to_end(live.saga_id)
        while len(self._live) > self._size:
            self._live.popitem(last=False)[1].close()

    def drop(self, saga_id: UUID) -> None:
        live = self._live.pop(saga_id, None)
        if live is not None:
            live.close()

    def clear(self) -> None:
        for saga_id in list(self._live):
            self.drop(saga_id)

    def __len__(self) -> int:
        return len(self._live)

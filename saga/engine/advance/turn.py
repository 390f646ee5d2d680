"""One saga's share of a batch, and what comes of it. No SQL here."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast
from uuid import UUID

from saga.core.loop.events import Event
from saga.core.rows import StepKey, StepRow
from saga.core.states import DECIDABLE, ENDED
from saga.engine.advance.live import Live
from saga.engine.advance.request import Request
from saga.engine.attempt.work import Work
from saga.storage.hot.rows import Landed, Landing, Loaded, Move, Seen, Settled
from saga.wakeups.message import WakeUp

log = logging.getLogger("saga.engine")


@dataclass(frozen=True, slots=True)
class Hold:
    """A saga that does not turn round because of a pivot: what was seen of it, and the failures
    that become work items; none: it waits for the pivot's end.
    """

    seen: Seen
    block: tuple[StepRow, ...]


@dataclass(slots=True)
class Turn:
    """What the batch wants of one saga, and what came of it."""

    saga_id: UUID
    requests: list[Request] = field(default_factory=list[Request])
    live: Live | None = None
    loaded: Loaded | None = None
    landing: Landing | None = None
    grants: list[tuple[Request, Work]] = field(default_factory=list[tuple[Request, Work]])
    wakeups: list[WakeUp] = field(default_factory=list[WakeUp])
    opened: dict[tuple[int, bool], str] = field(default_factory=dict[tuple[int, bool], str])
    closed: list[tuple[int, bool]] = field(default_factory=list[tuple[int, bool]])
    dropped: list[tuple[int, bool]] = field(default_factory=list[tuple[int, bool]])
    recalled: list[int] = field(default_factory=list[int])  # positions of children
    hold: Hold | None = None
    rows: list[StepRow] | None = None
    needs_rows: bool = False
    goes_on: bool = False
    conflicts: int = 0
    doubt: tuple[int, ...] = ()  # positions whose digests differ from the code's
    arguments: dict[int, str] = field(default_factory=dict[int, str])  # stored at these
    news: list[Event] | None = None  # own recorded outcomes, when nobody else's came between

    @property
    def outcomes(self) -> list[Request]:
        return [r for r in self.requests if r.settle is not None and not r.recorded and not r.busy]

    @property
    def must_record(self) -> bool:
        """Whether outcomes must land alone: something else may settle at the same time."""
        outcomes = self.outcomes
        if not outcomes:
            return False
        live = self.live
        if live is None or self.conflicts or live.status not in DECIDABLE:
            return True
        if any(r.settle.fence != live.seen.fence for r in outcomes if r.settle):
            return True  # the lease may be another's by now: only the record of it can tell
        if not all(_is_new_and_final(r) for r in outcomes):
            return True
        mine = {(r.settle.key.position, r.settle.key.undo) for r in outcomes if r.settle}
        if not mine <= live.open.keys():
            return True  # it may have landed before its reply was lost
        return any(kind == "step" and key not in mine for key, kind in live.open.items())

    @property
    def must_load(self) -> bool:
        """Whether there may be news, or nothing is known at all."""
        live = self.live
        if live is None or (live.status == "compensating" and live.rows is None):
            return True
        return (not self.outcomes and self.news is None) or self.conflicts > 0

    def moves(self, worker_id: int) -> Iterator[Move]:
        """The outcomes as transitions by themselves."""
        for request in self.outcomes:
            work, outcome = request.settle, request.outcome
            if work is None or outcome is None:
                continue
            yield Move(
                work.key,
                "running",
                outcome.state,
                work.attempt,
                outcome.result,
                outcome.error,
                outcome.in_doubt,
                is_event=outcome.is_final or (work.key.undo and outcome.state == "blocked"),
                fences=outcome.state == "blocked",
                at=request.at if outcome.is_final else None,
                due_in=outcome.retry_in,
                worker_id=worker_id,
                reason=outcome.reason,
            )

    def was_recorded(self, key: StepKey, event: int | None, certain: bool) -> None:
        for request in self.requests:
            if request.settle is not None and request.settle.key == key:
                request.recorded, request.busy = certain, not certain
                # A retry is recorded, too, but is no event: the number it comes back with is that
                # of somebody else's.
                final = request.outcome is not None and request.outcome.is_final
                request.event = event if final else None

    def take_own_news(self) -> None:
        """Outcomes just recorded, one after the other behind what is known: nothing to read."""
        live = self.live
        if live is None or live.run is None or live.status != "running" or self.conflicts:
            return
        mine = sorted(
            ((r.event, r) for r in self.requests if r.event is not None), key=lambda pair: pair[0]
        )
        first = live.seen.events + 1
        if len(mine) < len(self.requests) or [n for n, _ in mine] != list(
            range(first, first + len(mine))
        ):
            return
        self.news = [_event_of(request, number) for number, request in mine]
        live.seen = Seen(first + len(mine) - 1, live.seen.applied, live.seen.fence)
        for event in self.news:
            live.open.pop((event.position, event.undo), None)

    def start_over(self) -> None:
        """The decision did not land: forget it, and read before the next one."""
        self.conflicts += 1
        self.live = self.loaded = self.landing = self.rows = None
        self.grants, self.wakeups, self.dropped, self.closed = [], [], [], []
        self.recalled, self.hold = [], None
        self.opened = {}
        self.needs_rows = self.goes_on = False
        self.news = None

    def give_up(self) -> None:
        """Too many conflicts for one batch: the threads come again."""
        for request in self.requests:
            request.busy = True

    @property
    def has_ended(self) -> bool:
        return self.landing is not None and self.landing.status in ENDED

    def confirm(self, landed: Landed | None) -> None:
        """The landing landed: what is known of the saga moves on with it."""
        live, landing = self.live, self.landing
        if live is None or landing is None or landed is None:
            return
        events = landing.seen.events + landing.new_events
        live.seen = Seen(events, events, landed.fence)
        live.due = landing.due_in is not None
        live.status = landing.status or live.status
        live.undo_cause = landing.undo_cause or live.undo_cause
        live.exposed = landing.exposed or live.exposed
        for key in self.closed:
            live.open.pop(key, None)
        live.open.update(self.opened)
        live.rows = self.rows
        for asked in landing.asked:
            live.last_position = max(live.last_position, asked.position)

    def as_landed(self, work: Work) -> Work:
        """A lease that was granted by the landing, which may have raised the saga's fence."""
        fence = self.live.seen.fence if self.live else work.fence
        return work if work.fence == fence else replace(work, fence=fence)

    def slots(self) -> list[Request]:
        """The threads that can take a step and have none yet."""
        taken = {id(request) for request, _ in self.grants}
        return [r for r in self.requests if r.may_go_on and id(r) not in taken]

    def settle_outcomes(self, landing: Landing) -> None:
        """Puts the outcomes of this turn into a landing, as the journal's next events."""
        for number, request in enumerate(self.outcomes, 1):
            work, outcome = request.settle, request.outcome
            if work is None or outcome is None:
                continue
            landing.settled.append(
                Settled(
                    work.key.position,
                    work.key.undo,
                    outcome.state,
                    work.attempt,
                    "running",
                    outcome.result,
                    outcome.error,
                    outcome.in_doubt,
                    number,
                    request.at,
                    outcome.reason,
                )
            )
            self.closed.append((work.key.position, work.key.undo))

    def record_first(self) -> None:
        """Record the outcomes by themselves, then read and decide anew."""
        live = self.live
        self.start_over()
        if live is not None:
            live.close()
        self.goes_on = True


def _event_of(request: Request, number: int) -> Event:
    """A recorded outcome as the journal holds it."""
    work, outcome = request.settle, request.outcome
    assert work is not None
    assert outcome is not None
    payload = outcome.result or outcome.error
    key = work.key
    return Event(
        number, request.at, "settled", key.position, key.undo, cast("Any", outcome.state), payload
    )


def _is_new_and_final(request: Request) -> bool:
    """Whether it settles its step for good. An undo that was tried before may have its number in
    the journal already.
    """
    work, outcome = request.settle, request.outcome
    if work is None or outcome is None or (work.key.undo and work.attempt > 1):
        return False
    return outcome.is_final


PARKED_RETRY_IN = 30.0  # seconds


def read_arguments(turn: Turn, live: Live, positions: tuple[int, ...]) -> bool:
    """Decides anew, with the arguments at these positions as they are stored."""
    if turn.outcomes:
        turn.record_first()
        return True
    live.close()
    turn.start_over()
    turn.doubt, turn.goes_on = positions, True
    return True


def park(turn: Turn, live: Live, diff: str, arguments: str = "") -> bool:
    """Parks a saga that is not parked yet; whether the turn goes on. `arguments` are not logged."""
    if turn.outcomes:
        turn.record_first()
        return True
    live.close()
    if live.status == "parked":
        return False
    log.error("saga %s is parked: its code does not fit its history\n%s", live.saga_id, diff)
    turn.start_over()
    turn.live = live
    turn.landing = Landing(
        turn.saga_id,
        live.seen,
        live.status,
        status="parked",
        note=diff + arguments,
        due_in=PARKED_RETRY_IN,
    )
    return True

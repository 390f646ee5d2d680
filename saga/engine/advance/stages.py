"""What a step is on its way, one record a stage: each is made of the one before.

    Claimed -> Attempted -> Recorded, or direct -> Decided -> landed

An outcome goes directly into the decision it leads to where nothing else can have happened to its
saga; it is recorded by itself where something may have.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from saga.core.loop.events import Event
from saga.core.rows import StepRow
from saga.core.states import ENDED, SagaStatus
from saga.engine.attempt.work import Outcome, Work
from saga.storage.hot.rows import FRESH_LIST, Landing, Move, NewStep, Seen, Settled
from saga.wakeups.message import WakeUp

_FRESH_DICT: Any = dict

Key = tuple[int, bool]
"""A step within its saga: its position, and whether its undo is meant."""


class Attempted(NamedTuple):
    """An attempt has ended, at a time of the database's clock."""

    work: Work
    outcome: Outcome
    at: float

    @property
    def key(self) -> Key:
        return self.work.key.position, self.work.key.undo

    @property
    def settles_first(self) -> bool:
        """Whether it settles its step for good, and for the first time. An undo that was tried
        before may have its number in the journal already.
        """
        return self.outcome.is_final and not (self.work.key.undo and self.work.attempt > 1)

    def move(self, worker_id: int) -> Move:
        """The outcome as a transition by itself."""
        work, outcome = self.work, self.outcome
        return Move(
            work.key,
            "running",
            outcome.state,
            work.attempt,
            outcome.result,
            outcome.error,
            outcome.in_doubt,
            is_event=outcome.is_final or (work.key.undo and outcome.state == "blocked"),
            fences=outcome.state == "blocked",
            at=self.at if outcome.is_final else None,
            due_in=outcome.retry_in,
            worker_id=worker_id,
            reason=outcome.reason,
            traceback=outcome.traceback,
        )

    def settled(self) -> Settled:
        """The outcome as part of a landing: the journal's next event."""
        work, outcome = self.work, self.outcome
        return Settled(
            work.key.position,
            work.key.undo,
            outcome.state,
            work.attempt,
            "running",
            outcome.result,
            outcome.error,
            outcome.in_doubt,
            1,
            self.at,
            outcome.reason,
            outcome.traceback,
        )

    def event(self, number: int) -> Event:
        """The outcome as the journal holds it. Only of one that is final."""
        outcome = self.outcome
        assert outcome.state == "succeeded" or outcome.state == "failed"  # noqa: PLR1714 - narrows
        payload = outcome.result or outcome.error
        return Event(number, self.at, "settled", *self.key, outcome.state, payload)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What tells whether and why a saga's code has parted from its history."""

    arguments: Mapping[int, str | None]  # as they are stored, where digests did not suffice
    pythons: str | None  # other versions than this process's that the saga was on


class News(NamedTuple):
    """What a round of deciding begins with, besides what the process knew of the saga.

    `direct`: an outcome that is to land with the decision; `events`: one that was just recorded,
    if nothing else had come before it. With neither, the database is asked.
    """

    direct: Attempted | None = None
    events: tuple[Event, ...] | None = None
    was_recorded: bool = False
    evidence: Evidence | None = None  # of a saga whose code seems not to fit its history

    @property
    def is_all(self) -> bool:
        return self.direct is not None or self.events is not None


@dataclass(slots=True)
class Decided:
    """What a saga does next: all of it lands, or nothing does.

    `landing` None: nothing is to be written. `grant` is the one step that the deciding thread takes
    itself. What comes after a landing may be lost with the process: see `after_landing`.
    """

    landing: Landing | None = None
    grant: Work | None = None
    wakeups: list[WakeUp] = field(default_factory=FRESH_LIST)
    opened: dict[Key, str] = field(default_factory=_FRESH_DICT)
    closed: list[Key] = field(default_factory=FRESH_LIST)
    dropped: list[Key] = field(default_factory=FRESH_LIST)
    recalled: list[int] = field(default_factory=FRESH_LIST)  # positions of children
    rows: list[StepRow] | None = None  # as they will be, of a saga that compensates
    cause: BaseException | None = None  # what the saga's code has raised
    may_grant: bool = True  # whether the thread that decides can take a step

    @property
    def has_slot(self) -> bool:
        """Whether the thread that decides can take a step, and has none yet."""
        return self.may_grant and self.grant is None

    @property
    def turns_round(self) -> bool:
        """Whether the saga's code has failed: its undos are still to be planned."""
        landing = self.landing
        return landing is not None and landing.undo_cause is not None and self.rows is None

    @property
    def lands(self) -> bool:
        """Whether there is something to write, as it stands."""
        return self.landing is not None and not self.turns_round

    @property
    def turns_round_now(self) -> bool:
        """Whether its saga compensates from here on."""
        landing = self.landing
        return landing is not None and landing.status == SagaStatus.COMPENSATING

    @property
    def ends(self) -> bool:
        """Whether it is the saga's last."""
        return self.landing is not None and self.landing.status in ENDED

    def settle(self, direct: Attempted | None) -> None:
        """The outcome lands with the decision."""
        if direct is not None and self.landing is not None:
            self.landing.settled.append(direct.settled())
            self.closed.append(direct.key)

    @property
    def has_more(self) -> bool:
        """Whether something besides the saga itself is to be done once it has landed."""
        return bool(self.dropped or self.recalled) or "child" in self.opened.values()


@dataclass(frozen=True, slots=True)
class Held:
    """Because of a pivot the saga does not turn round: these failures become work items, if the
    saga still is as it was seen.
    """

    seen: Seen
    block: tuple[StepRow, ...]


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """Its failure was taken back, and these are what the code asks for in its place today: opened
    again if the saga still is as it was seen, which is then decided upon anew.
    """

    seen: Seen
    steps: list[NewStep]
    wakeups: list[WakeUp]


@dataclass(frozen=True, slots=True)
class Doubted:
    """The code asks for something else than the history holds, or for other arguments at these
    positions than its digests say: the evidence is to be read, and the saga decided upon anew.
    """

    positions: tuple[int, ...]


class RecordFirst:
    """The outcome is to be recorded by itself, and the saga decided upon anew."""


RECORD_FIRST = RecordFirst()

Decision = Decided | AskedAgain | Doubted | Held | RecordFirst | None
"""None: there is nothing to do."""


def events_in(landing: Landing) -> Iterator[Event]:
    """What a landing adds to the journal."""
    for settled in landing.settled:
        if settled.event is not None:
            yield Event(
                landing.seen.events + settled.event,
                settled.at,
                "settled",
                settled.position,
                settled.undo,
                settled.state,  # pyright: ignore[reportArgumentType]
                settled.result or settled.error,
            )

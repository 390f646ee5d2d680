"""A journal in memory: it keeps what a saga asks for, settles it, and replays it in every way."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self
from uuid import UUID

from saga.core.declare.definitions import SagaDefinition
from saga.core.loop.commands import Ask, Command, Consume, Drop
from saga.core.loop.events import Event, Outcome, Recorded
from saga.core.loop.python_order import ORDERS, Order
from saga.core.replay import Decision, Failed, Finished, Run, Verdict, Waiting

SAGA_ID = UUID("0b5e6a52-7f0c-4e0a-9d43-5d2b8d6f3c11")
START = 1_700_000_000.0
Key = tuple[int, bool]


@dataclass
class Row:
    """What became of one thing that was asked for."""

    ask: Ask
    landed: int
    """The number of events when it was written down."""
    over_since: int | None = None
    """The number of events when it settled, was dropped or consumed."""
    settled: int | None = None
    """The number of the event with which it settled."""
    was_dropped: bool = False

    @property
    def key(self) -> Key:
        return self.ask.position, self.ask.undo

    @property
    def is_open(self) -> bool:
        return self.over_since is None

    @property
    def is_underway(self) -> bool:
        """Open, or dropped while somebody may be at it."""
        return self.settled is None and (self.is_open or self.may_go_on)

    @property
    def may_go_on(self) -> bool:
        """Whether it settles for itself, although it was dropped."""
        return self.ask.intent.kind in ("step", "child")

    def was_over(self, after: int) -> bool:
        """Whether that is written down when so many events have happened."""
        since = self.settled if self.may_go_on else self.over_since
        return since is not None and since <= after


class Seen(NamedTuple):
    """What a decision said besides its commands."""

    verdict: Verdict
    exposed: str | None


class World:
    """One saga and its journal. Use it as a context manager, so that its run is closed."""

    def __init__(
        self,
        definition: SagaDefinition[..., Any],
        *args: Any,
        order: Order = ORDERS[0],
        kind: type[Run] = Run,
        **kwargs: Any,
    ) -> None:
        self.definition = definition
        self.order = order
        self.input = definition.encode_input(args, kwargs)
        self.rows: dict[Key, Row] = {}
        self.events: list[Event] = []
        self.seen: list[Seen] = []
        self.unwanted: list[frozenset[int]] = []
        self.last: tuple[Command, ...] = ()
        self.run = kind(definition, SAGA_ID, self.input, START, order=order)
        self._decide()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.run.close()

    # What came of it

    @property
    def verdict(self) -> Verdict:
        return self.seen[-1].verdict

    @property
    def is_waiting(self) -> bool:
        return isinstance(self.verdict, Waiting)

    @property
    def result(self) -> Any:
        assert isinstance(self.verdict, Finished), self.verdict
        return json.loads(self.verdict.result)

    @property
    def error(self) -> dict[str, Any]:
        assert isinstance(self.verdict, Failed), self.verdict
        return json.loads(self.verdict.error)

    @property
    def asked(self) -> list[str]:
        """All that was asked for, in order, as `step fetch` or `undo close`."""
        return [_told(row.ask) for row in self.rows.values()]

    @property
    def waits_for(self) -> list[str]:
        """All that is still open."""
        return [_told(row.ask) for row in self.rows.values() if row.is_open]

    @property
    def time(self) -> float:
        return self.events[-1].at if self.events else START

    # What happens

    def succeed(self, what: int | str, result: Any = None) -> None:
        """Settle a step, undo, child, timer or approval: by its position or the text of `asked`."""
        self.settle(self.find(what), "succeeded", json.dumps(result))

    def fail(
        self, what: int | str, type_: str = "ValueError", message: str = "no", **more: Any
    ) -> None:
        error = {"type": type_, "message": message, **more}
        self.settle(self.find(what), "failed", json.dumps(error))

    def fire(self, what: int | str = "timer sleep") -> None:
        """A timer's, signal's or approval's time has come."""
        row = self.find(what)
        assert row.ask.due is not None
        state: Outcome = "succeeded" if row.ask.intent.kind == "timer" else "failed"
        self.settle(row, state, None, at=max(row.ask.due, self.time))

    def settle(
        self, row: Row, state: Outcome, payload: str | None, at: float | None = None
    ) -> None:
        assert row.is_underway
        row.settled = len(self.events) + 1
        if row.is_open:
            row.over_since = row.settled
        position, undo = row.key
        self._apply(Event(self._number, self._at(at), "settled", position, undo, state, payload))

    def signal(self, name: str, payload: Any = None) -> None:
        event = Event(
            self._number, self._at(None), "signal", payload=json.dumps(payload), name=name
        )
        self._apply(event)

    def find(self, what: int | str) -> Row:
        if isinstance(what, int):
            return self.rows[what, False]
        return next(row for row in self.rows.values() if row.is_underway and _told(row.ask) == what)

    # Replays

    def recorded(self, after: int) -> list[Recorded]:
        """What the journal held when so many events had happened."""
        return [
            Recorded(
                row.ask.position,
                row.ask.undo,
                row.ask.intent.kind,
                row.ask.intent.name,
                row.was_over(after),
                row.ask.intent.digest,
            )
            for row in self.rows.values()
            if row.landed <= after
        ]

    def check_replays(self) -> None:
        """A replay from scratch at every prefix of the events equals the live run."""
        for after in range(len(self.events) + 1):
            decision = self.replay(after)
            again = {Drop(position, undo=False) for position in decision.unwanted}
            assert set(decision.commands) == again, f"after {after} events"
            assert decision.unwanted == self.unwanted[after]
            assert Seen(decision.verdict, decision.exposed) == self.seen[after]

    def replay(self, after: int, definition: SagaDefinition[..., Any] | None = None) -> Decision:
        """Decide from scratch, with the history as it was after so many events."""
        run = Run(
            definition or self.definition,
            SAGA_ID,
            self.input,
            START,
            self.recorded(after),
            self.order,
        )
        try:
            run.catch_up(self.events[:after])
            return run.decide()
        finally:
            run.close()

    def check_batches(self, cuts: Iterable[int]) -> None:
        """However the events are cut into batches: the same positions, commands and verdict.

        What is asked for and dropped within one batch is never written down, so that the outcome
        of a step that went on after it was dropped is none of such a journal's.
        """
        if any(row.settled is not None and row.was_dropped for row in self.rows.values()):
            return
        run = Run(self.definition, SAGA_ID, self.input, START, order=self.order)
        asked: dict[Key, Ask] = {}
        done = 0
        for cut in [*sorted({cut for cut in cuts if cut <= len(self.events)}), len(self.events)]:
            run.catch_up(self.events[done:cut])
            done = cut
            asked |= {(c.position, c.undo): c for c in run.decide().commands if isinstance(c, Ask)}
        decision = run.decide()
        run.close()
        assert Seen(decision.verdict, decision.exposed) == self.seen[-1]
        for key, ask in asked.items():
            assert ask == self.rows[key].ask
        for key in self.rows.keys() - asked.keys():
            # It was asked for and dropped within one batch.
            assert self.rows[key].was_dropped

    # Within

    @property
    def _number(self) -> int:
        return len(self.events) + 1

    def _at(self, at: float | None) -> float:
        return self.time + 1.0 if at is None else at

    def _apply(self, event: Event) -> None:
        self.events.append(event)
        self.run.catch_up([event])
        self._decide()

    def _decide(self) -> None:
        decision = self.run.decide()
        self.last = decision.commands
        for command in decision.commands:
            self._land(command)
        self.seen.append(Seen(decision.verdict, decision.exposed))
        self.unwanted.append(decision.unwanted)

    def _land(self, command: Command) -> None:
        now = len(self.events)
        match command:
            case Ask(position, undo):
                assert (position, undo) not in self.rows
                assert command.after == now
                self.rows[position, undo] = Row(command, now)
            case Drop(position, undo):
                row = self.rows[position, undo]
                assert row.is_open
                row.over_since = now
                row.was_dropped = True
            case Consume(position, event):
                row = self.rows[position, False]
                assert row.is_open
                assert self.events[event - 1].kind == "signal"
                assert self.events[event - 1].name == row.ask.intent.name
                row.over_since = row.settled = now


def _told(ask: Ask) -> str:
    return f"{'undo' if ask.undo else ask.intent.kind} {ask.intent.name}"


def names(commands: Sequence[Command]) -> list[str]:
    """Commands as short texts, to compare."""
    return [
        _told(c) if isinstance(c, Ask) else f"{type(c).__name__.lower()} {c.position}"
        for c in commands
    ]

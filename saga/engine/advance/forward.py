"""Going forward: replay the saga's code and turn its commands into a landing."""

import os
from collections.abc import Callable
from typing import Any, cast

from saga.core.failures import TIMED_OUT
from saga.core.loop.commands import Ask, Consume, Drop
from saga.core.loop.events import Event
from saga.core.replay import Decision, Failed, Finished, Run, replay
from saga.core.twice import CHECK_REPLAYS, CheckedRun
from saga.engine.advance.dispatcher import REISSUE_IN, Dispatcher
from saga.engine.advance.live import Live, events_of, recorded_of
from saga.engine.advance.turn import Turn
from saga.engine.attempt.catalog import Catalog
from saga.storage.hot.rows import Landing, Settled
from saga.wakeups.message import ADVANCE, WakeUp

_TOLERANCE = 0.05  # seconds


class Forward:
    """Decides about sagas that run; `clock` is the database's."""

    def __init__(
        self, catalog: Catalog, dispatcher: Dispatcher, clock: Callable[[], float]
    ) -> None:
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._clock = clock
        self._kind = CheckedRun if os.environ.get(CHECK_REPLAYS, "0") != "0" else Run

    def decide(self, turn: Turn, live: Live) -> None:
        """Runs the saga's code as far as it goes; what it wants becomes the turn's landing."""
        run = self.catch_up(turn, live)
        landing = Landing(turn.saga_id, live.seen, live.status)
        turn.settle_outcomes(landing)
        run.catch_up(_events(landing))
        self._end_waits(run, turn, live, landing)
        decision = run.decide()
        if decision.exposed != live.exposed:
            landing.exposed = decision.exposed
        self._commands(turn, live, landing, decision)
        _verdict(turn, landing, decision)
        if live.status == "parked" and landing.status is None:
            landing.status = "running"
        if turn.dropped and landing.status is None:
            landing.due_in = REISSUE_IN  # they may stay where they are, should we die now
        # The next landing, or the sweeper, clears the alarm of what was only recorded.
        quiet = any(r.recorded for r in turn.requests)
        told = landing.transitions or landing.consumed or landing.exposed is not None
        if told or (live.due and not quiet):
            turn.landing = landing
        if any((position, False) in turn.opened for position, _ in run.overdue(self._soon())):
            turn.wakeups.append(WakeUp(live.queue, ADVANCE, live.saga_id))

    def _soon(self) -> float:
        """Our clock may be a little behind that of the sweeper, which has sent us."""
        return self._clock() + _TOLERANCE

    def _end_waits(self, run: Run, turn: Turn, live: Live, landing: Landing) -> None:
        """Nothing has come for waits that are over. That and what the code makes of it, which may
        be the saga's end, land together, and only if nothing has come by then.
        """
        for position, due in run.overdue(self._soon()):
            if (position, False) in live.open:
                end = Settled(
                    position,
                    False,
                    "failed",
                    None,
                    "waiting",
                    None,
                    TIMED_OUT,
                    False,
                    landing.new_events + 1,
                    max(round(self._clock(), 6), due),
                    "deadline",
                )
                landing.settled.append(end)
                turn.closed.append((position, False))
        run.catch_up(_events(landing))

    def catch_up(self, turn: Turn, live: Live) -> Run:
        """The saga's coroutine with all of the journal that was loaded."""
        if live.run is None:
            if turn.loaded is None:
                raise RuntimeError("a saga without its coroutine was not loaded")
            definition = self._catalog.saga(live.name, live.version)
            loaded = turn.loaded
            live.run = replay(
                definition,
                live.saga_id,
                loaded.input,
                loaded.created_at,
                recorded_of(loaded, turn.arguments),
                events_of(loaded),
                self._kind,
            )
        elif turn.news is not None:
            live.run.catch_up(turn.news)
        elif turn.loaded is not None:
            live.run.catch_up(events_of(turn.loaded), recorded_of(turn.loaded))
        return live.run

    def _commands(self, turn: Turn, live: Live, landing: Landing, decision: Decision) -> None:
        slots = turn.slots()
        for command in decision.commands:
            match command:
                case Ask():
                    # A scope's undo needs its step's result, which a claim brings along.
                    self._dispatcher.ask(turn, landing, command, [] if command.undo else slots)
                case Drop():
                    self._drop(turn, live, landing, (command.position, command.undo))
                case Consume():
                    self._close_wait(turn, landing, (command.position, False), "succeeded")
                    landing.consumed.append((command.position, command.event))

    def _drop(self, turn: Turn, live: Live, landing: Landing, key: tuple[int, bool]) -> None:
        kind = live.open.get(key)
        if kind in ("timer", "signal", "approval"):
            self._close_wait(turn, landing, key, "cancelled")
        elif kind is not None:
            turn.dropped.append(key)

    def _close_wait(self, turn: Turn, landing: Landing, key: tuple[int, bool], state: str) -> None:
        """What only the journal's own events move needs no lease: the guard protects it."""
        if key in turn.opened:  # asked for in this very landing
            index = next(i for i, a in enumerate(landing.asked) if (a.position, a.undo) == key)
            del landing.asked[index]
            del turn.opened[key]
            return
        landing.settled.append(
            Settled(
                key[0],
                key[1],
                state,
                None,
                "waiting",
                None,
                None,
                False,
                None,
                round(self._clock(), 6),
            )
        )
        turn.closed.append(key)


def _events(landing: Landing) -> list[Event]:
    first = landing.seen.events
    return [
        Event(
            first + (s.event or 0),
            s.at,
            "settled",
            s.position,
            s.undo,
            cast("Any", s.state),
            s.result or s.error,
        )
        for s in landing.settled
    ]


def _verdict(turn: Turn, landing: Landing, decision: Decision) -> None:
    match decision.verdict:
        case Finished(result):
            landing.status, landing.result = "completed", result
        case Failed(error):
            landing.status, landing.error, landing.undo_cause = "compensating", error, "failure"
            turn.needs_rows = True
        case _:
            pass

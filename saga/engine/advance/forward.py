"""Going forward: replay the saga's code and turn its commands into a landing."""

import os
from collections.abc import Callable, Sequence

from saga.core.failures import TIMED_OUT
from saga.core.loop.commands import Ask, Consume, Drop
from saga.core.replay import Decision, Failed, Finished, Run, replay
from saga.core.states import StepState
from saga.core.twice import CHECK_REPLAYS, CheckedRun
from saga.engine.advance.dispatcher import REISSUE_IN, Dispatcher
from saga.engine.advance.live import Live, events_of, recorded_of
from saga.engine.advance.stages import (
    RECORD_FIRST,
    AskedAgain,
    Decided,
    Key,
    News,
    RecordFirst,
    events_in,
)
from saga.engine.attempt.catalog import Catalog
from saga.storage.hot.rows import Landing, Loaded, Settled
from saga.wakeups.message import ADVANCE, WakeUp

_TOLERANCE = 0.05  # seconds


def run_of_environment() -> type[Run]:
    """One that is checked, where the environment says so."""
    return CheckedRun if os.environ.get(CHECK_REPLAYS, "0") != "0" else Run


class Forward:
    """Decides about sagas that run; `clock` is the database's."""

    def __init__(
        self,
        catalog: Catalog,
        dispatcher: Dispatcher,
        clock: Callable[[], float],
        run: type[Run],
    ) -> None:
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._clock = clock
        self._kind = run

    def decide(
        self, live: Live, loaded: Loaded | None, news: News, may_grant: bool
    ) -> Decided | AskedAgain | RecordFirst:
        """Runs the saga's code as far as it goes: what it wants."""
        run = self.catch_up(live, loaded, news)
        landing = Landing(live.saga_id, live.seen, live.status)
        decided = Decided(landing, may_grant=may_grant)
        decided.settle(news.direct)
        run.catch_up(events_in(landing))
        self._end_waits(run, live, decided, landing)
        decision = run.decide()
        again = [one for one in decision.commands if isinstance(one, Ask) and one.again]
        if again:
            return RECORD_FIRST if news.direct else self._again(live, again)
        if decision.exposed != live.exposed:
            landing.exposed = decision.exposed
        if decision.attributes != live.attributes:
            landing.attributes = decision.attributes
        self._commands(live, decided, landing, decision)
        unwanted = ((position, False) for position in sorted(decision.unwanted))
        decided.dropped = [key for key in unwanted if key in live.open]
        _verdict(decided, landing, decision)
        if live.status == "parked" and landing.status is None:
            landing.status = "running"
        if decided.dropped and landing.status is None:
            landing.due_in = REISSUE_IN  # they may stay where they are, should we die now
        # The next landing, or the sweeper, clears the alarm of what was only recorded; that of what
        # goes on unwanted stays, and the sweeper looks less and less often.
        is_still_needed = decided.dropped and live.seen.applied == live.seen.events
        alarm = live.due and not (news.was_recorded or is_still_needed)
        shows = landing.exposed is not None or landing.attributes is not None
        told = landing.transitions or landing.consumed or shows
        if not (told or alarm):
            decided.landing = None
        if any((position, False) in decided.opened for position, _ in run.overdue(self._soon())):
            decided.wakeups.append(WakeUp(live.queue, ADVANCE, live.saga_id))
        return decided

    def _soon(self) -> float:
        """Our clock may be a little behind that of the sweeper, which has sent us."""
        return self._clock() + _TOLERANCE

    def _end_waits(self, run: Run, live: Live, decided: Decided, landing: Landing) -> None:
        """Nothing has come for waits that are over. That and what the code makes of it, which may
        be the saga's end, land together, and only if nothing has come by then.
        """
        for position, due in run.overdue(self._soon()):
            if (position, False) in live.open:
                end = Settled(
                    position,
                    False,
                    StepState.FAILED,
                    None,
                    StepState.WAITING,
                    None,
                    TIMED_OUT,
                    False,
                    landing.new_events + 1,
                    max(round(self._clock(), 6), due),
                    "deadline",
                )
                landing.settled.append(end)
                decided.closed.append((position, False))
        run.catch_up(events_in(landing))

    def catch_up(self, live: Live, loaded: Loaded | None, news: News) -> Run:
        """The saga's coroutine with all of the journal that is known by now."""
        if live.run is None:
            if loaded is None:
                raise RuntimeError("a saga without its coroutine was not loaded")
            definition = self._catalog.saga(live.name, live.version)
            live.run = replay(
                definition,
                live.saga_id,
                loaded.input,
                loaded.created_at,
                recorded_of(loaded, news.evidence.arguments if news.evidence else {}),
                events_of(loaded),
                self._kind,
            )
        elif news.events is not None:
            live.run.catch_up(news.events)
        elif loaded is not None:
            live.run.catch_up(events_of(loaded), recorded_of(loaded))
        return live.run

    def _again(self, live: Live, asks: Sequence[Ask]) -> AskedAgain:
        landing = Landing(live.saga_id, live.seen, live.status)
        decided = Decided(landing)
        for ask in asks:
            self._dispatcher.ask(live, decided, landing, ask, may_grant=False)
        return AskedAgain(live.seen, landing.asked, decided.wakeups)

    def _commands(self, live: Live, decided: Decided, landing: Landing, decision: Decision) -> None:
        for command in decision.commands:
            match command:
                case Ask():
                    # A scope's undo needs its step's result, which a claim brings along.
                    may_grant = not command.undo
                    self._dispatcher.ask(live, decided, landing, command, may_grant=may_grant)
                case Drop():
                    self._give_up(live, decided, landing, (command.position, command.undo))
                case Consume():
                    self._close_wait(decided, landing, (command.position, False), "succeeded")
                    landing.consumed.append((command.position, command.event))

    def _give_up(self, live: Live, decided: Decided, landing: Landing, key: Key) -> None:
        if live.open.get(key) in ("timer", "signal", "approval"):
            self._close_wait(decided, landing, key, "cancelled")

    def _close_wait(self, decided: Decided, landing: Landing, key: Key, state: str) -> None:
        """What only the journal's own events move needs no lease: the guard protects it."""
        if key in decided.opened:  # asked for in this very landing
            index = next(i for i, a in enumerate(landing.asked) if (a.position, a.undo) == key)
            del landing.asked[index]
            del decided.opened[key]
            return
        if key in decided.closed:  # its time was up, of which the code made that it gave it up
            return
        at = round(self._clock(), 6)
        landing.settled.append(Settled(*key, state, None, "waiting", None, None, False, None, at))
        decided.closed.append(key)


def _verdict(decided: Decided, landing: Landing, decision: Decision) -> None:
    match decision.verdict:
        case Finished(result):
            landing.status, landing.result = "completed", result
        case Failed(error, traceback, cause):
            landing.status, landing.error, landing.undo_cause = "compensating", error, "failure"
            landing.traceback = traceback
            decided.cause = cause
        case _:
            pass

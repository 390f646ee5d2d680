"""Deciding about a saga: from what is known to a landing. No SQL here."""

import logging
import threading
from collections.abc import Callable

from saga.core.code_names import saga_code
from saga.core.replay import Doubt, Run
from saga.core.states import ENDED
from saga.engine.advance.backward import Backward
from saga.engine.advance.code_watch import CodeWatch, RanTooLong
from saga.engine.advance.dispatcher import REISSUE_IN, Dispatcher
from saga.engine.advance.forward import Forward, run_of_environment
from saga.engine.advance.handover import Handover
from saga.engine.advance.live import Live
from saga.engine.advance.stages import (
    RECORD_FIRST,
    AskedAgain,
    Decided,
    Doubted,
    Held,
    News,
    RecordFirst,
)
from saga.engine.attempt.catalog import Catalog
from saga.errors import Divergence, UnknownSaga
from saga.storage.hot.rows import Landing, Loaded
from saga.storage.workers import PYTHON
from saga.wakeups.message import ADVANCE, WakeUp

log = logging.getLogger("saga.engine")

PARKED_RETRY_IN = 30.0  # seconds


class Decider:
    """Decides with the code this worker has, for the queues it serves."""

    def __init__(
        self,
        catalog: Catalog,
        serves: frozenset[str],
        clock: Callable[[], float],
        handover: Handover,
        watch: CodeWatch,
        run: type[Run] | None = None,
    ) -> None:
        """`run`: how sagas' code is run; None: as the environment says."""
        self._handover = handover
        self._dispatcher = Dispatcher(catalog, serves)
        self._forward = Forward(catalog, self._dispatcher, clock, run or run_of_environment())
        self._backward = Backward(self._dispatcher)
        self._watch = watch

    def decide(
        self, live: Live, loaded: Loaded | None, news: News, *, may_grant: bool
    ) -> Decided | AskedAgain | Doubted | RecordFirst | None:
        """What the saga does next; None if there is nothing to do."""
        if live.status in ENDED:
            dropped = [key for key, kind in live.open.items() if kind == "step" and not key[1]]
            return Decided(dropped=dropped) if dropped else None
        if live.status == "compensating":
            return self._backward.decide(live, news, may_grant)
        if live.is_stuck:
            return RECORD_FIRST if news.direct else None
        return self._forward_or_park(live, loaded, news, may_grant)

    def _forward_or_park(
        self, live: Live, loaded: Loaded | None, news: News, may_grant: bool
    ) -> Decided | AskedAgain | Doubted | RecordFirst | None:
        try:
            return self._watch.run(
                live, lambda: self._forward.decide(live, loaded, news, may_grant)
            )
        except UnknownSaga as error:
            return RECORD_FIRST if news.direct else self._elsewhere(live, str(error))
        except Divergence as error:
            positions = error.positions if isinstance(error, Doubt) else ()
            if news.evidence is None or not news.evidence.arguments.keys() >= set(positions):
                return RECORD_FIRST if news.direct else Doubted(positions)
            why = error.diff + _of_pythons(news.evidence.pythons)
            return self.park(live, news, why, error.arguments)
        except KeyboardInterrupt as error:
            if isinstance(error, RanTooLong) or _is_for_the_process():
                raise
            why = "its code raised KeyboardInterrupt"
        except Exception as error:
            log.exception("deciding saga %s failed", live.saga_id)
            why = f"deciding failed: {type(error).__name__}"
        return self.park(live, news, why)

    def turn_round(
        self, live: Live, decided: Decided, news: News
    ) -> Decided | Held | RecordFirst | None:
        """Plans the first undos, now that the saga's rows are at hand; unless a pivot holds it."""
        assert decided.landing is not None
        hold = self._backward.hold(live, decided.landing)
        if hold is None:
            return self._backward.plan(live, decided, decided.landing)
        if news.direct is not None:
            return RECORD_FIRST
        if hold.why:
            return self.park(live, news, hold.why)
        self._watch.close(live)
        return Held(live.seen, hold.block) if hold.block else None

    def park(
        self, live: Live, news: News, why: str, arguments: str = ""
    ) -> Decided | RecordFirst | None:
        """Its code does not fit its history: it waits for code that does. `arguments` are noted and
        not logged.
        """
        if news.direct is not None:
            return RECORD_FIRST
        self._watch.close(live)
        if live.status == "parked":
            return None
        log.error("saga %s is parked: its code does not fit its history\n%s", live.saga_id, why)
        landing = Landing(
            live.saga_id, live.seen, live.status, status="parked", note=why + arguments
        )
        landing.due_in = PARKED_RETRY_IN
        return Decided(landing)

    def catch_up(self, live: Live, loaded: Loaded) -> bool:
        """Applies what was loaded, without deciding; False: the slow path has to explain it."""
        if live.status != "running":
            return live.status == "compensating"
        try:
            self._watch.run(live, lambda: self._forward.catch_up(live, loaded, News()))
        except Exception:
            return False
        except KeyboardInterrupt:
            if _is_for_the_process():
                raise
            return False
        return True

    def _elsewhere(self, live: Live, why: str) -> Decided | None:
        """This worker has not the saga's code: another one decides."""
        queue = self._handover.queue_of(live.queue, saga_code(live.name, live.version))
        if queue is not None or not self._dispatcher.serves(live.queue):
            return Decided(wakeups=[WakeUp(queue or live.queue, ADVANCE, live.saga_id)])
        if not live.due:
            return None
        landing = Landing(live.saga_id, live.seen, live.status, note=why, due_in=REISSUE_IN)
        return Decided(landing)


def _of_pythons(others: str | None) -> str:
    if others is None:
        return ""
    return f"\nits history was written on Python {others}, and this worker runs Python {PYTHON}"


def _is_for_the_process() -> bool:
    """A KeyboardInterrupt may be a person's, or that of a pool that runs in the main thread."""
    return threading.current_thread() is threading.main_thread()

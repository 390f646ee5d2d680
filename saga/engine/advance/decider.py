"""Deciding about a saga: from what is known to a landing. No SQL here."""

import logging
from collections.abc import Callable

from saga.core.replay import Doubt
from saga.core.states import ENDED
from saga.engine.advance.backward import Backward
from saga.engine.advance.dispatcher import REISSUE_IN, Dispatcher
from saga.engine.advance.forward import Forward
from saga.engine.advance.handover import Handover
from saga.engine.advance.live import Live
from saga.engine.advance.turn import Turn, park, read_arguments
from saga.engine.attempt.catalog import Catalog, saga_code
from saga.errors import Divergence, UnknownSaga
from saga.storage.hot.rows import Landing
from saga.wakeups.message import ADVANCE, WakeUp

log = logging.getLogger("saga.engine")


class Decider:
    """Decides turns with the code this worker has, for the queues it serves."""

    def __init__(
        self,
        catalog: Catalog,
        serves: frozenset[str],
        clock: Callable[[], float],
        handover: Handover,
    ) -> None:
        self._handover = handover
        self._dispatcher = Dispatcher(catalog, serves)
        self._forward = Forward(catalog, self._dispatcher, clock)
        self._backward = Backward(self._dispatcher)

    def decide(self, turn: Turn) -> bool:
        """Fills in the turn's landing; False when there is nothing left to do in this round."""
        live = turn.live
        if live is None or any(r.busy for r in turn.requests):
            return False
        if live.status in ENDED:
            turn.dropped = [key for key, kind in live.open.items() if kind == "step" and not key[1]]
            return bool(turn.dropped)
        if live.status == "compensating":
            self._backward.decide(turn)
            return True
        return self._decide_forward(turn, live)

    def _decide_forward(self, turn: Turn, live: Live) -> bool:
        why = next((r.park for r in turn.requests if r.park), None)
        if why is not None:
            return park(turn, live, why)
        try:
            self._forward.decide(turn, live)
        except UnknownSaga as error:
            return self._elsewhere(turn, live, str(error))
        except Divergence as error:
            if isinstance(error, Doubt) and not turn.doubt:
                return read_arguments(turn, live, error.positions)
            return park(turn, live, error.diff, error.arguments)
        except Exception as error:
            log.exception("deciding saga %s failed", live.saga_id)
            return park(turn, live, f"deciding failed: {type(error).__name__}")
        return True

    def decide_undo(self, turn: Turn) -> None:
        """Plans the next undos, now that the saga's rows are at hand."""
        self._backward.decide(turn)

    def catch_up(self, turn: Turn) -> bool:
        """Applies what was loaded, without deciding; False: the slow path has to explain it."""
        live = turn.live
        if live is None or live.status != "running":
            return live is not None and live.status == "compensating"
        try:
            self._forward.catch_up(turn, live)
        except Exception:
            return False
        return True

    def _elsewhere(self, turn: Turn, live: Live, why: str) -> bool:
        """This worker has not the saga's code: it records what came in, another one decides."""
        if turn.outcomes:
            turn.record_first()
            return True
        queue = self._handover.queue_of(live.queue, saga_code(live.name, live.version))
        if queue is not None or not self._dispatcher.serves(live.queue):
            turn.wakeups.append(WakeUp(queue or live.queue, ADVANCE, live.saga_id))
            return True
        landing = Landing(turn.saga_id, live.seen, live.status, note=why, due_in=REISSUE_IN)
        if live.due:
            turn.landing = landing
        return True

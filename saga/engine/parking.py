"""Parking: the code that is here does not fit the saga's history. It waits for code that does."""

import logging

from saga.engine.live import Live
from saga.engine.turn import Turn
from saga.storage.hot.rows import Landing

log = logging.getLogger("saga.engine")

PARKED_RETRY_IN = 30.0  # seconds


def park(turn: Turn, live: Live, diff: str) -> bool:
    """Parks a saga that is not parked yet; whether the turn goes on."""
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
        turn.saga_id, live.seen, live.status, status="parked", note=diff, due_in=PARKED_RETRY_IN
    )
    return True

"""Going backward: plan the next undos, from the saga's rows alone."""

from uuid import UUID

from saga.core.loop.commands import Ask
from saga.core.rows import StepRow
from saga.core.undo.plan import plan_undos
from saga.core.undo.reopening import pivot_hold
from saga.engine.advance.dispatcher import REISSUE_IN, Dispatcher
from saga.engine.advance.live import Live
from saga.engine.advance.turn import Hold, Turn, park
from saga.storage.hot.rows import Landing, NewStep, Settled


class Backward:
    """Decides about sagas that compensate, or are about to."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def decide(self, turn: Turn) -> None:
        """Plans the next undos; needs the saga's rows."""
        live = turn.live
        if live is None or live.rows is None:
            return
        landing = turn.landing or Landing(turn.saga_id, live.seen, live.status)
        fresh = turn.landing is None
        if fresh:
            turn.settle_outcomes(landing)
        turn.rows = rows_after(live.rows, landing)
        if landing.undo_cause is not None and _is_held(turn, live, landing):
            return
        cause = live.undo_cause or landing.undo_cause or "failure"
        plan = plan_undos(turn.rows, cause, live.choice)
        turn.dropped = [(row.position, row.undo) for row in plan.drop]
        turn.recalled = [row.position for row in plan.recall]
        slots, after = turn.slots(), landing.seen.events + landing.new_events
        for row in plan.ask:
            undo = Ask(row.position, True, row.intent.undone(), None, after)
            new = self._dispatcher.ask(turn, landing, undo, slots, row.result)
            turn.rows.append(_row_of(turn.saga_id, new))
        if plan.verdict is not None:
            landing.status = plan.verdict
        if turn.dropped:
            landing.due_in = REISSUE_IN  # they may stay where they are, should we die now
        turn.landing = landing if landing.transitions or live.due else None


def _is_held(turn: Turn, live: Live, landing: Landing) -> bool:
    """Past a pivot, or while one is at it, a failure does not turn the saga round."""
    hold = pivot_hold(turn.rows or [], landing.error or "{}")
    if hold is None:
        return False
    if turn.outcomes:
        turn.record_first()
        return True
    live.close()
    if hold.why:
        turn.landing, turn.needs_rows = None, False
        park(turn, live, hold.why)
    else:
        turn.start_over()
        turn.hold = Hold(live.seen, hold.block)
        turn.goes_on = bool(hold.block)
    return True


def rows_after(rows: list[StepRow], landing: Landing) -> list[StepRow]:
    """The rows as they will be once the landing has landed."""
    settled = {(s.position, s.undo): s for s in landing.settled}
    after: list[StepRow] = []
    for row in rows:
        end = settled.get((row.position, row.undo))
        after.append(row if end is None else _settled(row, end, landing.seen.events))
    known = {(row.position, row.undo) for row in rows}
    return after + [
        _row_of(landing.saga_id, asked)
        for asked in landing.asked
        if (asked.position, asked.undo) not in known
    ]


def _settled(row: StepRow, end: Settled, events: int) -> StepRow:
    return row._replace(
        state=end.state,
        result=end.result,
        error=end.error,
        in_doubt=end.in_doubt,
        event=None if end.event is None else events + end.event,
    )


def _row_of(saga_id: UUID, new: NewStep) -> StepRow:
    attempt = 1 if new.state == "running" else 0
    return StepRow(
        saga_id,
        new.position,
        new.undo,
        new.intent,
        new.state,
        result=None,
        error=None,
        in_doubt=False,
        after=new.after,
        event=None,
        attempt=attempt,
    )

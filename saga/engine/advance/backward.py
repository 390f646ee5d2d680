"""Going backward: plan the next undos, from the saga's rows alone."""

from uuid import UUID

from saga.core.loop.commands import Ask
from saga.core.rows import StepRow
from saga.core.undo.plan import plan_undos
from saga.core.undo.reopening import PivotHold, pivot_hold
from saga.engine.advance.dispatcher import REISSUE_IN, Dispatcher
from saga.engine.advance.live import Live
from saga.engine.advance.stages import Decided, News
from saga.storage.hot.rows import Landing, NewStep, Settled


class Backward:
    """Decides about sagas that compensate, or are about to. Needs the saga's rows."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def decide(self, live: Live, news: News, may_grant: bool) -> Decided:
        """The next undos of a saga that compensates."""
        landing = Landing(live.saga_id, live.seen, live.status)
        decided = Decided(landing, may_grant=may_grant)
        decided.settle(news.direct)
        return self.plan(live, decided, landing)

    def hold(self, live: Live, landing: Landing) -> PivotHold | None:
        """Past a pivot, or while one is at it, a failure does not turn the saga round."""
        return pivot_hold(rows_after(live.rows or [], landing), landing.error or "{}")

    def plan(self, live: Live, decided: Decided, landing: Landing) -> Decided:
        """Adds the next undos to a landing."""
        rows = decided.rows = rows_after(live.rows or [], landing)
        cause = live.undo_cause or landing.undo_cause or "failure"
        plan = plan_undos(rows, cause, live.choice)
        decided.dropped = [(row.position, row.undo) for row in plan.drop]
        decided.recalled = [row.position for row in plan.recall]
        after = landing.seen.events + landing.new_events
        for row in plan.ask:
            undo = Ask(row.position, True, row.intent.undone(), None, after)
            new = self._dispatcher.ask(live, decided, landing, undo, result=row.result)
            rows.append(_row_of(live.saga_id, new))
        if plan.verdict is not None:
            landing.status = plan.verdict
        if decided.dropped:
            landing.due_in = REISSUE_IN  # they may stay where they are, should we die now
        if not (landing.transitions or live.due):
            decided.landing = None
        return decided


def rows_after(rows: list[StepRow], landing: Landing) -> list[StepRow]:
    """A saga's rows as they will be once a landing has landed."""
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
        attempt=1 if new.state == "running" else 0,
    )

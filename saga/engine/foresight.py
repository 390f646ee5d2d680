"""A saga's rows as they will be once a landing has landed."""

from uuid import UUID

from saga.core.rows import StepRow
from saga.storage.hot.rows import Landing, NewStep, Settled


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


def _row_of(saga_id: UUID, asked: NewStep) -> StepRow:
    return StepRow(
        saga_id,
        asked.position,
        asked.undo,
        asked.kind,
        asked.name,
        asked.queue,
        asked.state,
        asked.args,
        None,
        None,
        asked.compensation,
        asked.undo_queue,
        asked.pivot,
        False,
        asked.after,
        None,
        0,
    )

"""Numbers to watch, cheap enough to be asked for every few seconds with a million sagas."""

from dataclasses import dataclass

from sqlalchemy import Connection, Float, func, literal, select, union_all

from saga.core.states import StepState
from saga.models import delivery, saga, step


@dataclass(frozen=True, slots=True)
class Gauges:
    """`blocked_steps` and `blocked_undos` wait for a person. `overdue`: seconds since the longest
    overdue retry, timer, deadline or wake-up was due, which is how far the sweeper lags behind.
    `callbacks_overdue`: the same of callbacks.
    """

    blocked_steps: int
    blocked_undos: int
    overdue: float
    callbacks_overdue: float


def gauges(connection: Connection) -> Gauges:
    """Each is the end of a partial index, or all of a small one."""
    blocked = {
        bool(undo): number
        for undo, number in connection.execute(
            select(step.c.undo, func.count())
            .where(step.c.state == StepState.BLOCKED)
            .group_by(step.c.undo)
        )
    }
    first = union_all(
        *(
            select(func.min(table.c.due_at).label("due")).where(table.c.due_at.is_not(None))
            for table in (step, saga)
        )
    ).subquery()
    late = func.extract("epoch", func.now() - func.min(first.c.due)).cast(Float)
    overdue = connection.execute(select(func.greatest(late, literal(0.0)))).scalar_one()
    callback = func.extract("epoch", func.now() - func.min(delivery.c.due_at)).cast(Float)
    waiting = connection.execute(
        select(func.greatest(callback, literal(0.0))).where(delivery.c.due_at.is_not(None))
    ).scalar_one()
    return Gauges(blocked.get(False, 0), blocked.get(True, 0), overdue, waiting)

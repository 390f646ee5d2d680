"""Children that have to undo themselves because their parent does not go on."""

from collections.abc import Sequence
from uuid import UUID

import psycopg

from saga.core.states import BEGUN, FORWARD, SETTLED, SagaStatus, StepState, sql
from saga.storage import payloads
from saga.storage.turning.move_saga import move_saga, moved

_PARENT = "'saga ' || parent_id"

# A child that has begun is stopped as if a person had cancelled it, unless it is past its pivot or
# at it: then it ends first. `parent_stops`: only if its parent compensates or has ended.
_RECALL = move_saga(
    SagaStatus.COMPENSATING,
    f"""s.status IN {sql(FORWARD)}
     AND (NOT %(parent_stops)s
          OR EXISTS (SELECT FROM saga.saga p
                      WHERE p.id = s.parent_id AND p.status NOT IN {sql(FORWARD)}))
     AND NOT EXISTS (
       SELECT FROM saga.step t
        WHERE t.saga_id = s.id AND t.pivot AND NOT t.undo
          AND (t.state IN {sql((StepState.SUCCEEDED, *BEGUN))}
               OR (t.in_doubt AND t.state NOT IN {sql(SETTLED)})))""",
    actor=_PARENT,
    undo_cause="'cancel'",
    error=payloads.written("%(error)s"),
)

# One that has completed, or was compensated in part for another reason, undoes itself. Once it has
# been told so by its parent, a part that is left is for a person.
_COMPENSATE = move_saga(
    SagaStatus.COMPENSATING,
    f"""s.status = {sql(SagaStatus.COMPLETED)}
      OR (s.status = {sql(SagaStatus.PARTLY_COMPENSATED)}
          AND (%(again)s OR s.undo_cause IS DISTINCT FROM 'parent'))""",
    actor=_PARENT,
    undo_cause="'parent'",
    undo_only="NULL",
    undo_from="NULL",
)

# A blocked undo was resolved: whether anything is left is decided anew.
_REOPEN = move_saga(SagaStatus.COMPENSATING, f"s.status = {sql(SagaStatus.PARTLY_COMPENSATED)}")

_LOCK = "SELECT FROM saga.saga WHERE id = ANY(%(id)s::uuid[]) ORDER BY id FOR UPDATE"
_CANCELLED = '{"type": "Cancelled", "message": "its parent does not go on"}'


def recall(
    connection: psycopg.Connection, children: Sequence[UUID], *, parent_stops: bool = False
) -> list[tuple[UUID, str]]:
    """Stops children on their way. Returns those that turned round, with their queues."""
    with connection.transaction():
        # What a statement reads besides the rows that it waits for is as old as its beginning.
        connection.execute(_LOCK, {"id": list(children)})
        return moved(
            connection,
            _RECALL,
            children,
            reason="its parent does not go on",
            parent_stops=parent_stops,
            error=_CANCELLED,
        )


def compensate(
    connection: psycopg.Connection, children: Sequence[UUID], *, again: bool = False
) -> list[tuple[UUID, str]]:
    """Turns children round that have ended; `again`: also those that were told before."""
    return moved(connection, _COMPENSATE, children, reason="its parent is undone", again=again)


def reopen(
    connection: psycopg.Connection,
    saga_ids: Sequence[UUID],
    actor: str | None = None,
    reason: str | None = None,
) -> list[tuple[UUID, str]]:
    """Lets partly compensated sagas find their end anew."""
    return moved(connection, _REOPEN, saga_ids, actor=actor, reason=reason)

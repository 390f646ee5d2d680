"""What a saga's code asks for again, after its failure was taken back: with what it says today."""

import json
from collections.abc import Sequence
from uuid import UUID

import psycopg

from saga.core.rows import child_id
from saga.core.states import REOPENABLE, SagaStatus, sql
from saga.storage import payloads
from saga.storage.hot.rows import NewStep, Seen
from saga.storage.hot.statements import ASKED, INTENT
from saga.storage.turning import by_hand
from saga.storage.turning.by_hand import Held
from saga.storage.turning.take_back import is_as_seen, reopen

# The number of the attempts goes on: it is the fencing token. The same digest is the same
# arguments, which stay as they were to the letter under the same idempotency key.
_ARGS = f"CASE WHEN t.digest = a.digest THEN t.args ELSE {payloads.written('a.args')} END"
_ASK_AGAIN = f"""
WITH asked AS (
  SELECT a.*, t.state AS before, t.attempt AS token,
         row_number() OVER (ORDER BY t.position) AS number
    FROM json_to_recordset(%(asked)s::json) AS a({ASKED.typed})
    JOIN saga.step t ON t.saga_id = %(id)s AND t.position = a.position AND NOT t.undo
   WHERE t.event IS NULL AND t.state IN {sql(REOPENABLE)}
), stepped AS (
  UPDATE saga.step t
     SET ({INTENT.listed}) = ROW({INTENT.written("a", args=_ARGS)}),
         state = a.state, after = %(after)s, forgiven = a.token, lost = 0, error = NULL,
         settled_at = NULL, wakes = 0, note = NULL,
         deadline = CASE WHEN t.kind = a.kind THEN t.deadline ELSE to_timestamp(a.due) END,
         due_at = coalesce(CASE WHEN t.kind = a.kind THEN t.deadline ELSE to_timestamp(a.due) END,
                           now() + make_interval(secs => a.due_in))
    FROM asked a WHERE t.saga_id = %(id)s AND t.position = a.position AND NOT t.undo
), moved AS (
  UPDATE saga.saga s
     SET seq = s.seq + (SELECT count(*) FROM asked), fence = s.fence + 1, updated_at = now(),
         wakes = 0, due_at = now() + interval '2 seconds'
   WHERE s.id = %(id)s
  RETURNING s.seq - (SELECT count(*) FROM asked) AS seq
)
INSERT INTO saga.history (saga_id, seq, position, undo, before, after, attempt, reason)
SELECT %(id)s, m.seq + a.number, a.position, false, a.before, a.state, a.token, 'asked for again'
  FROM asked a, moved m
"""


def ask_again(
    connection: psycopg.Connection, saga_id: UUID, seen: Seen, asked: Sequence[NewStep]
) -> list[Held]:
    """Opens steps again, unless the saga is not as it was seen any more. Children that failed go
    on in the same way; they are returned. One transaction.
    """
    children = [child_id(saga_id, one.position) for one in asked if one.intent.kind == "child"]
    rows = [ASKED.as_json(str(saga_id), one) for one in asked]
    with connection.transaction():
        held = by_hand.hold_all(connection, [saga_id, *children])
        if not is_as_seen(connection, saga_id, seen):
            return []
        parameters = {"id": saga_id, "after": seen.events, "asked": json.dumps(rows)}
        connection.execute(_ASK_AGAIN, parameters)
        failed = [
            one for one in held.values() if one.id != saga_id and one.status == SagaStatus.FAILED
        ]
        for child in failed:
            reopen(connection, child, f"saga {saga_id}", "asked for again", due_in=2.0)
    return failed

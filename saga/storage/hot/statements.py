"""The hot statements. Each is one autocommitted statement for a whole batch.

They share four rules:

* the saga's row is locked before any of its other rows is touched, and sagas in the order of their ids, so
  that two batches never deadlock; a row that somebody holds longer than `lock_timeout` fails the batch,
  whose requests are then served one by one;
* a write that depends on a decision is guarded by what the decision had seen (`events`, `applied`, `fence`);
* history is numbered from the locked row's `seq`, which keeps it dense;
* a worker that was taken for dead is granted nothing, whether it knows or not. Who is taken for dead in the
  moment of a grant is found by the sweeper with the step in its name.

What has a class has its columns from there.
"""

from typing import LiteralString

from saga.core.intent import Intent
from saga.core.rows import StepRow
from saga.core.states import ACTIVE, CLAIMABLE, FORWARD, SETTLED, SagaStatus, StepState, sql
from saga.storage import payloads
from saga.storage.hot.columns import Columns
from saga.storage.hot.rows import Move, NewStep, Settled

ASKED = Columns(NewStep)
INTENT = Columns(Intent)
MOVED = Columns(Move)
SETTLED_STEP = Columns(Settled, "attempt", "before", "reason", "traceback")
STEP = Columns(StepRow)

# An undo takes back what was asked for then, whatever the code would ask for now.
_ARGS = f"""CASE WHEN a.undo
              THEN (SELECT f.args FROM saga.step f WHERE f.saga_id = a.id AND f.position = a.position AND NOT f.undo)
              ELSE {payloads.written("a.args")} END"""
_OUTCOME = f"CASE t.state WHEN {sql(StepState.SUCCEEDED)} THEN t.result ELSE t.error END"

# The batch comes as one JSON text, which costs the client half of what forty arrays do.
# The fence goes up if whoever decides must know of it, although it brings no news: parking, going on, and
# what two workers may decide at once from the very same journal.
LAND = f"""
WITH landing AS (
  SELECT * FROM json_to_recordset(%(batch)s::json -> 'landings') AS t(
    id uuid, seen_events int, seen_applied int, seen_fence int, new_events int, transitions int, status text,
    result text, error text, exposed text, attributes text, undo_cause text, note text, due_in float8, grants bool)
), held AS (
  SELECT l.*, s.seq, s.events, s.awaited
    FROM landing l JOIN saga.saga s ON s.id = l.id
   WHERE s.events = l.seen_events AND s.applied = l.seen_applied AND s.fence = l.seen_fence
     AND (NOT l.grants OR EXISTS (SELECT FROM saga.worker w WHERE w.id = %(worker)s AND w.ended_at IS NULL))
   ORDER BY s.id FOR UPDATE OF s
), moved AS (
  UPDATE saga.saga s
     SET seq = h.seq + h.transitions,
         events = h.events + h.new_events,
         applied = h.events + h.new_events,
         status = coalesce(h.status, s.status),
         fence = s.fence + (coalesce(h.status IN {sql(FORWARD)}, false)
                            OR (h.seen_applied = h.events + h.new_events AND h.transitions > 0))::int,
         result = coalesce({payloads.written("h.result")}, s.result),
         error = coalesce({payloads.written("h.error")}, s.error),
         exposed = coalesce({payloads.written("h.exposed")}, s.exposed),
         attributes = CASE WHEN h.attributes IS NULL THEN s.attributes
                           ELSE coalesce(s.attributes, '{{}}') || h.attributes::jsonb END,
         undo_cause = coalesce(h.undo_cause, s.undo_cause),
         note = h.note,
         wakes = 0,
         losses = 0,
         due_at = now() + make_interval(secs => h.due_in),
         updated_at = now(),
         ended_at = CASE WHEN h.status IS NULL THEN s.ended_at
                         WHEN h.status IN {sql(ACTIVE)} THEN NULL
                         ELSE now() END
    FROM held h WHERE s.id = h.id
  RETURNING s.id, h.awaited, s.fence, s.seq
), settled AS (
  UPDATE saga.step t
     SET state = o.state, result = {payloads.written("o.result")}, error = {payloads.written("o.error")}, in_doubt = o.in_doubt,
         event = h.events + o.event, settled_at = to_timestamp(o.at), worker_id = NULL, due_at = NULL,
         note = NULL
    FROM json_to_recordset(%(batch)s::json -> 'settled') AS o(id uuid, {SETTLED_STEP.typed})
    JOIN held h ON h.id = o.id
   WHERE t.saga_id = o.id AND t.position = o.position AND t.undo = o.undo
), asked AS (
  INSERT INTO saga.step (saga_id, position, undo, {INTENT.listed}, state, attempt, worker_id, after, due_at,
                         deadline, started_at)
  SELECT a.id, a.position, a.undo, {INTENT.written("a", args=_ARGS)}, a.state,
         (a.state = {sql(StepState.RUNNING)})::int, CASE WHEN a.state = {sql(StepState.RUNNING)} THEN %(worker)s::bigint END, a.after,
         coalesce(to_timestamp(a.due), now() + make_interval(secs => a.due_in)), to_timestamp(a.due),
         CASE WHEN a.state = {sql(StepState.RUNNING)} THEN now() END
    FROM json_to_recordset(%(batch)s::json -> 'asked') AS a(id uuid, {ASKED.typed})
    JOIN held h ON h.id = a.id
), noted AS (
  INSERT INTO saga.history (saga_id, seq, position, undo, before, after, attempt, worker_id, reason, traceback)
  SELECT h.id, h.seq + n.number, n.position, n.undo, n.before, n.after, n.attempt, %(worker)s::bigint, n.reason, n.traceback
    FROM json_to_recordset(%(batch)s::json -> 'notes') AS n(
      id uuid, number int, position int, undo bool, before text, after text, attempt int, reason text, traceback text)
    JOIN held h ON h.id = n.id
)
SELECT id, awaited, fence, seq FROM moved
"""

# Moves steps without a decision: outcomes of parallel steps, retries, timers, approvals, operators, takeovers.
# `attempt` null: whoever holds it. What is not in the answer was busy (locked) or has moved on.
# A step keeps its number in the journal: an undo that runs again is no second event.
# Workers are lost in a row: what one of them reports (`worker_id`) ends that row.
# What its worker calls unknown is due after a pause, and nobody sends its wake-up before: `wakes` is -1.
RECORD = f"""
WITH asked AS (
  SELECT * FROM unnest({MOVED.arrays}) AS t({MOVED.listed})
), held AS (
  SELECT a.*, s.seq, s.events, t.attempt AS token, t.event AS had, a.is_event AND t.event IS NULL AS is_new
    FROM asked a
    JOIN saga.saga s ON s.id = a.saga_id
    JOIN saga.step t ON t.saga_id = a.saga_id AND t.position = a.position AND t.undo = a.undo
   WHERE t.state = a.before AND (a.attempt IS NULL OR t.attempt = a.attempt)
   ORDER BY s.id, t.position, t.undo FOR UPDATE OF s, t
), numbered AS (
  SELECT h.*,
         row_number() OVER w AS number,
         sum(h.is_new::int) OVER (w ROWS UNBOUNDED PRECEDING) AS event
    FROM held h WINDOW w AS (PARTITION BY h.saga_id ORDER BY h.position, h.undo)
), moved AS (
  UPDATE saga.saga s
     SET seq = s.seq + n.transitions, events = s.events + n.events, fence = s.fence + n.fences,
         due_at = CASE WHEN n.events + n.fences > 0 AND s.status IN {sql(ACTIVE)}
                       THEN now() + make_interval(secs => %(apply_within)s) ELSE s.due_at END,
         updated_at = now()
    FROM (SELECT saga_id, count(*)::int AS transitions, sum(is_new::int)::int AS events,
                 sum((fences OR (is_event AND NOT is_new))::int)::int AS fences
            FROM numbered GROUP BY saga_id) n
   WHERE s.id = n.saga_id
), stepped AS (
  UPDATE saga.step t
     SET state = n.after,
         result = coalesce({payloads.written("n.result")}, t.result),
         error = {payloads.written("n.error")},
         in_doubt = coalesce(n.in_doubt, t.in_doubt),
         event = CASE WHEN n.is_new THEN n.events + n.event ELSE n.had END,
         worker_id = NULL,
         forgiven = t.forgiven + CASE WHEN n.void = 'not begun' THEN 1 WHEN n.worker_id IS NOT NULL THEN t.lost ELSE 0 END,
         lost = CASE WHEN n.void = 'lost' THEN t.lost + 1 WHEN n.worker_id IS NOT NULL THEN 0 ELSE t.lost END,
         wakes = CASE WHEN n.after = {sql(StepState.UNKNOWN)} AND n.worker_id IS NOT NULL THEN -1 ELSE 0 END,
         note = n.note,
         due_at = now() + make_interval(secs => n.due_in),
         settled_at = CASE WHEN n.after IN {sql(SETTLED)}
                           THEN coalesce(to_timestamp(n.at), now()) END
    FROM numbered n
   WHERE t.saga_id = n.saga_id AND t.position = n.position AND t.undo = n.undo
), noted AS (
  INSERT INTO saga.history (saga_id, seq, position, undo, before, after, attempt, worker_id, actor, reason, traceback)
  SELECT n.saga_id, n.seq + n.number, n.position, n.undo, n.before, n.after, n.token, n.worker_id, n.actor, n.reason, n.traceback
    FROM numbered n
)
SELECT saga_id, position, undo, CASE WHEN is_new THEN events + event END AS event FROM numbered
"""

CLAIM = f"""
WITH asked AS (
  SELECT * FROM unnest(%(id)s::uuid[], %(position)s::int[], %(undo)s::bool[], %(due_in)s::float8[])
    AS t(id, position, undo, due_in)
), held AS (
  SELECT a.*, s.seq, s.events, s.applied, s.fence, s.name AS saga_name, t.state AS before,
         t.attempt + 1 AS token, {INTENT.read("t")}, t.in_doubt, t.forgiven, t.lost,
         s.traceparent
    FROM asked a
    JOIN saga.saga s ON s.id = a.id
    JOIN saga.step t ON t.saga_id = a.id AND t.position = a.position AND t.undo = a.undo
   WHERE t.kind = 'step' AND t.state IN {sql(CLAIMABLE)}
     AND (t.wakes >= 0 OR t.due_at <= now())
     AND (t.undo OR s.status IN {sql(FORWARD)})
     AND EXISTS (SELECT FROM saga.worker w WHERE w.id = %(worker)s AND w.ended_at IS NULL)
   ORDER BY s.id, t.position, t.undo FOR UPDATE OF s, t
), numbered AS (
  SELECT h.*, row_number() OVER (PARTITION BY h.id ORDER BY h.position, h.undo) AS number FROM held h
), moved AS (
  UPDATE saga.saga s SET seq = s.seq + n.transitions
    FROM (SELECT id, count(*)::int AS transitions FROM numbered GROUP BY id) n WHERE s.id = n.id
), stepped AS (
  UPDATE saga.step t
     SET state = {sql(StepState.RUNNING)}, attempt = n.token, worker_id = %(worker)s::bigint, started_at = now(), note = NULL,
         wakes = 0, due_at = now() + make_interval(secs => n.due_in)
    FROM numbered n
   WHERE t.saga_id = n.id AND t.position = n.position AND t.undo = n.undo
), noted AS (
  INSERT INTO saga.history (saga_id, seq, position, undo, before, after, attempt, worker_id)
  SELECT n.id, n.seq + n.number, n.position, n.undo, n.before, {sql(StepState.RUNNING)}, n.token, %(worker)s::bigint
    FROM numbered n
)
SELECT n.id, n.position, n.undo, {INTENT.of("n")}, n.token, n.in_doubt, n.saga_name,
       n.events, n.applied, n.fence, n.forgiven, n.lost,
       CASE WHEN n.undo THEN (SELECT {payloads.read("f.result")} FROM saga.step f
                               WHERE f.saga_id = n.id AND f.position = n.position AND NOT f.undo) END,
       n.traceparent
  FROM numbered n
"""

# What replay needs of a saga beyond what the caller has seen, in one snapshot. History tells which steps have
# changed since, so that what the caller knows is not read again, however long its journal. Before code that may
# never come back runs, it is written down whose it is: see `turning.stuck`.
_HEAD = f"""s.id, s.name, s.version, s.queue, s.status, {payloads.read("s.input")}, s.events, s.applied, s.fence, s.seq,
       extract(epoch FROM s.created_at)::float8, s.undo_cause, s.due_at IS NOT NULL, s.parent_id,
       {payloads.read("s.exposed")}, s.traceparent, s.losses"""
_ENTRY = f"""t.position, t.undo, t.kind, t.name, t.state, t.event, extract(epoch FROM t.settled_at)::float8,
       {payloads.read(_OUTCOME)}, t.digest,
       CASE WHEN t.digest IS NULL AND NOT t.undo AND t.kind IN ('step', 'child', 'approval')
            THEN {payloads.read("t.args")} END, t.in_doubt"""
_LETTER = (
    f"g.event, extract(epoch FROM g.received_at)::float8, g.name, {payloads.read('g.payload')}"
)
_CHANGED = """
  (SELECT t.* FROM saga.step t WHERE t.saga_id = s.id AND a.seq < 0
   UNION ALL
   SELECT t.*
     FROM (SELECT DISTINCT h.position, h.undo FROM saga.history h
            WHERE h.saga_id = s.id AND h.seq > a.seq AND a.seq >= 0 AND h.position IS NOT NULL) c
     JOIN saga.step t ON t.saga_id = s.id AND t.position = c.position AND t.undo = c.undo) t"""
LOAD = f"""
WITH noted AS (
  INSERT INTO saga.advancing AS a (worker_id, sagas)
  SELECT %(worker)s::bigint, %(advancing)s::uuid[] WHERE cardinality(%(advancing)s::uuid[]) > 0
      ON CONFLICT (worker_id) DO UPDATE SET sagas = excluded.sagas
)
SELECT {_HEAD}, size.is_large,
       CASE WHEN NOT size.is_large THEN
         (SELECT json_agg(json_build_array({_ENTRY}) ORDER BY t.event, t.position) FROM {_CHANGED}) END,
       CASE WHEN NOT size.is_large THEN
         (SELECT json_agg(json_build_array({_LETTER}) ORDER BY g.event)
            FROM saga.signal g WHERE g.saga_id = s.id AND g.event > a.events) END
  FROM unnest(%(id)s::uuid[], %(seq)s::int[], %(events)s::int[]) AS a(id, seq, events)
  JOIN saga.saga s ON s.id = a.id
 CROSS JOIN LATERAL (
   SELECT s.events - greatest(a.events, 0) > %(many)s
      AND (SELECT coalesce(sum(pg_column_size(t.result)), 0) FROM saga.step t WHERE t.saga_id = s.id)
        + (SELECT coalesce(sum(pg_column_size(g.payload)), 0) FROM saga.signal g WHERE g.saga_id = s.id)
        + 100 * s.events > %(large)s AS is_large) size
"""

# The same of one large saga, row by row.
LOAD_HEAD = f"SELECT {_HEAD} FROM saga.saga s WHERE s.id = %(id)s"
LOAD_ENTRIES = f"""
SELECT {_ENTRY} FROM saga.saga s CROSS JOIN (SELECT %(seq)s::int AS seq) a CROSS JOIN LATERAL {_CHANGED}
 WHERE s.id = %(id)s ORDER BY t.event, t.position
"""
LOAD_LETTERS: LiteralString = f"""
SELECT {_LETTER} FROM saga.signal g WHERE g.saga_id = %(id)s AND g.event > %(events)s ORDER BY g.event
"""

# Arguments as they are stored, of the first positions that are asked for: %(size)s bytes and no more.
ARGUMENTS = f"""
SELECT position, args
  FROM (SELECT t.position, {payloads.read("t.args")} AS args,
               sum(octet_length({payloads.read("t.args")})) OVER (ORDER BY t.position) AS size
          FROM saga.step t
         WHERE t.saga_id = %(id)s AND NOT t.undo AND t.position = ANY(%(position)s::int[])) t
 WHERE size <= %(size)s
"""
OTHER_PYTHONS = """
SELECT string_agg(DISTINCT w.python, ' and ') FROM saga.history h JOIN saga.worker w ON w.id = h.worker_id
 WHERE h.saga_id = %(id)s AND w.python <> %(own)s
"""

# All steps of a saga with what their undoing needs.
LOAD_STEPS = f"""
SELECT {STEP.read("t")} FROM saga.step t WHERE t.saga_id = %(id)s ORDER BY t.position, t.undo
"""

# The same of several sagas.
LOAD_STEPS_OF_EACH = f"""
SELECT {STEP.read("t")} FROM unnest(%(id)s::uuid[]) AS a(id) JOIN saga.step t ON t.saga_id = a.id
 ORDER BY t.saga_id, t.position, t.undo
"""

# The same of some.
LOAD_SOME_STEPS = f"""
SELECT {STEP.read("t")} FROM unnest(%(id)s::uuid[], %(position)s::int[], %(undo)s::bool[]) AS a(id, position, undo)
  JOIN saga.step t ON t.saga_id = a.id AND t.position = a.position AND t.undo = a.undo
"""

# Children that completed and, with theirs, never began anything that has an undo: there is nothing to undo of them.
IDLE_CHILDREN = f"""
WITH RECURSIVE kin AS (
  SELECT s.id, s.parent_id AS saga_id, s.parent_position AS position FROM saga.saga s
   WHERE s.parent_id = ANY(%(id)s::uuid[]) AND s.status = {sql(SagaStatus.COMPLETED)}
  UNION ALL
  SELECT s.id, k.saga_id, k.position FROM kin k JOIN saga.saga s ON s.parent_id = k.id
)
SELECT k.saga_id, k.position FROM kin k
 GROUP BY k.saga_id, k.position
HAVING NOT bool_or(EXISTS (SELECT FROM saga.step t WHERE t.saga_id = k.id AND NOT t.undo
                              AND t.compensation IS NOT NULL AND t.attempt > 0))
"""

# What steps returned, read anew: a late result may have come while an undo waited to be claimed.
RESULTS = f"""
SELECT t.saga_id, t.position, {payloads.read("t.result")}
  FROM unnest(%(id)s::uuid[], %(position)s::int[]) AS a(id, position)
  JOIN saga.step t ON t.saga_id = a.id AND t.position = a.position AND NOT t.undo
"""

# Where steps stand now, to tell a busy saga from a lost race.
STATES = """
SELECT t.saga_id, t.position, t.undo, t.state, t.attempt
  FROM unnest(%(id)s::uuid[], %(position)s::int[], %(undo)s::bool[]) AS a(id, position, undo)
  JOIN saga.step t ON t.saga_id = a.id AND t.position = a.position AND t.undo = a.undo
"""

HELD_BY = "SELECT saga_id, position, undo, attempt FROM saga.step WHERE worker_id = %(worker)s"

# Together with its landing: until then a wait of that name does not give up (`due.expire`).
NOTE_CONSUMED = """
UPDATE saga.signal g SET consumed_by = c.position
  FROM unnest(%(id)s::uuid[], %(position)s::int[], %(event)s::int[]) AS c(id, position, event)
 WHERE g.saga_id = c.id AND g.event = c.event
"""

# A result that came too late: kept in the history, never applied. Not if it was taken, and the reply to it was lost.
NOTE_REJECTED = f"""
WITH held AS (
  UPDATE saga.saga s SET seq = seq + 1
   WHERE id = %(id)s
     AND NOT EXISTS (SELECT FROM saga.history h
                      WHERE h.saga_id = s.id AND h.position = %(position)s AND h.undo = %(undo)s
                        AND h.before = {sql(StepState.RUNNING)} AND h.after = %(after)s
                        AND h.attempt = %(attempt)s AND h.worker_id = %(worker_id)s)
  RETURNING seq
)
INSERT INTO saga.history (saga_id, seq, position, undo, before, after, attempt, worker_id, reason)
SELECT %(id)s, seq, %(position)s, %(undo)s, NULL, 'rejected', %(attempt)s, %(worker_id)s, %(reason)s FROM held
"""

CHOICE = "SELECT undo_only, undo_from FROM saga.saga WHERE id = %(id)s"

QUEUES = "SELECT id, queue FROM saga.saga WHERE id = ANY(%(id)s::uuid[])"

# Not of a parent that waits for it no longer.
START_CHILD = f"""
WITH started AS (
  INSERT INTO saga.saga (id, name, version, queue, input, parent_id, parent_position, due_at, traceparent)
  SELECT %(id)s::uuid, t.name, %(version)s::int, %(queue)s::text, {payloads.written("%(input)s")}, t.saga_id,
         t.position, now() + interval '2 seconds', saga.trace_below(p.id, p.traceparent)
    FROM saga.step t JOIN saga.saga p ON p.id = t.saga_id
   WHERE t.saga_id = %(parent)s AND t.position = %(position)s AND NOT t.undo
     AND t.state = {sql(StepState.WAITING)}
  ON CONFLICT (id) DO NOTHING RETURNING id
)
INSERT INTO saga.history (saga_id, seq, after, reason)
SELECT id, 1, {sql(SagaStatus.RUNNING)}, 'child' FROM started
"""

# Those that their parents wait for, and which are not there.
LOST_CHILDREN = f"""
SELECT t.saga_id, t.position, {INTENT.read("t")}
  FROM unnest(%(id)s::uuid[], %(position)s::int[], %(child)s::uuid[]) AS a(id, position, child)
  JOIN saga.step t ON t.saga_id = a.id AND t.position = a.position AND NOT t.undo
 WHERE t.state = {sql(StepState.WAITING)} AND NOT EXISTS (SELECT FROM saga.saga c WHERE c.id = a.child)
"""

ENDS_OF_CHILDREN = f"""
SELECT p.id, c.parent_position, p.queue, c.status, c.undo_cause, {payloads.read("c.result")}, {payloads.read("c.error")}
  FROM saga.saga c JOIN saga.saga p ON p.id = c.parent_id
 WHERE c.id = ANY(%(id)s::uuid[])
   AND c.status NOT IN {sql(ACTIVE)}
"""

NOTE = f"""
UPDATE saga.step SET note = %(note)s
 WHERE saga_id = %(saga_id)s AND position = %(position)s AND undo = %(undo)s AND state IN {sql(CLAIMABLE)}
"""

# When the saga itself moved. For people, and for traces.
COURSE = """
SELECT extract(epoch FROM at)::float8, after FROM saga.history
 WHERE saga_id = %(id)s AND position IS NULL ORDER BY seq
"""

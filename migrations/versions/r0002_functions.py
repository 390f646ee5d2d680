"""Starting and signalling in SQL, and the planning of callbacks.

The client calls `accept_starts` and `accept_signal`; `start` and `signal` put SQL's own errors
around them. So whoever starts a saga, in whatever language, gets the same guarantees.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

# A trace context that is not one starts no trace, and refuses no saga (W3C Trace Context, 3.2).
# `saga.core.traces` derives the same ids.
TRACES = r"""
CREATE FUNCTION saga.trace_of(traceparent text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN $1 ~
    '^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$'
  THEN '00' || substr($1, 3, 53) END
$$;
COMMENT ON FUNCTION saga.trace_of IS 'A W3C traceparent as it is stored; null if it is none.';

CREATE FUNCTION saga.trace_below(saga_id uuid, traceparent text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
  SELECT '00-' || coalesce(split_part($2, '-', 2), substr(h, 1, 32)) || '-' || substr(h, 33, 16)
         || coalesce('-' || nullif(split_part($2, '-', 4), ''), '')
    FROM encode(sha256(convert_to($1::text, 'UTF8')), 'hex') AS h
$$;
COMMENT ON FUNCTION saga.trace_below IS 'The trace context of what a saga starts.';
"""

# Workers refresh `seen_at` every few seconds: `saga.engine.sweep.sweeper`.
CHOICE = """
CREATE FUNCTION saga.definition_of(name text, version int) RETURNS SETOF saga.definition
LANGUAGE sql STABLE AS $$
  SELECT d.* FROM saga.definition d
   WHERE d.name = $1 AND ($2 IS NULL OR d.version = $2)
   ORDER BY d.seen_at > now() - interval '20 seconds' DESC, d.version DESC LIMIT 1
$$;
COMMENT ON FUNCTION saga.definition_of IS
  'What a start by name means: the newest version that a live worker has, or else the newest.';
"""

# `due_in` null: nobody sends a wake-up, so the sweeper is told and sends it at once, whatever
# else waits in the queue (`wakes` below zero).
ACCEPT = """
CREATE FUNCTION saga.accept_starts(
  ids uuid[], names text[], versions int[], queues text[], keys text[], inputs text[],
  attributes text[], callbacks text[], traces text[], actor text, due_in float8
) RETURNS TABLE (fresh boolean, queue text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  IF due_in IS NULL THEN
    PERFORM pg_notify('saga_due', '');
  END IF;
  RETURN QUERY
  WITH asked AS (
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) WITH ORDINALITY
      AS t(id, name, version, queue, key, input, attributes, callback, trace, number)
  ), known AS (
    SELECT a.*, coalesce(a.version, d.version) AS v, coalesce(a.queue, d.queue) AS q
      FROM asked a
      LEFT JOIN LATERAL saga.definition_of(a.name, a.version) d
        ON a.version IS NULL OR a.queue IS NULL
  ), started AS (
    INSERT INTO saga.saga (id, name, version, queue, key, input, attributes, callback, traceparent,
                           due_at, wakes)
    SELECT id, name, v, q, key, input::json, attributes::jsonb, callback, saga.trace_of(trace),
           now() + make_interval(secs => coalesce($11, 0)), CASE WHEN $11 IS NULL THEN -1 ELSE 0 END
      FROM known WHERE v IS NOT NULL AND q IS NOT NULL ORDER BY number
    ON CONFLICT (name, key) WHERE key IS NOT NULL DO NOTHING
    RETURNING id
  ), noted AS (
    INSERT INTO saga.history (saga_id, seq, after, actor) SELECT id, 1, 'running', $10 FROM started
  ), audited AS (
    INSERT INTO saga.audit (actor, action, saga_id) SELECT $10, 'start', id FROM started
     WHERE $10 IS NOT NULL
  )
  SELECT s.id IS NOT NULL, k.q FROM known k LEFT JOIN started s ON s.id = k.id ORDER BY k.number;
END $$;
COMMENT ON FUNCTION saga.accept_starts IS
  'Starts sagas. A row each: whether it is new, and its queue; null: no worker has announced it.';

CREATE FUNCTION saga.accept_signal(
  saga_id uuid, name text, payload text, dedup_id text, sender text, due_in float8,
  actor text DEFAULT NULL
) RETURNS TABLE (status text, queue text, known boolean, accepted boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  number int;
BEGIN
  SELECT s.status, s.queue INTO status, queue FROM saga.saga s WHERE s.id = $1 FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  -- Only now, with the row locked: a twin that came first is visible to this statement.
  known := EXISTS (SELECT FROM saga.signal g WHERE g.saga_id = $1 AND g.dedup_id = $4);
  accepted := NOT known AND status IN ('running', 'parked');
  IF accepted THEN
    UPDATE saga.saga s
       SET events = s.events + 1, updated_at = now(),
           due_at = now() + make_interval(secs => coalesce($6, 0)),
           wakes = CASE WHEN $6 IS NULL THEN -1 ELSE s.wakes END
     WHERE s.id = $1 RETURNING s.events INTO number;
    INSERT INTO saga.signal (saga_id, event, name, payload, dedup_id, sender)
    VALUES ($1, number, $2, $3::json, $4, $5);
    IF $5 IS NOT NULL THEN
      INSERT INTO saga.audit (actor, action, saga_id, details)
      VALUES (coalesce($7, $5), 'signal', $1, jsonb_strip_nulls(jsonb_build_object(
        'name', $2, 'sender', CASE WHEN $7 IS NOT NULL THEN $5 END)));
    END IF;
    IF $6 IS NULL THEN
      PERFORM pg_notify('saga_due', '');
    END IF;
  END IF;
  RETURN NEXT;
END $$;
COMMENT ON FUNCTION saga.accept_signal IS
  'Stores a signal as the next event. No row: no such saga.';
"""

# What Python's edge (`saga.core.codec`) refuses and `jsonb` takes.
CHECKS = r"""
CREATE FUNCTION saga.check_json(value jsonb, field text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  shown text := value::text;
BEGIN
  IF octet_length(shown) > 1048576 THEN
    RAISE EXCEPTION '%: % bytes of JSON, at most 1048576 are stored', field, octet_length(shown)
      USING ERRCODE = 'SG003';
  END IF;
  IF octet_length(shown) > 200 AND jsonb_path_exists(
       value, 'strict $.**{100} ? (@.type() == "object" || @.type() == "array")') THEN
    RAISE EXCEPTION '%: nested more than 100 levels deep', field USING ERRCODE = 'SG003';
  END IF;
  -- Python reads a fraction beyond 308 digits as infinite, and no whole number beyond 4300.
  IF shown ~ '\d{255}' AND EXISTS (
       SELECT FROM jsonb_path_query(value, 'strict $.** ? (@.type() == "number")') AS n(value)
        WHERE length(n.value::text) > 4300
           OR n.value::text LIKE '%.%' AND length(split_part(n.value::text, '.', 1)) > 309) THEN
    RAISE EXCEPTION '%: a number is too large', field USING ERRCODE = 'SG003';
  END IF;
  RETURN shown;
END $$;

-- Names only: the worker's types have the last word on values.
CREATE FUNCTION saga.check_arguments(input jsonb, schema jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  wrong text;
BEGIN
  IF NOT schema ? 'properties' THEN
    RETURN;
  END IF;
  SELECT min(k) INTO wrong FROM jsonb_object_keys(input) k WHERE NOT schema -> 'properties' ? k;
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION 'input: %: unknown; want %', wrong,
      (SELECT coalesce(string_agg(k, ', '), 'no arguments')
         FROM jsonb_object_keys(schema -> 'properties') k) USING ERRCODE = 'SG003';
  END IF;
  SELECT min(k) INTO wrong FROM jsonb_array_elements_text(schema -> 'required') k WHERE NOT input ? k;
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION 'input: %: missing', wrong USING ERRCODE = 'SG003';
  END IF;
END $$;

CREATE FUNCTION saga.check_text(value text, field text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF length(value) NOT BETWEEN 1 AND 500 THEN
    RAISE EXCEPTION '%: 1 to 500 characters', field USING ERRCODE = 'SG003';
  END IF;
END $$;

CREATE FUNCTION saga.check_callback(url text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF length(url) > 2000 OR url !~ '^https?://[A-Za-z0-9._:\[\]-]+([/?][!"$-~]*)?$' THEN
    RAISE EXCEPTION 'callback: want an https URL in ASCII, at most 2000 characters'
      USING ERRCODE = 'SG003';
  END IF;
END $$;
"""

# They run with their owner's rights: USAGE on the schema is all that other services need.
CALLS = """
CREATE FUNCTION saga.start(
  name text, input jsonb DEFAULT '{}', key text DEFAULT NULL, version int DEFAULT NULL,
  attributes jsonb DEFAULT NULL, callback text DEFAULT NULL, traceparent text DEFAULT NULL
) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  id uuid := gen_random_uuid();
  shown text;
  started record;
  earlier record;
BEGIN
  IF start.name IS NULL OR jsonb_typeof(start.input) IS DISTINCT FROM 'object' THEN
    RAISE EXCEPTION 'input: want the name of a saga and a JSON object with its arguments by name'
      USING ERRCODE = 'SG003';
  END IF;
  PERFORM saga.check_text(start.key, 'key');
  PERFORM saga.check_callback(start.callback);
  PERFORM saga.check_json(start.attributes, 'attributes');
  shown := saga.check_json(start.input, 'input');
  PERFORM saga.check_arguments(start.input, d.input_schema)
    FROM saga.definition_of(start.name, start.version) d;
  SELECT * INTO STRICT started FROM saga.accept_starts(
    ARRAY[id], ARRAY[start.name], ARRAY[start.version], ARRAY[NULL::text], ARRAY[start.key],
    ARRAY[shown], ARRAY[start.attributes::text], ARRAY[start.callback], ARRAY[start.traceparent],
    NULL, NULL);
  IF started.queue IS NULL THEN
    RAISE EXCEPTION 'no worker has announced saga "%"%; announced are %', start.name,
      coalesce(' version ' || start.version, ''),
      (SELECT coalesce(string_agg(DISTINCT d.name, ', ' ORDER BY d.name), 'none')
         FROM saga.definition d) USING ERRCODE = 'SG001';
  END IF;
  IF started.fresh THEN
    RETURN id;
  END IF;
  SELECT s.id, s.input::jsonb = start.input AS same INTO earlier
    FROM saga.saga s WHERE s.name = start.name AND s.key = start.key;
  IF earlier.same IS NOT TRUE THEN
    RAISE EXCEPTION 'saga "%" with key "%" was started before with another input: it is %',
      start.name, start.key, earlier.id USING ERRCODE = 'SG002';
  END IF;
  RETURN earlier.id;
END $$;
COMMENT ON FUNCTION saga.start IS
  'Starts a saga if this transaction commits. The same key with the same input starts it once.';

CREATE FUNCTION saga.find(name text, key text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT s.id FROM saga.saga s WHERE s.name = $1 AND s.key = $2
$$;
COMMENT ON FUNCTION saga.find IS 'The saga that was started with this key; null: none.';

CREATE FUNCTION saga.signal(
  saga_id uuid, name text, payload jsonb DEFAULT 'null', dedup_id text DEFAULT NULL,
  sender text DEFAULT NULL
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found record;
BEGIN
  IF signal.name IS NULL OR signal.payload IS NULL THEN
    RAISE EXCEPTION 'name: want the name of a signal and a JSON payload' USING ERRCODE = 'SG003';
  END IF;
  PERFORM saga.check_text(signal.name, 'name');
  IF starts_with(signal.name, 'saga.') THEN
    RAISE EXCEPTION 'name: %: signals named saga.* are the engine''s own', signal.name
      USING ERRCODE = 'SG003';
  END IF;
  PERFORM saga.check_text(signal.dedup_id, 'dedup_id');
  PERFORM saga.check_text(signal.sender, 'sender');
  SELECT * INTO found FROM saga.accept_signal(
    signal.saga_id, signal.name, saga.check_json(signal.payload, 'payload'), signal.dedup_id,
    signal.sender, NULL, session_user::text);
  IF found.status IS NULL THEN
    RAISE EXCEPTION 'there is no saga %', signal.saga_id USING ERRCODE = 'SG004';
  END IF;
  IF NOT found.accepted AND NOT found.known THEN
    RAISE EXCEPTION 'saga % takes no signals: it is %', signal.saga_id, found.status
      USING ERRCODE = 'SG005';
  END IF;
  RETURN found.accepted;
END $$;
COMMENT ON FUNCTION saga.signal IS
  'Sends a signal if this transaction commits. Whether it is new: a dedup_id counts once. '
  'The audit trail has the database''s role as its actor, and the sender as it was given.';

CREATE FUNCTION saga.standing(saga_id uuid) RETURNS TABLE (status text, result json, error json)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT s.status, s.result, s.error FROM saga.saga s WHERE s.id = $1
$$;
COMMENT ON FUNCTION saga.standing IS 'Where a saga stands; no row: there is none of this id.';
"""

CALLBACKS = """
CREATE FUNCTION saga.plan_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO saga.delivery (id, saga_id, seq, status, url, due_at)
  VALUES (gen_random_uuid(), NEW.id, NEW.seq, NEW.status, NEW.callback, now());
  PERFORM pg_notify('saga_due', '');
  RETURN NULL;
END $$;
CREATE TRIGGER saga_ends AFTER UPDATE OF status ON saga.saga FOR EACH ROW
  WHEN (NEW.callback IS NOT NULL AND OLD.status <> NEW.status
        AND NEW.status NOT IN ('running', 'parked', 'compensating'))
  EXECUTE FUNCTION saga.plan_delivery();
"""


def upgrade() -> None:
    for part in (TRACES, CHOICE, ACCEPT, CHECKS, CALLS, CALLBACKS):
        op.execute(part)

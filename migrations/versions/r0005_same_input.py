"""Whether a key that was used before was used for the same input, decided in one place.

What was given is kept as a digest, so that a repetition is the same whatever defaults its code has
gained since; and what differs by a default that was left out or written down is the same, too.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

GIVEN = """
ALTER TABLE saga.saga ADD COLUMN IF NOT EXISTS given BYTEA;
COMMENT ON COLUMN saga.saga.given IS
  'a digest of what was given without defaults: what a repeated start repeats';
"""

ACCEPT = """
DROP FUNCTION saga.accept_starts(
  uuid[], text[], int[], text[], text[], text[], text[], text[], text[], text, float8);

CREATE FUNCTION saga.digest_of(given text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT substr(sha256(convert_to($1::jsonb::text, 'UTF8')), 1, 16)
$$;

-- `given` null, or null for one of them: its input is what was given.
CREATE FUNCTION saga.accept_starts(
  ids uuid[], names text[], versions int[], queues text[], keys text[], inputs text[],
  attributes text[], callbacks text[], traces text[], actor text, due_in float8,
  given text[] DEFAULT NULL
) RETURNS TABLE (fresh boolean, queue text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  IF due_in IS NULL THEN
    PERFORM pg_notify('saga_due', '');
  END IF;
  RETURN QUERY
  WITH asked AS (
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $12) WITH ORDINALITY
      AS t(id, name, version, queue, key, input, attributes, callback, trace, given, number)
  ), known AS (
    SELECT a.*, coalesce(a.version, d.version) AS v, coalesce(a.queue, d.queue) AS q
      FROM asked a
      LEFT JOIN LATERAL saga.definition_of(a.name, a.version) d
        ON a.version IS NULL OR a.queue IS NULL
  ), started AS (
    INSERT INTO saga.saga (id, name, version, queue, key, input, given, attributes, callback,
                           traceparent, due_at, wakes)
    SELECT id, name, v, q, key, input::json,
           CASE WHEN key IS NOT NULL THEN saga.digest_of(coalesce(given, input)) END,
           attributes::jsonb, callback, saga.trace_of(trace),
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
"""

# An option of several is not gone into: which of them it is, only the worker's types tell.
SAME = """
CREATE FUNCTION saga.without_defaults(value jsonb, schema jsonb, root jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  options jsonb;
BEGIN
  IF schema ? '$ref' THEN
    schema := root #> string_to_array(substr(schema ->> '$ref', 3), '/');
  END IF;
  options := coalesce(schema -> 'anyOf', schema -> 'oneOf');
  IF options IS NOT NULL THEN
    SELECT jsonb_agg(o) INTO options FROM jsonb_array_elements(options) o
     WHERE o ->> 'type' IS DISTINCT FROM 'null';
    IF jsonb_array_length(options) = 1 THEN
      RETURN saga.without_defaults(value, options -> 0, root);
    END IF;
  ELSIF jsonb_typeof(value) = 'object' THEN
    RETURN (
      SELECT coalesce(jsonb_object_agg(f.key, p.part), '{}')
        FROM jsonb_each(value) f
       CROSS JOIN LATERAL (SELECT coalesce(schema -> 'properties' -> f.key,
                                           schema -> 'additionalProperties') AS below) b
       CROSS JOIN LATERAL (SELECT saga.without_defaults(f.value, b.below, root) AS part) p
       WHERE b.below -> 'default' IS NULL
          OR p.part <> saga.without_defaults(b.below -> 'default', b.below, root));
  ELSIF jsonb_typeof(value) = 'array' AND schema ? 'items' THEN
    RETURN (
      SELECT coalesce(
               jsonb_agg(saga.without_defaults(e.item, schema -> 'items', root) ORDER BY e.n), '[]')
        FROM jsonb_array_elements(value) WITH ORDINALITY AS e(item, n));
  END IF;
  RETURN value;
END $$;
COMMENT ON FUNCTION saga.without_defaults IS 'An input without what its schema says by default.';

CREATE FUNCTION saga.earlier_start(
  name text, key text, version int, input text, given text DEFAULT NULL
) RETURNS TABLE (id uuid, same boolean) LANGUAGE sql STABLE AS $$
  SELECT s.id, CASE
      WHEN s.input::jsonb = $4::jsonb OR s.given = saga.digest_of(coalesce($5, $4)) THEN true
      ELSE saga.without_defaults(s.input::jsonb, was.input_schema, was.input_schema)
         = saga.without_defaults($4::jsonb, asked.input_schema, asked.input_schema) END
    FROM saga.saga s
    LEFT JOIN LATERAL saga.definition_of(s.name, s.version) was ON true
    LEFT JOIN LATERAL saga.definition_of($1, $3) asked ON true
   WHERE s.name = $1 AND s.key = $2
$$;
COMMENT ON FUNCTION saga.earlier_start IS
  'The saga that was started with this key, and whether it was with the same input.';
"""

START = """
CREATE OR REPLACE FUNCTION saga.start(
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
  SELECT * INTO earlier FROM saga.earlier_start(start.name, start.key, start.version, shown);
  IF earlier.same IS NOT TRUE THEN
    RAISE EXCEPTION 'saga "%" with key "%" was started before with another input: it is %',
      start.name, start.key, earlier.id USING ERRCODE = 'SG002';
  END IF;
  RETURN earlier.id;
END $$;
"""


def upgrade() -> None:
    for part in (GIVEN, ACCEPT, SAME, START):
        op.execute(part)

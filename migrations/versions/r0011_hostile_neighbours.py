"""Roles that may only start and signal: SQL refuses what Python refuses, and the advisory locks of
workers have keys that they change when somebody else has taken one.
"""

from alembic import op

revision = "0011"
down_revision = "0010"

LOCKS = """
CREATE TABLE IF NOT EXISTS saga.lead (
  one boolean PRIMARY KEY DEFAULT true,
  key integer NOT NULL DEFAULT 0,
  CONSTRAINT lead_one_check CHECK (one)
);
COMMENT ON COLUMN saga.lead.key IS 'of the advisory lock that the leading sweeper holds';
INSERT INTO saga.lead DEFAULT VALUES ON CONFLICT DO NOTHING;
ALTER TABLE saga.worker ADD COLUMN IF NOT EXISTS presence integer;
COMMENT ON COLUMN saga.worker.presence IS
  'key of the advisory lock that it holds as long as it lives; null: its id';
"""

# `saga.core.callbacks.check_url` has the same rules.
CALLBACK = r"""
CREATE OR REPLACE FUNCTION saga.check_callback(url text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  port text;
  parts text[] := regexp_match(url COLLATE "C",
    '^[Hh][Tt][Tt][Pp][Ss]?://(?:[A-Za-z0-9._-]+|\[([0-9A-Fa-f:.]+)\])(?::(\d*))?(?:[/?][!-"$-~]*)?$');
BEGIN
  IF url IS NULL THEN
    RETURN;
  END IF;
  port := ltrim(parts[2], '0');
  IF parts IS NULL OR length(url) > 2000
     OR parts[2] <> '' AND (length(port) NOT BETWEEN 1 AND 5 OR port::int > 65535)
     OR parts[1] IS NOT NULL AND NOT saga.is_ipv6(parts[1]) THEN
    RAISE EXCEPTION 'callback: want a URL like https://example.com/hooks/sagas, in ASCII, without a user or a fragment, at most 2000 characters'
      USING ERRCODE = 'SG003';
  END IF;
END $$;

CREATE FUNCTION saga.is_ipv6(address text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN family(address::inet) = 6;
EXCEPTION WHEN invalid_text_representation THEN
  RETURN false;
END $$;
"""

# jsonb is written with a space after each comma and colon, which Python's JSON has not. It has also
# lost how a number was given: one beyond what a fraction may be was as likely meant as one.
JSON = r"""
CREATE OR REPLACE FUNCTION saga.check_json(value jsonb, field text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  shown text := value::text;
  size bigint := octet_length(shown);
BEGIN
  IF size BETWEEN 1048577 AND 2097152 THEN
    size := octet_length(regexp_replace(shown, '("(?:[^"\\]|\\.)*")|([,:]) ', '\1\2', 'g'));
  END IF;
  IF size > 1048576 THEN
    RAISE EXCEPTION '%: % bytes of JSON, at most 1048576 are stored', field, size
      USING ERRCODE = 'SG003';
  END IF;
  IF octet_length(shown) > 200 AND jsonb_path_exists(
       value, 'strict $.**{100} ? (@.type() == "object" || @.type() == "array")') THEN
    RAISE EXCEPTION '%: nested more than 100 levels deep', field USING ERRCODE = 'SG003';
  END IF;
  IF shown ~ '\d{255}' AND EXISTS (
       SELECT FROM jsonb_path_query(value, 'strict $.** ? (@.type() == "number")') AS n(value)
        WHERE abs(n.value::numeric) >= 1.797693134862315807937e308) THEN
    RAISE EXCEPTION '%: a number is too large', field USING ERRCODE = 'SG003';
  END IF;
  RETURN shown;
END $$;
"""

START = """
CREATE FUNCTION saga.check_attributes(attributes jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF jsonb_typeof(attributes) <> 'object' THEN
    RAISE EXCEPTION 'attributes: want a JSON object' USING ERRCODE = 'SG003';
  END IF;
  PERFORM saga.check_json(attributes, 'attributes');
END $$;

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
  PERFORM saga.check_attributes(start.attributes);
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
    for part in (LOCKS, CALLBACK, JSON, START):
        op.execute(part)

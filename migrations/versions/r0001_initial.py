"""The first schema."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE saga.audit (
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  saga_id UUID,
  position INTEGER,
  reason TEXT,
  refused TEXT,
  details JSONB,
  CONSTRAINT audit_pkey PRIMARY KEY (id)
);
CREATE INDEX audit_saga_id_idx ON saga.audit (saga_id);
COMMENT ON COLUMN saga.audit.refused IS 'why nothing was changed; null: it was done';
CREATE TABLE saga.definition (
  name TEXT NOT NULL,
  version INTEGER NOT NULL,
  queue TEXT NOT NULL,
  input_schema JSONB NOT NULL,
  seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT definition_pkey PRIMARY KEY (name, version)
);
CREATE TABLE saga.delivery (
  id UUID NOT NULL,
  saga_id UUID NOT NULL,
  seq INTEGER NOT NULL,
  status TEXT NOT NULL,
  url TEXT NOT NULL,
  state TEXT DEFAULT 'due' NOT NULL,
  attempt INTEGER DEFAULT '0' NOT NULL,
  forgiven INTEGER DEFAULT '0' NOT NULL,
  due_at TIMESTAMP WITH TIME ZONE,
  response INTEGER,
  error TEXT,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  settled_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT delivery_pkey PRIMARY KEY (id),
  CONSTRAINT delivery_state_check CHECK (state = ANY ('{due,delivered,given_up}'::text[]))
);
CREATE INDEX delivery_created_at_idx ON saga.delivery (created_at, id);
CREATE INDEX delivery_due_at_idx ON saga.delivery (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX delivery_open_idx ON saga.delivery (created_at, id) WHERE state <> 'delivered';
CREATE UNIQUE INDEX delivery_saga_id_seq_key ON saga.delivery (saga_id, seq);
COMMENT ON COLUMN saga.delivery.id IS 'sent along, so that receivers can deduplicate';
COMMENT ON COLUMN saga.delivery.seq IS 'the end''s number in the saga''s history';
COMMENT ON COLUMN saga.delivery.status IS 'how the saga ended';
COMMENT ON COLUMN saga.delivery.attempt IS 'the fencing token';
COMMENT ON COLUMN saga.delivery.forgiven IS 'the fencing token when somebody had it made again: those before count no longer';
COMMENT ON COLUMN saga.delivery.due_at IS 'the next attempt, or the end of a lease';
COMMENT ON COLUMN saga.delivery.response IS 'HTTP status of the last attempt';
COMMENT ON COLUMN saga.delivery.error IS 'why the last attempt failed';
CREATE TABLE saga.history (
  saga_id UUID NOT NULL,
  seq INTEGER NOT NULL,
  at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
  position INTEGER,
  undo BOOLEAN,
  before TEXT,
  after TEXT NOT NULL,
  attempt INTEGER,
  worker_id BIGINT,
  actor TEXT,
  reason TEXT,
  CONSTRAINT history_pkey PRIMARY KEY (saga_id, seq),
  CONSTRAINT history_seq_check CHECK (seq >= 1)
);
COMMENT ON COLUMN saga.history.position IS 'null: the saga itself';
COMMENT ON COLUMN saga.history.actor IS 'a person or service, where one acted';
CREATE TABLE saga.saga (
  id UUID NOT NULL,
  name TEXT NOT NULL,
  version INTEGER NOT NULL,
  queue TEXT NOT NULL,
  key TEXT,
  input JSON NOT NULL,
  status TEXT DEFAULT 'running' NOT NULL,
  rare BOOLEAN GENERATED ALWAYS AS (status <> ALL ('{running,completed}'::text[])) STORED NOT NULL,
  seq INTEGER DEFAULT '1' NOT NULL,
  events INTEGER DEFAULT '0' NOT NULL,
  applied INTEGER DEFAULT '0' NOT NULL,
  fence INTEGER DEFAULT '0' NOT NULL,
  result JSON,
  error JSON,
  exposed JSON,
  attributes JSONB,
  callback TEXT,
  undo_cause TEXT,
  undo_only INTEGER[],
  undo_from INTEGER,
  due_at TIMESTAMP WITH TIME ZONE,
  wakes INTEGER DEFAULT '0' NOT NULL,
  awaited BOOLEAN DEFAULT false NOT NULL,
  note TEXT,
  parent_id UUID,
  parent_position INTEGER,
  traceparent TEXT,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  ended_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT saga_pkey PRIMARY KEY (id),
  CONSTRAINT saga_status_check CHECK (status = ANY ('{running,parked,compensating,completed,failed,compensated,partly_compensated,cancelled}'::text[])),
  CONSTRAINT saga_undo_cause_check CHECK (undo_cause = ANY ('{failure,cancel,operator,parent}'::text[])),
  CONSTRAINT saga_counters_check CHECK (applied <= events AND seq >= 1)
)
 WITH (fillfactor = 60);
CREATE INDEX saga_attributes_idx ON saga.saga USING gin (attributes jsonb_path_ops) WHERE attributes IS NOT NULL;
CREATE INDEX saga_created_at_idx ON saga.saga (created_at, id);
CREATE INDEX saga_due_at_idx ON saga.saga (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX saga_name_created_at_idx ON saga.saga (name, created_at, id);
CREATE UNIQUE INDEX saga_name_key_key ON saga.saga (name, key) WHERE key IS NOT NULL;
CREATE INDEX saga_parent_id_idx ON saga.saga (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX saga_rare_idx ON saga.saga (created_at, id) WHERE rare;
COMMENT ON COLUMN saga.saga.queue IS 'where `advance` wake-ups go';
COMMENT ON COLUMN saga.saga.key IS 'the caller''s idempotency key';
COMMENT ON COLUMN saga.saga.rare IS 'the status is one that people look for';
COMMENT ON COLUMN saga.saga.seq IS 'last number in history';
COMMENT ON COLUMN saga.saga.events IS 'last number in the journal';
COMMENT ON COLUMN saga.saga.applied IS 'last event decided upon';
COMMENT ON COLUMN saga.saga.fence IS 'raised when anyone but a lease''s holder moves a step';
COMMENT ON COLUMN saga.saga.exposed IS 'what the saga''s code shows of itself';
COMMENT ON COLUMN saga.saga.attributes IS 'the caller''s, for search';
COMMENT ON COLUMN saga.saga.callback IS 'the URL that is told of each end';
COMMENT ON COLUMN saga.saga.undo_cause IS 'why it compensates: failure, cancel, operator or parent';
COMMENT ON COLUMN saga.saga.undo_only IS 'the positions that an operator wants undone; null: all';
COMMENT ON COLUMN saga.saga.undo_from IS 'the first position that an operator wants undone';
COMMENT ON COLUMN saga.saga.due_at IS 'when the sweeper wakes it, if nobody did';
COMMENT ON COLUMN saga.saga.wakes IS 'sweeper''s wake-ups in vain';
COMMENT ON COLUMN saga.saga.awaited IS 'somebody waits for its end: announce it';
COMMENT ON COLUMN saga.saga.note IS 'why it does not go on, for people';
COMMENT ON COLUMN saga.saga.traceparent IS 'W3C trace context of its start, of its parent if it is a child; without flags: whether it is sampled follows from the trace''s id';
CREATE TABLE saga.signal (
  saga_id UUID NOT NULL,
  event INTEGER NOT NULL,
  name TEXT NOT NULL,
  payload JSON NOT NULL,
  dedup_id TEXT,
  sender TEXT,
  received_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
  consumed_by INTEGER,
  CONSTRAINT signal_pkey PRIMARY KEY (saga_id, event)
);
CREATE UNIQUE INDEX signal_saga_id_dedup_id_key ON saga.signal (saga_id, dedup_id) WHERE dedup_id IS NOT NULL;
COMMENT ON COLUMN saga.signal.consumed_by IS 'the position that waited for it';
CREATE TABLE saga.step (
  saga_id UUID NOT NULL,
  position INTEGER NOT NULL,
  undo BOOLEAN NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  queue TEXT,
  state TEXT NOT NULL,
  attempt INTEGER DEFAULT '0' NOT NULL,
  worker_id BIGINT,
  args JSON NOT NULL,
  result JSON,
  error JSON,
  compensation TEXT,
  undo_queue TEXT,
  pivot BOOLEAN DEFAULT false NOT NULL,
  read_only BOOLEAN DEFAULT false NOT NULL,
  in_doubt BOOLEAN DEFAULT false NOT NULL,
  forgiven INTEGER DEFAULT '0' NOT NULL,
  after INTEGER NOT NULL,
  event INTEGER,
  due_at TIMESTAMP WITH TIME ZONE,
  deadline TIMESTAMP WITH TIME ZONE,
  wakes INTEGER DEFAULT '0' NOT NULL,
  note TEXT,
  asked_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  started_at TIMESTAMP WITH TIME ZONE,
  settled_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT step_pkey PRIMARY KEY (saga_id, position, undo),
  CONSTRAINT step_kind_check CHECK (kind = ANY ('{step,timer,signal,approval,child}'::text[])),
  CONSTRAINT step_state_check CHECK (state = ANY ('{ready,running,retrying,unknown,waiting,blocked,succeeded,failed,cancelled,skipped}'::text[])),
  CONSTRAINT step_lease_check CHECK ((state = 'running') = (worker_id IS NOT NULL)),
  CONSTRAINT step_settled_check CHECK ((state IN ('succeeded', 'failed', 'cancelled', 'skipped')) = (settled_at IS NOT NULL))
)
 WITH (fillfactor = 80);
CREATE INDEX step_approval_idx ON saga.step (asked_at, saga_id, position, name) WHERE kind = 'approval' AND state = 'waiting';
CREATE INDEX step_blocked_idx ON saga.step (saga_id) WHERE state = 'blocked';
CREATE INDEX step_due_at_idx ON saga.step (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX step_started_at_idx ON saga.step USING brin (started_at);
CREATE INDEX step_worker_id_idx ON saga.step (worker_id) WHERE worker_id IS NOT NULL;
COMMENT ON COLUMN saga.step.undo IS 'a compensation of that position';
COMMENT ON COLUMN saga.step.attempt IS 'the fencing token';
COMMENT ON COLUMN saga.step.worker_id IS 'who holds the lease';
COMMENT ON COLUMN saga.step.undo_queue IS 'where the compensation runs';
COMMENT ON COLUMN saga.step.read_only IS 'it has no effect: not in the ledger, nothing to undo';
COMMENT ON COLUMN saga.step.in_doubt IS 'an attempt ended unknown and no probe has answered since; of an undo that succeeded: it ran without its step''s result';
COMMENT ON COLUMN saga.step.forgiven IS 'attempts before an operator''s retry, which count no longer';
COMMENT ON COLUMN saga.step.after IS 'last event known when it was asked for';
COMMENT ON COLUMN saga.step.event IS 'its own number in the journal, once settled';
COMMENT ON COLUMN saga.step.due_at IS 'wake-up, retry, timer or deadline, by state';
COMMENT ON COLUMN saga.step.deadline IS 'as it was asked for: when a timer fires or a wait gives up';
COMMENT ON COLUMN saga.step.wakes IS 'sweeper''s wake-ups in vain';
COMMENT ON COLUMN saga.step.note IS 'why it does not go on, for people';
COMMENT ON COLUMN saga.step.started_at IS 'of the last attempt';
CREATE TABLE saga.step_type (
  name TEXT NOT NULL,
  result_schema JSONB NOT NULL,
  seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  CONSTRAINT step_type_pkey PRIMARY KEY (name)
);
COMMENT ON COLUMN saga.step_type.result_schema IS 'of what the step returns';
CREATE TABLE saga.token (
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  hash BYTEA NOT NULL,
  hint TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  expires_at TIMESTAMP WITH TIME ZONE,
  revoked_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT token_pkey PRIMARY KEY (id),
  CONSTRAINT token_role_check CHECK (role = ANY ('{viewer,operator,approver,admin}'::text[]))
);
CREATE UNIQUE INDEX token_hash_key ON saga.token (hash);
CREATE UNIQUE INDEX token_name_key ON saga.token (name) WHERE revoked_at IS NULL;
COMMENT ON COLUMN saga.token.name IS 'the actor in the audit trail';
COMMENT ON COLUMN saga.token.hash IS 'SHA-256 of the token';
COMMENT ON COLUMN saga.token.hint IS 'the token''s first letters, to tell it by';
CREATE TABLE saga.worker (
  id BIGINT GENERATED ALWAYS AS IDENTITY,
  name TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  queues TEXT[] NOT NULL,
  started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
  lease_until TIMESTAMP WITH TIME ZONE NOT NULL,
  ended_at TIMESTAMP WITH TIME ZONE,
  ended_why TEXT,
  CONSTRAINT worker_pkey PRIMARY KEY (id)
);
COMMENT ON COLUMN saga.worker.name IS 'host:pid';
COMMENT ON COLUMN saga.worker.ended_at IS 'stopped, or taken for dead';
"""

GUARDS = """
CREATE FUNCTION saga.refuse_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'illegal move of % from % to %', TG_TABLE_NAME, to_jsonb(OLD) ->> TG_ARGV[0],
    to_jsonb(NEW) ->> TG_ARGV[0] USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER step_moves BEFORE UPDATE ON saga.step FOR EACH ROW
  WHEN (OLD.state IS DISTINCT FROM NEW.state
        AND OLD.state || '>' || NEW.state <> ALL ('{ready>cancelled,ready>failed,ready>running,running>blocked,running>failed,running>ready,running>retrying,running>succeeded,running>unknown,retrying>cancelled,retrying>failed,retrying>ready,unknown>blocked,unknown>failed,unknown>running,waiting>blocked,waiting>cancelled,waiting>failed,waiting>succeeded,blocked>cancelled,blocked>failed,blocked>ready,blocked>skipped,blocked>succeeded,blocked>waiting,failed>blocked,failed>ready,failed>waiting,cancelled>ready,cancelled>waiting}')
        AND NOT (OLD.state = 'succeeded' AND NEW.state = 'ready'
        AND OLD.undo
        AND OLD.in_doubt))
  EXECUTE FUNCTION saga.refuse_move('state');
CREATE TRIGGER step_starts BEFORE INSERT ON saga.step FOR EACH ROW
  WHEN (NEW.state NOT IN ('ready', 'running', 'waiting'))
  EXECUTE FUNCTION saga.refuse_move('state');
CREATE TRIGGER saga_moves BEFORE UPDATE ON saga.saga FOR EACH ROW
  WHEN (OLD.status IS DISTINCT FROM NEW.status
        AND OLD.status || '>' || NEW.status <> ALL ('{running>cancelled,running>compensated,running>compensating,running>completed,running>failed,running>parked,running>partly_compensated,parked>cancelled,parked>compensated,parked>compensating,parked>completed,parked>failed,parked>partly_compensated,parked>running,compensating>cancelled,compensating>compensated,compensating>failed,compensating>partly_compensated,completed>compensating,partly_compensated>compensating,failed>compensating,failed>running,compensated>compensating,cancelled>compensating}'))
  EXECUTE FUNCTION saga.refuse_move('status');
CREATE TRIGGER saga_starts BEFORE INSERT ON saga.saga FOR EACH ROW
  WHEN (NEW.status NOT IN ('running'))
  EXECUTE FUNCTION saga.refuse_move('status');
CREATE FUNCTION saga.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER history_is_append_only BEFORE UPDATE ON saga.history FOR EACH ROW
  EXECUTE FUNCTION saga.refuse_change();
CREATE TRIGGER history_goes_with_its_saga BEFORE DELETE ON saga.history FOR EACH ROW
  WHEN (current_setting('saga.pruning', true) IS DISTINCT FROM pg_current_xact_id()::text)
  EXECUTE FUNCTION saga.refuse_change();
CREATE TRIGGER history_is_kept BEFORE TRUNCATE ON saga.history FOR EACH STATEMENT
  EXECUTE FUNCTION saga.refuse_change();
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(GUARDS)

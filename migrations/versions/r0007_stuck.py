"""Sagas whose code ends its worker: who was at them, and how often that went wrong."""

from alembic import op

revision = "0007"
down_revision = "0006"

# Unlogged: it is only of use as long as the server does not crash itself.
TABLES = """
ALTER TABLE saga.saga ADD COLUMN IF NOT EXISTS losses SMALLINT DEFAULT '0' NOT NULL;
COMMENT ON COLUMN saga.saga.losses IS
  'workers lost one after the other while its code ran; at three it is parked until it is retried';
CREATE UNLOGGED TABLE IF NOT EXISTS saga.advancing (
  worker_id BIGINT NOT NULL,
  sagas UUID[] NOT NULL,
  CONSTRAINT advancing_pkey PRIMARY KEY (worker_id)
);
COMMENT ON COLUMN saga.advancing.sagas IS 'whose code it may be running';
"""


def upgrade() -> None:
    op.execute(TABLES)

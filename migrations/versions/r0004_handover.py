"""Workers say which code they have, and where wake-ups for it are handed over to them."""

from alembic import op

revision = "0004"
down_revision = "0003"

COLUMNS = """
ALTER TABLE saga.worker ADD COLUMN IF NOT EXISTS code text[], ADD COLUMN IF NOT EXISTS handover text;
COMMENT ON COLUMN saga.worker.code IS 'sagas and steps that it can run';
COMMENT ON COLUMN saga.worker.handover IS 'queue of wake-ups from workers without this code';
"""


def upgrade() -> None:
    op.execute(COLUMNS)

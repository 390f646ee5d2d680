"""Workers say which Python they run on."""

from alembic import op

revision = "0008"
down_revision = "0007"

COLUMNS = """
ALTER TABLE saga.worker ADD COLUMN IF NOT EXISTS python text;
COMMENT ON COLUMN saga.worker.python IS 'its version, as 3.11';
"""


def upgrade() -> None:
    op.execute(COLUMNS)

"""The history of what failed has its traceback."""

from alembic import op

revision = "0009"
down_revision = "0008"

COLUMN = """
ALTER TABLE saga.history ADD COLUMN IF NOT EXISTS traceback text;
COMMENT ON COLUMN saga.history.traceback IS 'of what the code raised, at most 16 KiB';
"""


def upgrade() -> None:
    op.execute(COLUMN)

"""A worker's death has a budget of its own: it uses up none of a step's attempts."""

from alembic import op

revision = "0003"
down_revision = "0002"

LOST = """
ALTER TABLE saga.step ADD COLUMN IF NOT EXISTS lost INTEGER DEFAULT '0' NOT NULL;
COMMENT ON COLUMN saga.step.lost IS
  'workers lost at it in a row: attempts that use up none';
COMMENT ON COLUMN saga.step.forgiven IS
  'attempts that count no longer: before an operator''s retry, of lost workers, never begun';
"""


def upgrade() -> None:
    op.execute(LOST)

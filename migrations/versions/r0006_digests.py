"""Digests of what steps were asked for with.

A row without one was written by 0.1.0: a replay is then held to its arguments themselves.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

DIGEST = """
ALTER TABLE saga.step ADD COLUMN IF NOT EXISTS digest BIGINT;
COMMENT ON COLUMN saga.step.digest IS 'of the arguments that a replay is held to';
"""


def upgrade() -> None:
    op.execute(DIGEST)

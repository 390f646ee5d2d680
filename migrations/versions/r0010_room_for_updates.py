"""More room for updates in place: fewer of a saga's changes make new entries in its indexes."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("ALTER TABLE saga.saga SET (fillfactor = 30)")

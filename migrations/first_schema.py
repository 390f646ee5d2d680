"""Writes versions/r0001_initial.py from the models and the tables of legal moves.

`python migrations/first_schema.py > migrations/versions/r0001_initial.py`, until the first release;
from then on revisions are written by hand.
"""

import re
import sys
from collections.abc import Iterator

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from saga.core.states import SAGA_MOVES, STEP_MOVES, illegal_move_condition
from saga.models import metadata

_REVISION = '''"""The first schema."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
{tables}
"""

GUARDS = """
{guards}
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(GUARDS)
'''

# A row of the history goes only in a transaction that says so, as `saga.storage.prune` does.
_GUARDS = """\
CREATE FUNCTION saga.refuse_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'illegal move of % from % to %', TG_TABLE_NAME, to_jsonb(OLD) ->> TG_ARGV[0],
    to_jsonb(NEW) ->> TG_ARGV[0] USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER step_moves BEFORE UPDATE ON saga.step FOR EACH ROW
  WHEN ({step_moves})
  EXECUTE FUNCTION saga.refuse_move('state');
CREATE TRIGGER step_starts BEFORE INSERT ON saga.step FOR EACH ROW
  WHEN (NEW.state NOT IN ({step_starts}))
  EXECUTE FUNCTION saga.refuse_move('state');
CREATE TRIGGER saga_moves BEFORE UPDATE ON saga.saga FOR EACH ROW
  WHEN ({saga_moves})
  EXECUTE FUNCTION saga.refuse_move('status');
CREATE TRIGGER saga_starts BEFORE INSERT ON saga.saga FOR EACH ROW
  WHEN (NEW.status NOT IN ({saga_starts}))
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
  EXECUTE FUNCTION saga.refuse_change();"""


def revision() -> str:
    """The whole file."""
    guards = _GUARDS.format(
        step_moves=_wrapped(illegal_move_condition("state", STEP_MOVES)),
        step_starts=_listed(STEP_MOVES[None]),
        saga_moves=_wrapped(illegal_move_condition("status", SAGA_MOVES)),
        saga_starts=_listed(SAGA_MOVES[None]),
    )
    tables = [line for table in metadata.sorted_tables for line in _table(table)]
    return _REVISION.format(tables="\n".join(tables), guards=guards)


def _table(table: Table) -> Iterator[str]:
    dialect = postgresql.dialect()
    created = str(CreateTable(table).compile(dialect=dialect)).strip()
    yield re.sub(r" +\n", "\n", created).replace("\t", "  ") + ";"
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        yield f"{CreateIndex(index).compile(dialect=dialect)};"
    for column in table.columns:
        if column.comment:
            comment = column.comment.replace("'", "''")
            yield f"COMMENT ON COLUMN {table.fullname}.{column.name} IS '{comment}';"


def _wrapped(condition: str) -> str:
    return re.sub(" AND (?=OLD|NOT)", "\n        AND ", condition)


def _listed(states: frozenset[str]) -> str:
    return ", ".join(f"'{state}'" for state in sorted(states))


if __name__ == "__main__":
    sys.stdout.write(revision())

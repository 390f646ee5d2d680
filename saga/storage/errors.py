"""What an error of Postgres means to whoever asked it something."""

import psycopg
from psycopg import errors
from psycopg.pq.abc import PGconn

from saga.errors import SagaError, SchemaOutdated, Unavailable

_OLD_SCHEMA = (
    errors.UndefinedFunction,
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.InvalidSchemaName,
)
# The connection's own failure has no code; these are of its end, and of servers that stop.
_AWAY = ("08", "57P")


def explained(error: psycopg.Error) -> SagaError | None:
    """The error as ours; None if it is nothing that Postgres, or its administrator, could mend."""
    if isinstance(error, _OLD_SCHEMA):
        return SchemaOutdated(
            "the database lacks tables, columns or functions of this release: run `saga migrate`"
        )
    if is_away(error):
        return Unavailable(f"Postgres is away: {type(error).__name__}")
    if isinstance(error, errors.LockNotAvailable):
        return Unavailable("another session holds a row that this needs: nothing done; try again")
    if isinstance(error, errors.QueryCanceled):
        return Unavailable("Postgres ended a statement that took too long: try again")
    if isinstance(error, (psycopg.OperationalError, errors.InsufficientPrivilege)):
        reason = turned_away(error) or error.diag.message_primary or type(error).__name__
        return Unavailable(f"Postgres refuses: {reason}")
    return None


def is_away(error: BaseException | None) -> bool:
    """Whether Postgres did not answer, as against answering with an error."""
    if not isinstance(error, psycopg.OperationalError) or turned_away(error):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_AWAY)


def turned_away(error: BaseException | None) -> str | None:
    """Why the server refused a connection, such as for a wrong password; None if it did not, or if
    it only takes no connections yet.
    """
    if not isinstance(error, psycopg.OperationalError) or error.pgconn is None:
        return None
    # Of a connection that came to nothing libpq keeps the text alone, and no code.
    _, _, refusal = str(error).partition("FATAL:")
    reason = refusal.strip().partition("\n")[0]
    return None if reason.startswith("the database system is") else reason or None


def told(error: psycopg.Error) -> str:
    """Which server did not answer, or what it refused, and why; without a password."""
    place = f" at {_place(error.pgconn)}" if error.pgconn else ""
    refusal = turned_away(error)
    if refusal:
        return f"Postgres{place} refuses: {refusal}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    return f"Postgres{place} does not answer: {reason.removeprefix('connection failed: ')}"


def _place(pgconn: PGconn) -> str:
    user, host, port, name = (
        part.decode(errors="replace") for part in (pgconn.user, pgconn.host, pgconn.port, pgconn.db)
    )
    if host.startswith("/"):
        return f"postgresql://{user}@/{name}?host={host}&port={port}"
    return f"postgresql://{user}@{host}:{port}/{name}"

"""Connections that only read, and database errors in words that say what to do."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from saga.errors import InvalidInput, Unavailable
from saga.storage.errors import explained, is_away
from saga.storage.queries.page import UNREAD, Unread
from saga.storage.urls import libpq_url, parts_of

_TIMEOUT = 30  # seconds a statement of a person may take
_READ_ONLY = "-c default_transaction_read_only=on"


def reader(database_url: str, *, pool_size: int = 5, asynchronous: bool = False) -> Engine:
    """An engine for `snapshot`; it connects at its first use. Raises InvalidInput.

    One that is `asynchronous` is for an AsyncEngine, or for what runs in greenlets.
    """
    driver = "psycopg_async" if asynchronous else "psycopg"
    engine = create_engine(
        parse_url(database_url).set(drivername=f"postgresql+{driver}"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        pool_pre_ping=True,
        isolation_level="REPEATABLE READ",
        connect_args={
            "connect_timeout": 5,
            "application_name": "saga reader",
            "options": f"{_READ_ONLY} -c statement_timeout={_TIMEOUT}s -c jit=off",
        },
    )
    event.listen(engine, "before_cursor_execute", _leave_unread)
    return engine


def _leave_unread(_: Any, cursor: Any, *rest: Any) -> None:
    """JSON is left as it is stored for a statement that says so."""
    context = rest[2]
    if context is not None and context.execution_options.get(UNREAD):
        for kind in ("json", "jsonb"):
            cursor.adapters.register_loader(kind, _UnreadLoader)


class _UnreadLoader(Loader):
    def load(self, data: Buffer) -> Unread:
        return Unread(bytes(data))


@contextmanager
def snapshot(engine: Engine) -> Generator[Connection, None, None]:
    """A read-only transaction in which everything is seen as of one moment.

    Raises Unavailable when Postgres does not answer, and SchemaOutdated when it lacks our tables.
    """
    try:
        with engine.connect() as connection:
            yield connection
    except PoolTimeout as error:
        raise Unavailable("all connections for reading are in use: try again") from error
    except DBAPIError as error:
        raise _explained(error, engine.url) from error


def shown_url(url: str) -> str:
    """A URL as it may be shown: without its password."""
    try:
        parsed = parse_url(url) if url.startswith("postgres") else make_url(url)
    except (ArgumentError, InvalidInput, ValueError):
        return "(a URL that cannot be read)"
    kept = {key: value for key, value in parsed.query.items() if "password" not in key}
    hidden = URL.create(
        parsed.drivername.partition("+")[0],
        username=parsed.username or None,
        host=parsed.host,
        port=parsed.port,
        database=parsed.database,
        query=kept,
    )
    return hidden.render_as_string()


def parse_url(database_url: str) -> URL:
    """Raises InvalidInput for what is no URL of a Postgres."""
    parts = parts_of(libpq_url(database_url))
    port = parts.pop("port", "")
    if port and not port.isdecimal():  # of several hosts
        parts["port"], port = port, ""
    user, password = parts.pop("user", None), parts.pop("password", None)
    is_plain = "," not in parts.get("host", "") and not parts.get("host", "/").startswith("/")
    return URL.create(
        "postgresql",
        username=user,
        password=password,
        host=parts.pop("host") if is_plain else None,
        port=int(port) if port else None,
        database=parts.pop("dbname", None),
        query=parts,
    )


def _explained(error: DBAPIError, url: URL) -> Exception:
    cause = error.orig
    if isinstance(cause, errors.QueryCanceled):
        return Unavailable(
            f"the query took more than {_TIMEOUT} s: narrow it, for instance with since"
        )
    if isinstance(cause, psycopg.Error) and not is_away(cause):
        return explained(cause) or error
    if isinstance(error, OperationalError):
        where = shown_url(url.render_as_string(hide_password=False))
        return Unavailable(f"Postgres at {where} does not answer: {_reason(cause)}")
    return error


def _reason(cause: BaseException | None) -> str:
    """The first line of the text of psycopg, which repeats itself for each address."""
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0] if lines else type(cause).__name__

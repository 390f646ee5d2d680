"""psycopg's connections for an event loop, as the statements of this package take them.

What calls them runs in a greenlet of SQLAlchemy's `greenlet_spawn`, and is set aside while the
event loop waits for the server: one text of SQL, and one program around it, for both kinds.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from sqlalchemy.util import await_only

from saga.errors import InvalidInput
from saga.storage.starts import Executor


class AwaitedConnection:
    """A `psycopg.AsyncConnection` with those methods of a `psycopg.Connection` that are in use."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    @property
    def closed(self) -> bool:
        return self._connection.closed

    def fileno(self) -> int:
        return self._connection.fileno()

    def execute(self, query: Any, parameters: Any = None, **options: Any) -> "AwaitedCursor":
        return AwaitedCursor(await_only(self._connection.execute(query, parameters, **options)))

    @contextmanager
    def transaction(self) -> Generator[None]:
        block = self._connection.transaction()
        await_only(block.__aenter__())
        try:
            yield
        except BaseException as error:
            if not await_only(block.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            await_only(block.__aexit__(None, None, None))

    def close(self) -> None:
        await_only(self._connection.close())


class AwaitedCursor:
    """What a statement has returned."""

    def __init__(self, cursor: psycopg.AsyncCursor[Any]) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def fetchone(self) -> Any:
        return await_only(self._cursor.fetchone())

    def fetchall(self) -> list[Any]:
        return await_only(self._cursor.fetchall())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchall())


def async_executor(connection: Any) -> Executor:
    """Runs statements inside the caller's transaction, which the caller commits: psycopg's
    AsyncConnection, or SQLAlchemy's AsyncConnection or AsyncSession.
    """
    raw = AwaitedConnection(_raw(connection))

    def execute(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        return raw.execute(sql, parameters).fetchall()

    return execute


def _raw(connection: Any) -> psycopg.AsyncConnection[Any]:
    if isinstance(connection, psycopg.AsyncConnection):
        return cast("psycopg.AsyncConnection[Any]", connection)
    if hasattr(connection, "sync_session"):  # an AsyncSession of SQLAlchemy
        connection = await_only(connection.connection())
    if hasattr(connection, "get_raw_connection"):  # an AsyncConnection of SQLAlchemy
        driver = await_only(connection.get_raw_connection()).driver_connection
        if isinstance(driver, psycopg.AsyncConnection):
            return cast("psycopg.AsyncConnection[Any]", driver)
    raise InvalidInput(
        "connection: a psycopg.AsyncConnection, or an AsyncConnection or AsyncSession of "
        f"SQLAlchemy on psycopg 3, not {type(connection).__name__}"
    )

"""Statements on the caller's connection: psycopg's, SQLAlchemy's or Django's."""

from typing import Any, cast

import psycopg

from saga.errors import InvalidInput
from saga.storage.starts import Executor


def executor(connection: Any) -> Executor:
    """Runs statements inside the caller's transaction, which the caller commits."""
    raw = _raw(connection)

    def execute(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        return raw.execute(sql, parameters).fetchall()

    return execute


def _raw(connection: Any) -> Any:
    if isinstance(connection, psycopg.Connection):
        return cast("Any", connection)
    if callable(getattr(connection, "connection", None)):  # a Session of SQLAlchemy
        connection = connection.connection()
    if hasattr(connection, "ensure_connection"):  # of Django, which opens it at first use
        connection.ensure_connection()
    inner = getattr(connection, "connection", None)  # a Connection of SQLAlchemy, or Django's
    if isinstance(inner, psycopg.Connection):
        return cast("Any", inner)
    driver = getattr(inner, "driver_connection", None)
    if isinstance(driver, psycopg.Connection):
        return cast("Any", driver)
    raise InvalidInput(
        "connection: a psycopg.Connection, a SQLAlchemy Connection or Session, or Django's, "
        f"on psycopg 3, not {type(connection).__name__}"
    )

"""Connections for reading: read-only, one moment, and errors that say what to do."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import InternalError

from saga.errors import SchemaOutdated, Unavailable
from saga.storage.queries import list_sagas, reader, shown_url, snapshot
from tests.storage.rows import Rows

Open = Callable[[str], AbstractContextManager[Connection]]


@pytest.fixture
def reading() -> Iterator[Open]:
    """Snapshots on an engine that is disposed of afterwards."""
    with ExitStack() as stack:

        def opened(url: str) -> AbstractContextManager[Connection]:
            engine = reader(url)
            stack.callback(engine.dispose)
            return snapshot(engine)

        yield opened


def test_it_sees_one_moment(reading: Open, database_url: str, rows: Rows) -> None:
    with reading(database_url) as connection:
        assert list_sagas(connection).rows == ()
        rows.saga()
        assert list_sagas(connection).rows == ()


def test_it_cannot_write(reading: Open, database_url: str) -> None:
    with pytest.raises(InternalError), reading(database_url) as connection:
        connection.execute(text("DELETE FROM saga.worker"))


def test_nobody_listens(reading: Open) -> None:
    url = "postgresql://ann:hush@127.0.0.1:1/shop"
    with pytest.raises(Unavailable) as caught, reading(url):
        pass
    assert "postgresql://ann@127.0.0.1:1/shop" in str(caught.value)
    assert "does not answer" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_an_unmigrated_database(reading: Open, empty_database_url: str) -> None:
    with (
        pytest.raises(SchemaOutdated, match="run `saga migrate`"),
        reading(empty_database_url) as connection,
    ):
        list_sagas(connection)


def test_a_connection_that_was_cut_is_replaced(reading: Open, database_url: str) -> None:
    engine = reader(database_url, pool_size=1)
    with snapshot(engine) as connection:
        victim = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with reading(database_url) as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": victim})
    with snapshot(engine) as connection:
        assert list_sagas(connection).rows == ()
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:hush@host:5/db", "postgresql://ann@host:5/db"),
        ("postgresql+psycopg://ann:hush@host/db", "postgresql://ann@host/db"),
        (
            "postgresql://host/db?password=hush&sslmode=require",
            "postgresql://host/db?sslmode=require",
        ),
        ("redis://:hush@host:6379/0", "redis://host:6379/0"),
        ("nonsense hush", "(a URL that cannot be read)"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown

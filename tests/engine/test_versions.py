"""A saga that is started by its name gets the newest version that can run."""

from collections.abc import Iterator

import psycopg
import pytest

from saga import Client, InvalidInput, saga
from saga.core.declare.definitions import SagaDefinition
from saga.core.declare.registry import registry
from saga.engine.sweep.sweeper import Sweeper
from saga.storage import announcements
from saga.storage.callers import executor
from saga.wakeups.publisher import SilentPublisher

_LONG_AGO = "UPDATE saga.definition SET seen_at = now() - interval '1 hour'"
_VERSION = "SELECT version FROM saga.saga WHERE id = %s"


@pytest.fixture
def sql(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        announcements.announce(
            executor(connection), [("order", n, f"queue{n}", "{}") for n in (1, 2)]
        )
        connection.execute(_LONG_AGO)
        yield connection


@pytest.fixture
def order() -> SagaDefinition[..., None]:
    with registry.sandbox():

        @saga(version=2)
        async def order() -> None: ...

    return order


def started(sql: psycopg.Connection, url: str) -> tuple[int, int]:
    """The versions that SQL and Python start."""
    with Client(url) as client:
        from_python = client.start("order").id
    from_sql = sql.execute("SELECT saga.start('order')").fetchone() or ()
    found = [sql.execute(_VERSION, (one,)).fetchone() for one in (*from_sql, from_python)]
    first, second = (row[0] for row in found if row)
    return first, second


def test_the_newest_that_a_live_worker_has(sql: psycopg.Connection, database_url: str) -> None:
    assert started(sql, database_url) == (2, 2)
    workers = [
        Sweeper(database_url, SilentPublisher(), patience=60.0, announced=[("order", version)])
        for version in (1, 2)
    ]
    workers[0].sweep()
    assert started(sql, database_url) == (1, 1)
    workers[1].sweep()
    assert started(sql, database_url) == (2, 2)
    workers[1].stop()
    assert started(sql, database_url) == (1, 1)
    workers[0].stop()
    assert started(sql, database_url) == (2, 2)


def test_a_version_that_is_asked_for(sql: psycopg.Connection) -> None:
    sql.execute("UPDATE saga.definition SET seen_at = now() WHERE version = 1")
    row = sql.execute("SELECT saga.start('order', version => 2)").fetchone() or ()
    assert sql.execute(_VERSION, row).fetchone() == (2,)


def test_another_version_than_that_of_the_definition_is_refused(
    order: SagaDefinition[..., None], database_url: str
) -> None:
    with Client(database_url) as client:
        assert client.start(order, version=2, key="a").id
        with pytest.raises(InvalidInput, match="is version 2, not 1; start 'order' by its name"):
            client.start(order, version=1, key="b")

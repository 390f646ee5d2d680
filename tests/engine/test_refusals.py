"""What Postgres answers is told apart from its not answering."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from saga import Client, Unavailable
from saga.client.connections import Connections
from saga.errors import SchemaOutdated
from saga.storage.errors import explained, is_away
from saga.storage.starts import Executor


@pytest.fixture
def connections(database_url: str) -> Iterator[Connections]:
    made = Connections(database_url, "test")
    yield made
    made.close()


def saying(*statements: str) -> Callable[[Executor], Any]:
    def work(execute: Executor) -> None:
        for statement in statements:
            execute(statement, {})

    return work


@pytest.mark.parametrize(
    ("statements", "error", "text"),
    [
        (["SELECT 1 FROM saga.nothing"], SchemaOutdated, "run `saga migrate`"),
        (["SELECT saga.nothing()"], SchemaOutdated, "run `saga migrate`"),
        (
            ["SELECT set_config('statement_timeout', '50', false)", "SELECT pg_sleep(60)"],
            Unavailable,
            "a statement that took too long",
        ),
        (
            ["SELECT set_config('role', 'pg_monitor', false)", "SELECT id FROM saga.saga"],
            Unavailable,
            "Postgres refuses: permission denied for schema saga",
        ),
        (["SELECT pg_terminate_backend(pg_backend_pid())"], Unavailable, "Postgres is away"),
    ],
)
def test_each_has_its_own_text(
    connections: Connections, statements: list[str], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        connections.call(saying(*statements))


def test_a_row_that_another_session_holds(database_url: str) -> None:
    with Client(database_url) as client, psycopg.connect(database_url) as other:
        other.execute(
            "INSERT INTO saga.definition (name, version, queue, input_schema)"
            " VALUES ('order', 1, 'sagas', '{}')"
        )
        other.commit()
        started = client.start("order")
        other.execute("SELECT FROM saga.saga FOR UPDATE")
        with pytest.raises(Unavailable, match="another session holds a row"):
            started.signal("go")


def test_what_is_no_matter_of_the_server() -> None:
    assert explained(psycopg.errors.CheckViolation()) is None
    assert explained(psycopg.DataError()) is None
    full = psycopg.errors.DiskFull()
    assert str(explained(full)) == "Postgres refuses: DiskFull"
    assert not is_away(full)
    assert is_away(psycopg.OperationalError())
    assert is_away(psycopg.errors.AdminShutdown())

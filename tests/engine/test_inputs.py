"""What is started by name is checked against what workers announced, before anything is stored."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from saga import Client, InvalidInput, StartRequest, UnknownSaga
from saga.core.declare.signatures import Parameters
from tests.test_layers import HEAVY

MISSING = "order: item: missing; want item: string, amount: integer .may be left out."


@dataclass
class Line:
    item: str
    count: int


def order(item: str, amount: int = 1) -> None: ...
def newer(item: str, amount: int = 1, colour: str = "red") -> None: ...
def basket(lines: list[Line]) -> None: ...


@pytest.fixture
def sql(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        announce(connection, "order", 1, order)
        announce(connection, "basket", 1, basket)
        yield connection


@pytest.fixture
def client(sql: psycopg.Connection, database_url: str) -> Iterator[Client]:
    del sql
    made = Client(database_url)
    yield made
    made.close()


def announce(connection: psycopg.Connection, name: str, version: int, function: Any) -> None:
    schema = json.dumps(Parameters(function, name).json_schema())
    connection.execute(
        "INSERT INTO saga.definition (name, version, queue, input_schema)"
        " VALUES (%s, %s, 'sagas', %s)",
        (name, version, schema),
    )


def count(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM saga.saga").fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, MISSING),
        ({"amount": 1}, MISSING),
        ({"itm": "x"}, "order: itm: unknown; want item: string"),
        ({"item": 7}, "order: item: want string, not a number"),
        ({"item": "x", "amount": [1]}, "order: amount: want integer, not an array"),
    ],
)
def test_what_it_cannot_take(
    client: Client, sql: psycopg.Connection, given: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidInput, match=why):
        client.start("order", **given)
    with pytest.raises(InvalidInput, match=why):
        client.start("order", version=1, connection=sql, **given)
    good, bad = (StartRequest("order", {"item": "x"}), StartRequest("order", given))
    with pytest.raises(InvalidInput, match=why):
        client.start_many([good, bad])
    assert count(sql) == 0, "all or none"


def test_what_it_can(client: Client, sql: psycopg.Connection) -> None:
    client.start("order", item="x")
    client.start("order", item="x", amount="3")  # the worker reads it as a number
    client.start("basket", lines=[Line("x", 1), {"item": "y", "count": 2}])
    with pytest.raises(InvalidInput, match=r"basket: lines.1.count: missing"):
        client.start("basket", lines=[Line("x", 1), {"item": "y"}])
    assert count(sql) == 3


def test_positions_say_nothing_without_the_code(client: Client) -> None:
    with pytest.raises(InvalidInput, match="by name takes its arguments by name"):
        client.start("order", "x")  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_a_saga_that_is_not_there(client: Client, sql: psycopg.Connection) -> None:
    with pytest.raises(UnknownSaga, match=r"no worker has announced saga 'ordr'; .*order"):
        client.start("ordr", item="x")
    with pytest.raises(UnknownSaga, match="'order' version 7"):
        client.start("order", version=7, item="x")
    with pytest.raises(InvalidInput, match="version"):
        client.start("order", version=0, item="x")
    assert count(sql) == 0


def test_a_newer_version_counts_at_once(client: Client, sql: psycopg.Connection) -> None:
    """Nothing is refused by what was kept of an earlier look."""
    client.start("order", item="x")
    with pytest.raises(InvalidInput, match="colour: unknown"):
        client.start("order", item="x", colour="blue")
    announce(sql, "order", 2, newer)
    client.start("order", item="x", colour="blue")
    with pytest.raises(InvalidInput, match="colour: unknown"):
        client.start("order", version=1, item="x", colour="blue")
    assert count(sql) == 2


@pytest.mark.usefixtures("sql")
def test_a_process_that_starts_by_name_stays_light(database_url: str, broker_url: str) -> None:
    """Not only the import: what is at work loads no Celery either."""
    program = f"""
import sys
from saga import Client, SagaError
client = Client({database_url!r}, {broker_url!r})
order = client.start("order", item="x", key="k")
client.signal(order.id, "seen", {{"at": 1}})
try:
    client.approve(order.id, by="ann")
except SagaError:
    pass
try:
    order.result(0.1)
except TimeoutError:
    pass
client.close()
print(*sorted(set({HEAVY}) & set(sys.modules)))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr

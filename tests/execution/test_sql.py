"""Sagas that another service starts in SQL, to their ends on a real worker."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from saga import Client, InvalidInput, SagaFailed
from tests.live.processes import shop_worker, until


@pytest.fixture
def sql(
    database_url: str, broker_url: str, tmp_path: Path
) -> Generator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection of another service; a worker runs."""
    with (
        shop_worker(database_url, broker_url, tmp_path / "worker"),
        psycopg.connect(database_url) as connection,
    ):
        yield connection


@pytest.fixture
def client(database_url: str) -> Generator[Client]:
    made = Client(database_url)
    yield made
    made.close()


def start(sql: psycopg.Connection, statement: str) -> Any:
    row = sql.execute(statement.encode()).fetchone()
    return row and row[0]


def test_it_starts_with_the_commit_and_never_otherwise(
    sql: psycopg.Connection, client: Client
) -> None:
    lost = start(sql, """SELECT saga.start('order', '{"item": "chair"}', key => 'lost')""")
    sql.rollback()
    sql.execute("CREATE TABLE bought (item text)")
    sql.execute("INSERT INTO bought VALUES ('lamp')")
    found = start(sql, """SELECT saga.start('order', '{"item": "lamp"}', key => 'kept')""")
    sql.commit()
    assert client.handle(found).result(timeout=60) == {"reservation": "1 x lamp", "paid": 1}
    rows = sql.execute("SELECT id FROM saga.saga").fetchall()
    assert rows == [(found,)]
    assert lost != found


def test_it_is_signalled(sql: psycopg.Connection, client: Client) -> None:
    start(sql, """SELECT saga.start('parcel', '{"number": 1}', key => 'p')""")
    sql.commit()
    for at in ("depot", "door"):
        sql.execute(
            "SELECT saga.signal(saga.find('parcel', 'p'), 'seen', to_jsonb(%s::text))", (at,)
        )
        sql.commit()
    handle = client.find("parcel", "p")
    assert handle.result(timeout=60) == ["depot", "door"]
    row = sql.execute("SELECT status, result FROM saga.standing(%s)", (handle.id,)).fetchone()
    assert row == ("completed", ["depot", "door"])


def test_a_signal_of_the_engine_is_nobody_elses(sql: psycopg.Connection, client: Client) -> None:
    found = start(sql, """SELECT saga.start('parcel', '{"number": 1}')""")
    sql.commit()
    with pytest.raises(psycopg.Error, match=r"signals named saga\.\* are") as caught:
        sql.execute("SELECT saga.signal(%s, 'saga.taken_back')", (found,))
    assert caught.value.sqlstate == "SG003"
    with pytest.raises(InvalidInput, match=r"name: saga\.taken_back: signals named saga\.\* are"):
        client.signal(found, "saga.taken_back")


@pytest.mark.parametrize(
    ("given", "field"),
    [('{"item": "x", "amount": "y"}', "amount"), ('{"item": [1]}', "item")],
)
def test_input_that_the_saga_cannot_take_fails_it(
    sql: psycopg.Connection, client: Client, given: str, field: str
) -> None:
    """SQL knows no types of Python's: the worker says what is wrong."""
    found = start(sql, f"SELECT saga.start('order', '{given}')")
    sql.commit()
    with pytest.raises(SagaFailed, match=field) as caught:
        client.handle(found).result(timeout=60)
    assert caught.value.status == "failed"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ('{"item": "x", "amuont": 1}', "input: amuont: unknown; want item, amount"),
        ('{"amount": 1}', "input: item: missing"),
    ],
)
def test_names_are_checked_at_once(sql: psycopg.Connection, given: str, text: str) -> None:
    with pytest.raises(psycopg.Error, match=text) as caught:
        start(sql, f"SELECT saga.start('order', '{given}')")
    assert caught.value.sqlstate == "SG003"


def test_a_worker_says_that_its_versions_can_run_until_it_stops(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    with (
        psycopg.connect(database_url, autocommit=True) as sql,
        shop_worker(database_url, broker_url, tmp_path / "worker") as worker,
    ):
        sql.execute("UPDATE saga.definition SET seen_at = now() - interval '1 hour'")
        until(lambda: {"order", "parcel"} <= _live(sql), "it says so")
        worker.stop()
        assert _live(sql) == set()


def _live(sql: psycopg.Connection[tuple[Any, ...]]) -> set[str]:
    query = "SELECT name FROM saga.definition WHERE seen_at > now() - interval '20 seconds'"
    return {name for (name,) in sql.execute(query)}

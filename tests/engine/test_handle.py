"""What a client's methods return: types that checkers see, and what a handle can do."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, assert_type
from uuid import UUID

import psycopg
import pytest
from pydantic import BaseModel

from saga import Client, Handle, InvalidCall, StartRequest, saga
from saga.core.declare.registry import registry


class Receipt(BaseModel):
    amount: int


with registry.sandbox():

    @saga
    async def order(item: str) -> Receipt:
        raise NotImplementedError(item)

    @saga
    async def keyed(item: str, key: str = "none") -> None:
        raise NotImplementedError(item, key)


@pytest.fixture
def client(database_url: str) -> Iterator[Client]:
    with Client(database_url) as made:
        yield made


@pytest.fixture
def sql(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def complete(sql: psycopg.Connection, handle: Handle[Any], result: str) -> None:
    sql.execute(
        "UPDATE saga.saga SET status = 'completed', ended_at = now(), result = %s WHERE id = %s",
        (result, handle.id),
    )


def test_the_result_has_the_type_of_the_saga(client: Client, sql: psycopg.Connection) -> None:
    handle = client.start(order, "vase")
    assert_type(handle, Handle[Receipt])
    complete(sql, handle, '{"amount": 3}')
    with registry.sandbox():
        registry.add_saga(order)
        result = handle.result(timeout=timedelta(seconds=30))
    assert_type(result, Receipt)
    assert result == Receipt(amount=3)


def test_many_have_it_too(client: Client) -> None:
    many = client.start_many([StartRequest(order, {"item": "vase"}) for _ in range(2)])
    assert_type(many, list[Handle[Receipt]])
    assert len({handle.id for handle in many}) == 2


def test_what_is_started_by_name_returns_anything(client: Client, sql: psycopg.Connection) -> None:
    announced = "INSERT INTO saga.definition VALUES ('parcel', 1, 'sagas', '{}')"
    sql.execute(announced)
    handle = client.start("parcel", item="vase")
    assert_type(handle, Handle[Any])
    assert_type(client.handle(handle.id), Handle[Any])
    complete(sql, handle, "[1]")
    assert handle.result(timeout=60) == [1]


@pytest.mark.parametrize("timeout", [0, 0.0, timedelta(0)], ids=["int", "float", "timedelta"])
def test_how_long_to_wait(client: Client, timeout: Any) -> None:
    handle = client.start(order, "vase")
    with pytest.raises(TimeoutError, match="is still running"):
        handle.result(timeout)


def test_a_signal_in_ones_own_transaction(client: Client, sql: psycopg.Connection) -> None:
    handle = client.start(order, "vase")
    with sql.transaction(force_rollback=True):
        assert handle.signal("paid", 1, connection=sql, sender="till")
    count = "SELECT count(*), max(sender) FROM saga.signal WHERE saga_id = %s"
    assert sql.execute(count, (handle.id,)).fetchone() == (0, None)
    assert handle.signal("paid", 1, sender="till", dedup_id="a")
    assert not handle.signal("paid", 1, sender="till", dedup_id="a")
    assert sql.execute(count, (handle.id,)).fetchone() == (1, "till")


def test_a_parameter_that_start_takes_for_its_option(
    client: Client, sql: psycopg.Connection
) -> None:
    def stored(handle: Handle[Any]) -> Any:
        return sql.execute(
            "SELECT input, key FROM saga.saga WHERE id = %s", (handle.id,)
        ).fetchone()

    with pytest.raises(InvalidCall, match=r"'key' is an option of start.*StartRequest\(saga, inp"):
        client.start(keyed, "vase", key="a")
    (one,) = client.start_many([StartRequest(keyed, {"item": "vase", "key": "a"}, key="b")])
    assert stored(one) == ({"item": "vase", "key": "a"}, "b")
    both = client.start(keyed, "vase", "a", key="c")
    assert stored(both) == ({"item": "vase", "key": "a"}, "c")
    assert isinstance(client.find("keyed", "c").id, UUID)

"""Starts and signals as Celery messages from an app that has none of our code."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import redis
from celery import Celery

from saga import Client
from saga.operations.embedded import EmbeddedStack
from tests.live.processes import Process, shop_worker, until

START, SIGNAL = "saga.start", "saga.signal"


@contextmanager
def foreign_app(broker_url: str) -> Generator[Celery]:
    """What another service has: a broker's URL, and nothing of ours."""
    app = Celery("web", broker=broker_url, set_as_current=False)
    app.conf.broker_connection_retry_on_startup = True
    yield app
    app.close()


class Shop:
    """A worker, and the foreign app that talks to it."""

    def __init__(self, app: Celery, worker: Process, client: Client, database_url: str) -> None:
        self.app, self.worker, self.client = app, worker, client
        self._database_url = database_url

    def send(self, task: str, message_id: str | None = None, **arguments: Any) -> str:
        app: Any = self.app
        sent = app.send_task(task, kwargs=arguments, queue="sagas", task_id=message_id)
        return str(sent.id)

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._database_url, autocommit=True) as connection:
            return connection.execute(statement.encode(), parameters).fetchall()

    def started(self, key: str, name: str = "order") -> Any:
        def find() -> Any:
            found = self.rows("SELECT saga.find(%s, %s)", name, key)[0][0]
            return found and self.client.handle(found)

        return until(find, f"a saga with key {key}", describe=lambda: self.worker.output)

    def says(self, *words: str) -> str:
        """The line of the worker's log that has all of these words."""

        def line() -> str:
            lines = self.worker.output.splitlines()
            return next((one for one in lines if all(word in one for word in words)), "")

        return until(line, f"{words} in the log", describe=lambda: self.worker.output)


@contextmanager
def opened(database_url: str, broker_url: str, folder: Path, *options: str) -> Generator[Shop]:
    client = Client(database_url, broker_url)
    with (
        foreign_app(broker_url) as app,
        shop_worker(database_url, broker_url, folder / "worker", *options) as worker,
    ):
        yield Shop(app, worker, client, database_url)
    client.close()


@pytest.fixture
def shop(database_url: str, broker_url: str, tmp_path: Path) -> Generator[Shop]:
    with opened(database_url, broker_url, tmp_path) as running:
        yield running


def test_a_foreign_app_starts_and_signals(shop: Shop) -> None:
    shop.send(START, name="order", input={"item": "lamp", "amount": 2}, key="o-1")
    assert shop.started("o-1").result(timeout=60) == {"reservation": "2 x lamp", "paid": 2}

    shop.send(
        START, name="parcel", input={"number": 1}, key="p-1", attributes={"van": 3}, version=1
    )
    shop.send(SIGNAL, saga="parcel", key="p-1", name="seen", payload={"at": "depot"})
    handle = shop.started("p-1", "parcel")
    until(lambda: shop.rows("SELECT FROM saga.signal"), "the signal is there")
    shop.send(SIGNAL, id=str(handle.id), name="seen", payload="door", sender="van 3")
    assert handle.result(timeout=60) == [{"at": "depot"}, "door"]
    assert shop.rows("SELECT attributes FROM saga.saga WHERE id = %s", handle.id) == [({"van": 3},)]
    audited = shop.rows("SELECT actor, details->>'sender' FROM saga.audit WHERE action = 'signal'")
    assert audited == [("celery", "van 3")]


def test_the_trace_context_of_a_message(shop: Shop) -> None:
    """Where OpenTelemetry's instrumentation of Celery puts it."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    app: Any = shop.app
    arguments = {"name": "order", "input": {"item": "lamp"}, "key": "o-1"}
    app.send_task(START, kwargs=arguments, queue="sagas", headers={"traceparent": trace})
    handle = shop.started("o-1")
    found = shop.rows("SELECT traceparent FROM saga.saga WHERE id = %s", handle.id)
    assert found == [(trace,)]


def test_each_process_of_a_pool_takes_messages(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    with opened(database_url, broker_url, tmp_path, "--pool", "prefork") as shop:
        for number in range(12):
            shop.send(START, name="order", input={"item": "lamp"}, key=str(number))
        for number in range(12):
            assert shop.started(str(number)).result(timeout=60)["paid"] == 1


def test_a_signal_may_come_before_its_saga(shop: Shop) -> None:
    shop.send(SIGNAL, saga="parcel", key="p-1", name="seen", payload=1)
    shop.says("goes back to its queue", "no saga 'parcel' was started with key '…'")
    shop.send(START, name="parcel", input={"number": 1}, key="p-1")
    handle = shop.started("p-1", "parcel")
    shop.send(SIGNAL, saga="parcel", key="p-1", name="seen", payload=2)
    assert sorted(handle.result(timeout=60)) == [1, 2]


def test_a_message_that_comes_twice_counts_once(shop: Shop) -> None:
    first = str(uuid4())
    for _ in range(3):
        shop.send(START, first, name="parcel", input={"number": 1})
    handle = shop.started(f"celery:{first}", "parcel")
    second = str(uuid4())
    for _ in range(3):
        shop.send(SIGNAL, second, id=str(handle.id), name="seen", payload="once")
    last = str(uuid4())
    shop.send(START, last, name="order", input={"item": "end"})
    shop.started(f"celery:{last}").result(timeout=60)
    assert shop.rows("SELECT count(*) FROM saga.saga") == [(2,)]
    assert shop.rows("SELECT payload FROM saga.signal") == [("once",)]


@pytest.mark.parametrize(
    ("task", "arguments", "words"),
    [
        (START, {"name": "ordr", "input": {}}, ("did you mean order",)),
        (START, {}, ("name", "it takes name, input, key, version, attributes, callback")),
        (START, {"name": "order", "inputs": {}}, ("it takes", "did you mean input?")),
        (START, {"name": 7}, ("name", "want text, not int")),
        (START, {"name": "order", "input": [1]}, ("input", "want an object, not list")),
        (START, {"name": "order", "input": {"amount": 1}}, ("order", "item")),
        (START, {"name": "order", "input": {"item": "x", "amount": "y"}}, ("order", "amount")),
        (START, {"name": "order", "input": {"item": "x", "amount": 1e999}}, ("amount",)),
        (START, {"name": "order", "input": {"item": "a\0b"}}, ("item", "NUL")),
        (START, {"name": "order", "input": {"item": "x"}, "callback": "file:///"}, ("callback",)),
        (SIGNAL, {"name": "seen"}, ("want id=, or saga= and key=",)),
        (SIGNAL, {"name": "seen", "id": "x"}, ("id: not the id of a saga",)),
    ],
)
def test_a_bad_message_is_logged_and_harms_nobody(
    shop: Shop, task: str, arguments: dict[str, Any], words: tuple[str, ...]
) -> None:
    message_id = shop.send(task, **arguments)
    shop.says("ERROR", message_id, "is refused", *words)
    assert "Traceback" not in shop.worker.output
    shop.send(START, name="order", input={"item": "lamp"}, key="next")
    shop.started("next").result(timeout=60)
    assert shop.rows("SELECT count(*) FROM saga.saga") == [(1,)]


def test_other_arguments_for_a_key_are_refused(shop: Shop) -> None:
    shop.send(START, name="order", input={"item": "lamp"}, key="k")
    found = shop.started("k")
    found.result(timeout=60)
    same = shop.send(START, name="order", input={"item": "lamp", "amount": 1}, key="k")
    again = shop.send(START, name="order", input={"item": "chair"}, key="k")
    shop.says("ERROR", again, "another input", str(found.id))
    late = shop.send(SIGNAL, id=str(found.id), name="seen")
    shop.says("ERROR", late, "takes no signals: it is completed")
    assert same not in shop.worker.output


def garbage() -> list[Any]:
    """What `send_task` cannot write, but somebody else can."""
    deep = "[" * 100_000 + "]" * 100_000
    whole = json.loads(_message("[[], {}, {}]"))
    return [
        pytest.param(text if isinstance(text, bytes) else text.encode(), id=name)
        for name, text in {
            "text": b"not a message",
            "bytes": b"\xff\xfe",
            "array": b"[]",
            "deep array": deep,
            "empty": b"{}",
            "body only": b'{"body": "x"}',
            "body of text": _message("not a body"),
            "deep body": _message(f'[[], {{"name": "order", "input": {deep}}}, {{}}]'),
            "pickle": json.dumps({**whole, "content-type": "application/x-python-serialize"}),
            "no headers": json.dumps({**whole, "headers": {}}),
            "unknown task": json.dumps({**whole, "headers": {"task": "no.such", "id": "1"}}),
        }.items()
    ]


@pytest.mark.slow
def test_garbage_harms_nobody(shop: Shop, broker_url: str) -> None:
    for number, found in enumerate(garbage()):
        with redis.Redis.from_url(broker_url) as connection:
            connection.lpush("sagas", *found.values)
        shop.send(START, name="order", input={"item": "lamp"}, key=f"after {number}")
        shop.started(f"after {number}").result(timeout=60)
        assert shop.worker.is_running, (found, shop.worker.output)
    shop.says("thrown away what is no message")


def _message(body: str) -> str:
    identity = str(uuid4())
    headers = {"lang": "py", "task": START, "id": identity, "origin": "test"}
    properties = {
        "correlation_id": identity,
        "delivery_info": {"exchange": "", "routing_key": "sagas"},
        "delivery_mode": 2,
        "delivery_tag": identity,
        "priority": 0,
    }
    return json.dumps(
        {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": properties,
        }
    )


def test_payloads_are_in_no_log(database_url: str, broker_url: str, tmp_path: Path) -> None:
    with opened(database_url, broker_url, tmp_path, "--loglevel", "DEBUG", "--events") as shop:
        shop.send(START, name="order", input={"item": "c4n4ry"}, key="k")
        shop.started("k").result(timeout=60)
        refused = shop.send(START, name="order", input={"item": "c4n4ry", "amount": "c4n4ry"})
        shop.says(refused, "is refused")
        assert "c4n4ry" not in shop.worker.output


@pytest.mark.slow
def test_what_comes_while_postgres_is_away_is_not_lost(
    own_stack: EmbeddedStack, tmp_path: Path
) -> None:
    with opened(own_stack.database_url, own_stack.broker_url, tmp_path) as shop:
        own_stack.postgres.stop()
        shop.send(START, name="order", input={"item": "lamp"}, key="k")
        shop.says("goes back to its queue", "Postgres is away")
        own_stack.postgres.start()
        assert shop.started("k").result(timeout=60)["paid"] == 1

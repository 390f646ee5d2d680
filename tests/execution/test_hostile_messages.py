"""Whatever stands in the broker's lists: refused, counted, told without its content, and no worker
ends by it.
"""

import json
import re
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from saga import Client
from tests.execution.test_inbox import SIGNAL, START, Shop, opened
from tests.live.processes import Process, shop_worker, until
from tests.operations.test_metrics import samples

SECRET = "c4n4ry-of-the-mine"
DEEP = "[" * 100_000 + "]" * 100_000


def typed(kind: str, value: Any) -> str:
    """As kombu's JSON writes what JSON has not."""
    return json.dumps({"x": {"__type__": kind, "__value__": value}, "secret": SECRET})


def message(body: Any = "[[], {}, {}]", **changes: Any) -> str:
    """What Celery sends; with `headers__x=` and the like, one thing in it changed."""
    identity = str(uuid4())
    whole: dict[str, Any] = {
        "body": body,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": START, "id": identity, "origin": "test"},
        "properties": {
            "correlation_id": identity,
            "delivery_info": {"exchange": "", "routing_key": "sagas"},
            "delivery_mode": 2,
            "delivery_tag": identity,
            "priority": 0,
        },
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = whole
        for parent in parents:
            place = place[parent]
        place[last.replace("_of_", "-")] = value
    return json.dumps(whole)


HOSTILE = [
    SECRET,
    b"\xff\xfe" + SECRET.encode(),
    DEEP,
    "[]",
    "7",
    "1" * 100_000,
    typed("uuid", {"a": 1}),
    typed("uuid", 1),
    typed("base64", "%%%"),
    typed("base64", 7),
    typed("bytes", {}),
    typed("datetime", "yesterday"),
    typed("date", []),
    typed("time", None),
    typed("decimal", "x"),
    typed("decimal", {}),
    typed("none such", 1),
    json.dumps({"x": {"__type__": [], "__value__": 1}}),
    message(headers=[SECRET]),
    message(headers=SECRET),
    message(headers__task=["x"]),
    message(headers__task="n" * 1_000_000),
    message(headers__task=None),
    message(headers__id={"a": SECRET}),
    message(headers__id="i" * 1_000_000),
    message(headers__timelimit=5),
    message(headers__eta=SECRET),
    message(headers__expires={"a": 1}),
    message(headers__retries=SECRET),
    message(headers__compression="zlib"),
    message(headers__compression=7),
    message(headers__argsrepr=[SECRET]),
    message(properties=[]),
    message(properties=None),
    message(properties__delivery_tag=[1]),
    message(properties__delivery_info="x"),
    message(properties__body_encoding="base64"),
    message(properties__body_encoding=[]),
    message(properties__priority="high"),
    message(body=7),
    message(body=DEEP),
    message(body=DEEP, headers__origin="saga", headers__task="saga.advance"),
    message(body=DEEP, headers__origin="saga", headers__task="nobody"),
    message(body=json.dumps([SECRET]), headers__origin="saga", headers__task="saga.advance"),
    message(body=f'[["{SECRET}", 1, false], {{}}, {{}}]', headers__task="saga.advance"),
    message(body=f'[["{uuid4()}", 1e400, false], {{}}, {{}}]', headers__task="reserve"),
    message(body=f'[["{uuid4()}", {10**40}, false], {{}}, {{}}]', headers__task="reserve"),
    message(body=f'[["{uuid4()}", {{"a": 1}}, 7], {{}}, {{}}]', headers__origin="saga"),
    message(body=f'[[], {{"name": "{SECRET}"}}, {{}}]', headers__task="saga.strat"),
    message(body=SECRET, content_of_type="application/x-python-serialize"),
    message(body=SECRET, content_of_type="application/none"),
    message(body=SECRET, content_of_type=[]),
    message(body=SECRET, content_of_encoding="none"),
    message(body="\ud800"),
    message(body=f'[[], {{}}, {{"callbacks": 7, "chord": "{SECRET}"}}]'),
]


@contextmanager
def shop_of(
    database_url: str, broker_url: str, folder: Path, *options: str, app: str = "tests.live.shop"
) -> Generator[tuple[Client, Process]]:
    options = ("--metrics-port", "0", "--loglevel", "INFO", *options)
    with (
        shop_worker(database_url, broker_url, folder / "log", *options, app=app) as worker,
        Client(database_url, broker_url) as client,
    ):
        yield client, worker


def refused(worker: Process) -> float:
    """How many messages it says that it has refused."""
    (url,) = re.findall(r"http://\S+", worker.output)
    with urllib.request.urlopen(url) as reply:
        found = samples(reply.read())
    return sum(value for (name, _), value in found.items() if "messages_refused_total" in name)


@pytest.mark.parametrize(
    ("app", "pool"),
    [
        ("tests.live.shop", "threads"),
        ("tests.live.shop", "prefork"),
        ("tests.live.shop_project:app", "threads"),
    ],
)
def test_no_worker_ends_by_a_message(
    database_url: str, broker_url: str, tmp_path: Path, app: str, pool: str
) -> None:
    with (
        shop_of(database_url, broker_url, tmp_path, "--pool", pool, app=app) as (client, worker),
        redis.Redis.from_url(broker_url) as broker,
    ):
        for one in HOSTILE:
            broker.lpush("sagas", one)
        end = client.start("order", key="after", item="lamp")
        assert end.result(timeout=60)["paid"] == 1
        until(
            lambda: refused(worker) >= len(HOSTILE) - 3,
            "all are counted",
            describe=lambda: worker.output,
        )
        assert worker.is_running
        assert worker.stop() == 0
        assert broker.llen("sagas") == 0, "none is put back"
    log = worker.output
    assert SECRET not in log
    assert max(map(len, log.splitlines())) < 1200
    assert "Traceback" not in log
    assert "Unrecoverable" not in log


def test_signals_for_sagas_that_do_not_exist_hold_no_slot(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    """All slots would rest for half a minute: the sagas behind them are done long before."""
    with opened(database_url, broker_url, tmp_path) as shop:
        for _ in range(400):
            shop.send(SIGNAL, id=str(uuid4()), name="seen")
        handles = [shop.client.start("order", item="lamp") for _ in range(20)]
        assert all(handle.result(timeout=60)["paid"] == 1 for handle in handles)
        with redis.Redis.from_url(broker_url) as broker:
            assert broker.llen("saga.waiting"), "they wait, without a slot"


def test_what_stands_in_the_waiting_room_may_be_anybodys(shop_with_room: Shop) -> None:
    handle = shop_with_room.client.start("parcel", key="p-1", number=1)
    shop_with_room.send(SIGNAL, saga="parcel", key="p-1", name="seen", payload=1)
    shop_with_room.send(SIGNAL, id=str(handle.id), name="seen", payload=2)
    assert sorted(handle.result(timeout=60)) == [1, 2]
    assert shop_with_room.worker.is_running
    assert SECRET not in shop_with_room.worker.output


@pytest.fixture
def shop_with_room(database_url: str, broker_url: str, tmp_path: Path) -> Generator[Shop]:
    headers = [
        {"saga_for": [SECRET, None, None], "saga_since": 1},
        {"saga_for": [None, "a\0b", None], "saga_since": 1},
        {"saga_for": 7, "saga_since": 1},
        {"saga_for": None, "saga_since": SECRET},
        {},
    ]
    rows = [
        message(**{f"headers__{name}": value for name, value in one.items()}) for one in headers
    ]
    with redis.Redis.from_url(broker_url) as broker:
        for one in (*HOSTILE, *rows):
            broker.lpush("saga.waiting", one)
    with opened(database_url, broker_url, tmp_path) as running:
        yield running

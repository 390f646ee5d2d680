"""Flower sees every step by its name and saga, and no secret is seen anywhere but in Postgres."""

import base64
import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from saga import Client, Handle, SagaError
from saga.operations.flower import Flower
from saga.operations.metrics import SystemCollector
from saga.storage.queries import reader
from tests.live.ports import kept_port
from tests.live.processes import PATIENCE, Process, announced, saga_process, until

CANARY = "canary-4242424242"


@pytest.fixture
def flower(broker_url: str) -> Iterator[Flower]:
    pytest.importorskip("flower")
    flower = Flower(kept_port(), "let me in")
    child = flower.start(broker_url)
    yield flower
    child.ask()
    child.stop()


@contextmanager
def worker(database_url: str, broker_url: str, log: Path, *options: str) -> Generator[Process]:
    urls = {"SAGA_DATABASE_URL": database_url, "SAGA_BROKER_URL": broker_url}
    urls["SAGA_PRIVATE_ERRORS"] = "on"  # what a step raises may quote what it was given
    command = ("--app", "tests.live.secretive", "worker", "--concurrency", "4", *options)
    with saga_process(*command, environment=urls, log=log) as running:
        until(lambda: announced(database_url), "it is ready", describe=lambda: running.output)
        yield running


def get(flower: Flower, path: str, *, signed: bool = True) -> bytes:
    request = urllib.request.Request(flower.url + path)
    if signed:
        word = base64.b64encode(f"{flower.user}:{flower.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {word}")
    with urllib.request.urlopen(request, timeout=10) as reply:
        return reply.read()


def tasks(flower: Flower) -> dict[str, Any]:
    return json.loads(get(flower, "/api/tasks?limit=1000"))


def is_up(flower: Flower) -> bool:
    with suppress(OSError):
        return bool(get(flower, "/healthcheck"))
    return False


@contextmanager
def monitor(url: str) -> Generator[list[str]]:
    """Everything that Redis is told in the block."""
    heard: list[str] = []
    stop, ready = threading.Event(), threading.Event()
    # It may be told nothing for a while, which is no error.
    client: Any = redis.Redis.from_url(url, socket_timeout=None)

    def listen() -> None:
        with client.monitor() as connection:
            ready.set()
            while not stop.is_set():
                heard.append(str(connection.next_command()))

    listener = threading.Thread(target=listen)
    listener.start()
    assert ready.wait(PATIENCE)
    try:
        yield heard
    finally:
        stop.set()
        while listener.is_alive():
            client.ping()  # which it hears, and so looks up
            listener.join(0.05)
        client.close()


def test_every_step_is_seen_and_no_payload(
    database_url: str, broker_url: str, flower: Flower, tmp_path: Path
) -> None:
    until(lambda: is_up(flower), "Flower is up")
    options = ("--metrics-port", "0", "--loglevel", "DEBUG")
    with (
        monitor(broker_url) as heard,
        worker(database_url, broker_url, tmp_path / "log", *options) as running,
        closing(Client(database_url, broker_url)) as client,
    ):
        card = {"number": CANARY, "limit": 7}
        good = client.start("hush", card=card)
        bad = client.start("hush", card=card, fails=True)
        wrong = client.start("hush", card={"number": "1", "limit": CANARY})
        assert good.result(timeout=60) == CANARY
        with pytest.raises(SagaError):
            bad.result(timeout=60)
        with pytest.raises(SagaError) as refused:
            wrong.result(timeout=60)
        assert CANARY not in str(refused.value)
        until(lambda: ended(flower, bad) >= 5, "Flower has seen it", describe=lambda: dump(flower))
        page = json.dumps(tasks(flower)).encode() + get(flower, "/metrics")
        (url,) = re.findall(r"http://\S+/metrics", running.output)
        with urllib.request.urlopen(url) as reply:
            page += reply.read()
    engine = reader(database_url, pool_size=1)
    page += SystemCollector(engine).render()
    engine.dispose()

    seen = {(t["name"], t["args"]): t for t in json.loads(page[: page.rindex(b"}}") + 2]).values()}
    assert_shown(seen, good, bad)
    assert CANARY.encode() not in page
    assert CANARY not in running.output
    assert len(heard) > 50
    assert CANARY not in "\n".join(heard)


def ended(flower: Flower, handle: Handle) -> int:
    found = [t for t in tasks(flower).values() if t["root_id"] == str(handle.id)]
    return sum(1 for task in found if task["state"] in {"SUCCESS", "FAILURE", "RETRY"})


def dump(flower: Flower) -> str:
    return json.dumps(tasks(flower), indent=1)


def assert_shown(seen: dict[tuple[str, str], Any], good: Handle, bad: Handle) -> None:
    """Also the steps that ran without a message of their own; each attempt by itself."""

    def state(name: str, handle: Handle, position: str, attempt: int) -> str:
        where = f"saga={handle.id} position={position} attempt={attempt} of hush"
        return seen[name, where]["state"]

    assert state("keep", good, "1", 1) == "SUCCESS"
    assert state("count", good, "2", 1) == "SUCCESS"
    assert state("stumble", bad, "3", 1) == "RETRY"
    assert state("stumble", bad, "3", 2) == "FAILURE"
    assert state("forget", bad, "1 undo", 1) == "SUCCESS"


def test_nothing_is_shown_without_the_password(flower: Flower) -> None:
    until(lambda: is_up(flower), "Flower is up")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(flower, "/api/tasks", signed=False)

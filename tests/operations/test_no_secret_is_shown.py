"""A secret runs through all that shows something: Celery's remote control, Flower, logs, commands,
reprs. Its passwords are those of the servers; its messages are such as are refused.
"""

import json
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import Celery

from saga import Client, InvalidInput
from saga.core.saga_filter import moment_of
from saga.execution.settings import Settings
from saga.operations.api.settings import ApiSettings
from saga.operations.cli import main
from saga.operations.cli.settings import Settings as CliSettings
from saga.operations.flower import Flower
from tests.cli.commands import run
from tests.execution.test_hostile_messages import message
from tests.live.processes import shop_worker, until
from tests.operations.test_flower import flower, get, is_up, tasks
from tests.storage.test_urls import UNREADABLE

__all__ = ["flower"]

CANARY = "c4n4ry-in-the-mine"


def passwords(*urls: str) -> list[str]:
    found = [urllib.parse.urlsplit(url).password for url in urls]
    assert all(found)
    return [str(one) for one in found]


@pytest.fixture
def control(broker_url: str) -> Iterator[Any]:
    with Celery(broker=broker_url, set_as_current=False) as app:
        yield app.control


@pytest.mark.parametrize("app", ["tests.live.shop", "tests.live.shop_project:app"])
def test_no_password_by_remote_control_nor_in_flower(
    database_url: str, broker_url: str, flower: Flower, control: Any, tmp_path: Path, app: str
) -> None:
    with shop_worker(database_url, broker_url, tmp_path / "log", "-l", "DEBUG", app=app) as worker:
        until(
            lambda: control.inspect(timeout=5).ping(), "it answers", describe=lambda: worker.output
        )
        inspect = control.inspect(timeout=10)
        answers = [
            inspect.conf(with_defaults=True),
            inspect.report(),
            inspect.stats(),
            inspect.registered(),
            inspect.active_queues(),
        ]
        assert all(answers)
        until(lambda: is_up(flower), "Flower is up")
        pages = [get(flower, "/api/workers?refresh=1").decode()]
        (name,) = json.loads(pages[0])
        pages.append(get(flower, f"/worker/{urllib.parse.quote(name)}").decode())
        pages += [get(flower, "/broker").decode(), get(flower, "/api/queues/length").decode()]
    shown = json.dumps(answers, default=str) + "\n".join(pages) + worker.output
    for password in passwords(database_url, broker_url):
        assert password not in shown


REFUSED: list[tuple[str, Any]] = [
    ("saga.start", {"name": CANARY}),
    ("saga.start", {"name": "order", CANARY: 1}),
    ("saga.start", {"name": "order", "input": {CANARY: CANARY}}),
    ("saga.start", {"name": "order", "input": {"item": CANARY, "amount": CANARY}}),
    ("saga.start", {"name": "order", "input": [CANARY]}),
    ("saga.start", {"name": "order", "input": {"item": "x"}, "key": CANARY + "\0"}),
    ("saga.start", {"name": "order", "input": {"item": "x"}, "key": CANARY * 100}),
    ("saga.start", {"name": "order", "input": {"item": "x"}, "version": CANARY}),
    ("saga.start", {"name": "order", "input": {"item": "x"}, "attributes": [CANARY]}),
    ("saga.start", {"name": "order", "input": {"item": "x"}, "callback": CANARY}),
    ("saga.start", {"name": "order", "input": {"item": "x"}, "callback": f"https://x:{CANARY}@["}),
    (
        "saga.start",
        {"name": "order", "input": {"item": "x"}, "callback": f"https://{CANARY}:99999"},
    ),
    ("saga.signal", {"name": "seen", "id": CANARY}),
    ("saga.signal", {"name": "seen", "id": CANARY * 10}),
    ("saga.signal", {"name": "seen", "saga": CANARY, "key": CANARY}),
    ("saga.signal", {"name": f"saga.{CANARY}", "id": str(uuid4())}),
    ("saga.signal", {"name": CANARY, "id": str(uuid4()), "payload": CANARY}),
    ("saga.signal", {"name": "seen", "id": str(uuid4()), "sender": CANARY + "\0"}),
    ("saga.strat", {"name": CANARY}),
    ("saga.advance", {"saga_id": CANARY}),
    ("reserve", {"saga_id": CANARY}),
]


@pytest.mark.slow
def test_no_refused_message_leaves_what_it_brought(
    database_url: str, broker_url: str, flower: Flower, tmp_path: Path
) -> None:
    app: Any = Celery(broker=broker_url, set_as_current=False)
    until(lambda: is_up(flower), "Flower is up")
    project = "tests.live.shop_project:app"  # with Celery's own events
    with (
        shop_worker(
            database_url, broker_url, tmp_path / "log", "-l", "DEBUG", app=project
        ) as worker,
        closing(Client(database_url, broker_url)) as client,
        redis.Redis.from_url(broker_url) as broker,
    ):
        quiet = {"queue": "sagas", "argsrepr": "", "kwargsrepr": ""}
        for task, arguments in REFUSED:
            app.send_task(task, kwargs=arguments, **quiet)
            app.send_task(task, args=[CANARY, CANARY], kwargs=arguments, **quiet)
        app.send_task("saga.start", kwargs=REFUSED[0][1], serializer="pickle", **quiet)
        # Signals for sagas that are not there wait half a minute, and are refused then.
        late = {"saga_for": [None, CANARY, CANARY], "saga_since": time.time() - 31}
        broker.lpush("saga.waiting", message(**{f"headers__{k}": v for k, v in late.items()}))
        client.start("order", item="lamp").result(timeout=60)
        until(lambda: "there is no such saga" in worker.output, "all have been looked at")
        seen = lambda: [t for t in tasks(flower).values() if (t["name"] or "").startswith("saga.s")]  # noqa: E731
        until(
            lambda: len(seen()) > len(REFUSED), "Flower has seen them", describe=lambda: str(seen())
        )
        pages = json.dumps(tasks(flower)) + get(flower, "/metrics").decode()
        pages += "".join(
            get(flower, f"/task/{urllib.parse.quote(one)}").decode() for one in tasks(flower)
        )
    assert worker.output.count("is refused") > len(REFUSED)
    assert CANARY not in worker.output
    assert CANARY not in pages


COMMANDS = [
    ["list"],
    ["show", str(uuid4())],
    ["start", "order"],
    ["migrate"],
    ["token", "create", "x", "--role", "viewer"],
    ["workers"],
    ["metrics"],
    ["prune", "--ended-before", "90d", "--reason", "x"],
    ["serve", "--port", "1"],
    ["--app", "shop", "worker"],
    ["cancel", str(uuid4())],
    ["signal", str(uuid4()), "x"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one[0])
def test_no_command_repeats_a_url_that_cannot_be_read(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "cli" / "apps")
    assert set(main.list_commands(None)) >= {one[0] for one in COMMANDS if one[0] != "--app"}  # type: ignore[arg-type]
    for url in [url for url in UNREADABLE if url]:
        for more in ([], ["--debug"], ["--json"]):
            where = {"SAGA_DATABASE_URL": url, "SAGA_BROKER_URL": "redis://:hush@127.0.0.1:1/0"}
            done = run(*command, *more, **where)
            assert done.code != 0
            assert "want postgresql://" in done.stdout + done.stderr, (url, more)
            assert "hush" not in done.stdout + done.stderr, (url, more)


def test_since_repeats_nothing() -> None:
    done = run("list", "--since", CANARY, SAGA_DATABASE_URL="postgresql://localhost/x")
    assert done.code != 0
    assert CANARY not in done.stdout + done.stderr
    with pytest.raises(InvalidInput) as refused:
        moment_of(CANARY, "since")
    assert CANARY not in str(refused.value)


def test_no_repr_holds_a_url() -> None:
    urls = (f"postgresql://ann:{CANARY}@host/db", f"redis://:{CANARY}@host/0")
    holders = [
        Settings(*urls, "", 1.0, 1.0),
        ApiSettings(*urls),
        CliSettings(database=urls[0], broker=urls[1]),
        Client(*urls),
        Flower(1, CANARY),
    ]
    assert CANARY not in repr(holders)

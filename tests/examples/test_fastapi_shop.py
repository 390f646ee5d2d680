"""The FastAPI shop of the examples: the web app starts what Celery's workers run."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.live.ports import kept_port
from tests.live.processes import ROOT, until

CELERY = ("celery", "-A", "fastapi_shop.celery_app", "worker", "-P", "threads")


class Shop:
    """A copy of the example, its web app and workers."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        shutil.copytree(ROOT / "examples" / "fastapi_shop", folder, dirs_exist_ok=True)
        self.folder, self.log = folder, folder / "shop.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SAGA_")}
        self.environment = (
            clean | environment | {"SHOP_LOG": str(self.log), "PYTHONPATH": str(ROOT)}
        )
        self.port = kept_port()
        self._running = ExitStack()

    def start(self, name: str, ready: str, *command: str) -> None:
        log = self.folder / f"{name}.out"
        out = self._running.enter_context(log.open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", *command],
            cwd=self.folder,
            env=self.environment,
            stdout=out,
            stderr=out,
        )
        self._running.callback(process.wait)
        self._running.callback(process.terminate)
        until(lambda: ready in log.read_text(), name, describe=log.read_text)

    def close(self) -> None:
        self._running.close()

    def ask(self, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        try:
            with urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)


@pytest.fixture
def shop(tmp_path: Path, database_url: str, broker_url: str) -> Generator[Shop]:
    urls = {"SAGA_DATABASE_URL": database_url, "SAGA_BROKER_URL": broker_url}
    made = Shop(tmp_path, urls | {"SAGA_HEALTH_DIR": str(tmp_path / "health")})
    yield made
    made.close()


@pytest.mark.slow
def test_the_web_app_starts_what_workers_run(shop: Shop) -> None:
    shop.start("worker", "serves the queues", *CELERY, "-Q", "celery,mail,sagas")
    web = ("uvicorn", "fastapi_shop.main:app", "--port", str(shop.port))
    shop.start("web", "startup complete", *web)
    wanted = {"address": "ann@example.org", "items": ["lamp", "desk"]}
    status, answer = shop.ask("/orders", wanted, key="one")
    assert status == 202
    assert shop.ask("/orders", wanted, key="one") == (202, answer), "once"
    assert shop.ask("/orders", wanted | {"items": []}, key="one")[0] == 409

    def is_at(order: Any, state: str) -> bool:
        return shop.ask(f"/orders/{order['id']}")[1] == {"status": state}

    until(lambda: is_at(answer, "completed"), "it has completed")
    _, failing = shop.ask("/orders", wanted | {"items": ["lamp", "unicorn"]}, key="two")
    until(lambda: is_at(failing, "compensated"), "it was undone")
    assert shop.log.read_text().splitlines() == [
        f"mail {answer['id']}:3 to ann@example.org: it is all yours",
        "released reservation of lamp",
    ]

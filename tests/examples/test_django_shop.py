"""The Django shop of the examples, moved over by the guide, under Celery's workers and ours."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.live.processes import ROOT, until

CALL = """
import django, os
os.environ["DJANGO_SETTINGS_MODULE"] = "shopsite.settings"
django.setup()
from django.db import transaction
from orders.models import Order
from orders.shop import buy, buy_after_commit
from saga import SagaFailed

handle = buy("ann", "lamp", "heavy")
assert handle.result(60) == 2, handle.status()
print(handle.id)
failing = buy("bob", "lost")
try:
    failing.result(60)
except SagaFailed as error:
    print(error.status)
try:
    with transaction.atomic():
        gone = buy("eve", "lamp")
        raise KeyError
except KeyError:
    assert not Order.objects.filter(customer="eve").exists()
buy_after_commit("cleo", "lamp")
"""


class Shop:
    """A copy of the example, with its tables."""

    def __init__(self, folder: Path, database_url: str, broker_url: str) -> None:
        self.folder, self.url = folder, database_url
        shutil.copytree(ROOT / "examples" / "django_shop", folder, dirs_exist_ok=True)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SAGA_")}
        self.environment = clean | {
            "SAGA_DATABASE_URL": database_url,
            "SAGA_BROKER_URL": broker_url,
            "PYTHONPATH": str(ROOT),
            "SAGA_HEALTH_DIR": str(folder / "health"),
            "PYTHONWARNINGS": "ignore",
        }
        self.run("manage.py", "makemigrations", "orders")
        self.run("manage.py", "migrate")

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr + self.logs()
        return done.stdout

    def logs(self) -> str:
        return "".join(file.read_text() for file in self.folder.glob("*.log"))

    @contextmanager
    def running(self, name: str, *command: str) -> Generator[Path]:
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self.folder,
                env=self.environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            yield log
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @contextmanager
    def worker(self, name: str, *command: str) -> Generator[None]:
        with self.running(name, *command) as log:
            until(lambda: "serves the queues" in log.read_text(), "ready", describe=log.read_text)
            yield

    def notes(self) -> list[str]:
        with psycopg.connect(self.url) as connection:
            return [
                row[0] for row in connection.execute("SELECT text FROM orders_note ORDER BY id")
            ]


@pytest.fixture
def shop(tmp_path: Path, database_url: str, broker_url: str) -> Shop:
    return Shop(tmp_path, database_url, broker_url)


def check(shop: Shop) -> None:
    saga_id, status = shop.run("-c", CALL).split()
    assert status == "compensated"
    until(lambda: "told cleo of lamp" in shop.notes(), "on_commit", describe=shop.logs)
    notes = shop.notes()
    assert {f"charged 500 with {saga_id}:{n}" for n in (1, 2)} <= set(notes)
    assert "told ann of lamp, heavy" in notes
    assert "counted" in notes
    assert "orders.tasks.pack failed: not on the shelf" in notes
    assert any(note.startswith("refunded 500 for receipt") for note in notes)
    assert not any("eve" in note for note in notes)


@pytest.mark.slow
def test_under_celery_s_own_workers_and_beat(shop: Shop) -> None:
    celery = ("celery", "-A", "shopsite")
    pool = ("-P", "threads", "-c", "4")
    with (
        shop.worker("main", *celery, "worker", *pool),
        shop.worker("payments", *celery, "worker", "-Q", "payments", "-n", "pay@%h", *pool),
        shop.running("beat", *celery, "beat", "-s", "schedule"),
    ):
        check(shop)
        until(lambda: "reminded" in shop.notes(), "beat goes on", describe=shop.logs)


@pytest.mark.slow
def test_under_saga_s_worker_and_its_commands(shop: Shop) -> None:
    saga = ("saga.operations.cli", "--app", "shopsite")
    with shop.worker("saga", *saga, "--app", "orders.sagas", "worker"):
        check(shop)
        given = '{"customer": "dan", "order_ids": []}'
        assert shop.run("-m", *saga, "start", "fulfil", "--input", given, "--wait", "60")
        assert "fulfil" in shop.run("-m", *saga, "list")

"""The processes of docker-compose.yml, with its commands and settings but without containers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from saga.operations.embedded import EmbeddedStack

ROOT = Path(__file__).parent.parent.parent
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())[
    "services"
]
WORKERS = {name: service for name, service in SERVICES.items() if name.startswith("worker-")}
PATIENCE = 150.0
"""Seconds: all workers start at once."""


def environment(service: dict[str, Any], stack: EmbeddedStack) -> dict[str, str]:
    """What compose would set, with our own servers and the example's empty values."""
    given = {
        **dict.fromkeys(service["environment"], ""),
        "SAGA_APP": service["environment"]["SAGA_APP"],
        "SAGA_DATABASE_URL": stack.database_url,
        "SAGA_BROKER_URL": stack.broker_url,
    }
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, **given, "PATH": path}


@contextmanager
def running(name: str, stack: EmbeddedStack, folder: Path) -> Generator[subprocess.Popen[bytes]]:
    """A worker service; in a container its host is its own, here its name must be."""
    service = WORKERS[name]
    command = [word.replace("worker@", f"{name}@") for word in service["command"]]
    with (folder / name).open("wb") as log:
        process = subprocess.Popen(
            ["saga", *command],
            env=environment(service, stack),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def queues_of_live_workers(stack: EmbeddedStack) -> set[str]:
    with psycopg.connect(stack.database_url) as connection:
        rows = connection.execute(
            "SELECT unnest(queues) FROM saga.worker WHERE ended_at IS NULL"
        ).fetchall()
    return {queue for (queue,) in rows}


def eventually(holds: Callable[[], bool], processes: dict[str, subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert {n: p.poll() for n, p in processes.items() if p.poll() is not None} == {}
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.1)


@pytest.mark.slow
def test_migrate_and_the_workers_run_and_stop(own_stack: EmbeddedStack, tmp_path: Path) -> None:
    migrate = SERVICES["migrate"]
    subprocess.run(
        ["saga", *migrate["command"]], env=environment(migrate, own_stack), cwd=tmp_path, check=True
    )
    wanted = {
        queue
        for service in WORKERS.values()
        for queue in service["command"][service["command"].index("--queues") + 1].split(",")
    }
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(running(name, own_stack, tmp_path)) for name in WORKERS
        }
        eventually(lambda: queues_of_live_workers(own_stack) == wanted, processes)

        for process in processes.values():
            process.send_signal(signal.SIGTERM)
        codes = {name: process.wait(timeout=PATIENCE) for name, process in processes.items()}
    assert codes == dict.fromkeys(WORKERS, 0)
    assert queues_of_live_workers(own_stack) == set()


@pytest.mark.slow
def test_the_health_check_knows_the_living_from_the_dead(
    own_stack: EmbeddedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "worker-email"
    service = WORKERS[name]
    verb, *check = service["healthcheck"]["test"]
    assert verb == "CMD"
    monkeypatch.setenv("SAGA_HEALTH_DIR", str(tmp_path / "health"))
    env = environment(service, own_stack)

    def healthy() -> bool:
        probe = [*check, "--within", "6"]
        return subprocess.run(probe, env=env, capture_output=True, check=False).returncode == 0

    assert not healthy()
    with running(name, own_stack, tmp_path) as process:
        eventually(healthy, {name: process})
        process.send_signal(signal.SIGSTOP)
        eventually(lambda: not healthy(), {name: process})

"""`saga worker`: what it says while a server is away, and what steps print."""

import re
import subprocess
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from celery import Celery

from saga.execution.app import install, make_app
from tests.cli.commands import PATIENCE, run_outside, spawn


@contextmanager
def worker(*arguments: str, **environment: str) -> Generator[subprocess.Popen[str]]:
    """One that is told to stop at the end, if it has not ended."""
    process = spawn("--app", "talker", "worker", *arguments, **environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=PATIENCE)


def said(process: subprocess.Popen[str], what: str, times: int = 1) -> list[str]:
    """The lines of its log that hold `what`, once there are so many."""
    assert process.stderr is not None
    found: list[str] = []
    for line in process.stderr:
        found += [line] if what in line else []
        if len(found) == times:
            break
    return found


def test_it_tells_which_database_is_away_and_asks_less_and_less_often(broker_url: str) -> None:
    away = "127.0.0.1:1/shop"
    url = f"postgresql://ann:hush@{away}"
    with worker(SAGA_DATABASE_URL=url, SAGA_BROKER_URL=broker_url) as process:
        lines = said(process, "next try in", times=3)
    pauses = [float(re.findall(r"next try in ([\d.]+) s", line)[0]) for line in lines]
    assert pauses == sorted(set(pauses))
    for line in lines:
        assert f"Postgres at postgresql://ann@{away} does not answer: " in line
        assert "Connection refused" in line
        assert "hush" not in line


def test_it_tells_that_the_database_refuses_its_password(
    wrong_password_url: str, broker_url: str
) -> None:
    with worker(SAGA_DATABASE_URL=wrong_password_url, SAGA_BROKER_URL=broker_url) as process:
        (line,) = said(process, "next try in")
    assert "refuses: password authentication failed for user" in line
    assert "wrong" not in line


def test_it_tells_which_broker_is_away(database_url: str) -> None:
    away = "127.0.0.1:1/0"
    url = f"redis://:hush@{away}"
    with worker(SAGA_DATABASE_URL=database_url, SAGA_BROKER_URL=url) as process:
        (line,) = said(process, "Cannot connect to")
    assert f"Cannot connect to redis://:**@{away}" in line


@pytest.mark.parametrize("pool", ["threads", "prefork", "solo"])
def test_what_a_step_prints_is_printed(pool: str, database_url: str, broker_url: str) -> None:
    servers = {"SAGA_DATABASE_URL": database_url, "SAGA_BROKER_URL": broker_url}
    start = ("--app", "talker", "start", "conversation", "--input", '{"item": "tea"}')
    with worker("--pool", pool, "--concurrency", "2", **servers) as process:
        assert run_outside(*start, "--wait", "50", **servers).code == 0
        if pool != "prefork":  # nor is it lost with the worker
            process.kill()
        else:
            process.terminate()
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert stdout.startswith("hello tea 5\n")
    assert "hello" not in stderr


def test_an_app_of_a_user_prints_as_the_app_says(database_url: str, broker_url: str) -> None:
    theirs = install(Celery("theirs", broker=broker_url, set_as_current=False), database_url)
    assert theirs.conf.worker_redirect_stdouts
    assert not make_app(database_url, broker_url).conf.worker_redirect_stdouts

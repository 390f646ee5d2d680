"""The Celery application of the chain: Celery's defaults, and the steps' bodies."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import Any

import redis
from celery import Celery, chain, current_app

from bench import ledger
from bench.layout import MAIN

BROKER = "BENCH_BROKER_URL"
RESULTS = "BENCH_RESULT_URL"
COUNTER = "BENCH_COUNTER_URL"
NAP = 0.05


@cache
def counter() -> redis.Redis:
    """This process' connection to where ends are counted."""
    return redis.Redis.from_url(os.environ[COUNTER])


def noop(key: str) -> None:
    """A step that does nothing."""


def last(_key: str) -> None:
    """The last no-op step: without a result backend somebody has to say that all is done."""
    counter().incr("ended")


def tell(key: str) -> None:
    """The last no-op step of a workflow that somebody waits for."""
    counter().rpush(f"ended:{key}", 1)


def mark(key: str, step: int) -> None:
    """A no-op step that notes when it ran."""
    ledger.note(key, step)


def nap(key: str, step: int) -> None:
    """A step of 50 ms."""
    time.sleep(NAP)
    ledger.note(key, step)


def fail(key: str) -> None:
    """The step that cannot succeed."""
    raise ValueError(key)


def undo(key: str) -> None:
    """The undo of a no-op step."""


def undo_all(key: str) -> None:
    """The errback: four undos, one after the other, by hand."""
    tasks: Any = current_app.tasks
    undos: list[Any] = [tasks["undo"].si(key) for _ in range(3)]
    chain(*undos, tasks["last"].si(key)).apply_async()


def join(results: list[None], key: str) -> None:
    """The body of the chord."""
    counter().rpush(f"ended:{key}", len(results))


def build(broker: str, results: str | None) -> Celery:
    """An application with all bodies as tasks; only the chord needs a result backend."""
    made = Celery("bench", broker=broker, backend=results)
    made.conf.task_default_queue = MAIN
    for body in (noop, last, tell, mark, nap, fail, undo, undo_all, join):
        made.task(body, name=body.__name__)
    return made


if BROKER in os.environ:  # in a worker, not in the harness
    app = build(os.environ[BROKER], os.environ[RESULTS] or None)

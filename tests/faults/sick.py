"""Steps that make the worker which runs them ill, each in its own way, the first time."""

import os
import threading
import time
from pathlib import Path
from typing import Any

from celery import signals
from kombu.asynchronous import get_event_loop

from saga import current, saga, step
from saga.engine.worker.process import WorkerProcess
from saga.execution import own_process
from tests.faults import effects

_workers: list[Any] = []


@signals.worker_ready.connect
def _remember(sender: Any = None, **_: Any) -> None:
    _workers.append(sender)


def _process() -> WorkerProcess:
    return own_process._processes[os.getpid()]


def _first() -> bool:
    """Once for all processes: what was started anew stays well."""
    try:
        (Path(os.environ["SAGA_FAILPOINTS_DIR"]) / "sick").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _hub() -> Any:
    return get_event_loop()


def hang_the_loop() -> None:
    _hub().call_soon(time.sleep, 1000)


def lose_the_consumer() -> None:
    consumer = _workers[0]
    _hub().call_soon(consumer.task_consumer.cancel)


def end_the_lease() -> None:
    def renew() -> None:
        raise SystemExit

    _process().presence._renew = renew  # type: ignore[method-assign]


def jam_the_conductor() -> None:
    """Once the outcome of this step is recorded: the next one's is not."""
    lock = _process().conductor.shared._group.lock
    threading.Thread(target=lock.acquire, daemon=True).start()


WAYS = {
    "loop": hang_the_loop,
    "consumer": lose_the_consumer,
    "lease": end_the_lease,
    "conductor": jam_the_conductor,
}


@step
def fall_ill(way: str) -> str:
    if _first():
        WAYS[way]()
    return effects.do("fall_ill")


@step
async def block(seconds: float) -> str:
    if current().attempt == 1:
        time.sleep(seconds)  # noqa: ASYNC251 - this is the illness
    return effects.do("block")


@step(queue="elsewhere")
def recover() -> str:
    return effects.do("recover")


@saga
async def illness(way: str) -> str:
    await fall_ill(way)
    return await recover()


@saga
async def blockade(seconds: float) -> str:
    return await block(seconds)

"""Sagas that make every figure of the metrics move: `saga --app tests.live.moves worker`."""

import os
import time
from datetime import timedelta
from pathlib import Path

from saga import Permanent, Retry, Unknown, current, saga, step

SOON = Retry(max_attempts=3, first=timedelta(seconds=0.05))


@step(read_only=True, retry=SOON)
def stumble() -> None:
    """Fails once."""
    if current().attempt == 1:
        raise ValueError("not yet")


@step(retry=SOON)
def vanish() -> None:
    """Nobody knows, once."""
    if current().attempt == 1:
        raise Unknown("the line went dead")


@vanish.compensation
def appear(result: None) -> None:
    raise Permanent("it cannot be undone")


@step(read_only=True, retry=SOON, timeout=timedelta(seconds=0.3))
def dawdle() -> None:
    """Takes too long, once: for long enough that the sweeper has seen it, however slow."""
    if current().attempt == 1:
        time.sleep(6)


@step(queue="apart", read_only=True, retry=SOON)
def linger() -> None:
    """Once, until its worker is killed."""
    if current().attempt == 1:
        Path(os.environ["LINGERS"]).touch()
        time.sleep(600)


@step(read_only=True)
def give_up() -> None:
    raise Permanent("enough")


@saga
async def troubled() -> None:
    await stumble()
    await vanish()
    await dawdle()
    await linger()
    await give_up()

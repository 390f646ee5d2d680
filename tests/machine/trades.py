"""The sagas that the machine runs."""

import asyncio
from datetime import timedelta
from typing import Any

from saga import Retry, StepFailed, saga, scope, signal, step
from saga.core.declare.definitions import SagaDefinition
from tests.machine.outside import OUTSIDE

SOME = Retry(max_attempts=3, first=timedelta(seconds=1), jitter=0.0)


@step(retry=SOME)
def plain(item: int) -> str:
    return OUTSIDE.do()


@plain.compensation(retry=SOME)
def unplain(receipt: str | None, item: int) -> None:
    OUTSIDE.undo()


@step(retry=SOME, queue="docks")
def docked(item: int) -> str:
    return OUTSIDE.do()


@docked.compensation(retry=SOME)
def undocked(receipt: str | None, item: int) -> None:
    OUTSIDE.undo()


@step(retry=SOME)
def probed(item: int) -> str:
    return OUTSIDE.do()


@probed.probe
def find_probed(item: int) -> str | None:
    return OUTSIDE.find()


@probed.compensation(retry=SOME)
def unprobed(receipt: str | None, item: int) -> None:
    OUTSIDE.undo()


@step(retry=SOME, on_unknown="ask")
def asked(item: int) -> str:
    return OUTSIDE.do()


@asked.compensation(retry=SOME)
def unasked(receipt: str | None, item: int) -> None:
    OUTSIDE.undo()


@step(retry=SOME, read_only=True)
def looked(item: int) -> int:
    OUTSIDE.look()
    return item


@step(retry=SOME, pivot=True)
def pivot(item: int) -> str:
    return OUTSIDE.do()


@saga
async def line() -> None:
    await plain(1)
    await docked(2)
    await probed(3)
    await looked(4)


@saga
async def fan() -> None:
    await plain(1)
    await asyncio.gather(docked(2), probed(3), plain(4))
    await looked(5)


@saga
async def asking() -> None:
    await plain(1)
    await asyncio.gather(asked(2), looked(3))
    await asked(4)


@saga
async def letters() -> list[Any]:
    await plain(1)
    return [await signal("letter"), await signal("letter")]


@saga
async def detour() -> None:
    await plain(1)
    try:
        async with scope():
            await docked(2)
            await asyncio.gather(probed(3), looked(4))
    except StepFailed:
        await plain(5)


@saga
async def decided() -> None:
    await plain(1)
    await asyncio.gather(pivot(2), looked(3))
    await docked(4)


@saga
async def parent() -> None:
    await plain(1)
    await asyncio.gather(line(), looked(3))
    await plain(4)


@saga
async def sleepy() -> None:
    await plain(1)
    await asyncio.gather(asyncio.sleep(60), looked(2))
    await plain(3)


ALL: tuple[SagaDefinition[..., Any], ...] = (
    line,
    fan,
    asking,
    letters,
    detour,
    decided,
    parent,
    sleepy,
)

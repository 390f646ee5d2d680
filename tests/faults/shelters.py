"""Scopes that are left while something in them waits, each in four ways."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import anyio

from saga import Permanent, Retry, StepFailed, approval, saga, scope, signal, step
from tests.faults import effects
from tests.faults.sagas import SOON, book

WAYS = ("gather", "TaskGroup", "asyncio.timeout", "anyio")
GUESTS = ("stall", "nested", "reader", "asker")
"""What waits: for its next attempt; in a scope of its own; for a letter; for an approval."""

SECONDS = 0.8

_NOT_SOON = Retry(max_attempts=9, first=timedelta(hours=1), maximum=timedelta(hours=1), jitter=0)


@step(retry=_NOT_SOON)
def stall(item: int) -> str:
    """An attempt that fails is repeated an hour later."""
    return effects.do("stall")


@stall.compensation(retry=SOON)
def unstall(receipt: str | None, item: int) -> None:
    effects.undo("stall")


@step(retry=SOON)
def deny(item: int) -> None:
    effects.do("deny")
    raise Permanent("as asked")


@saga
async def reader() -> Any:
    await book(1)
    return await signal("letter")


@saga
async def asker() -> bool:
    await book(1)
    return (await approval("go")).approved


async def nested() -> None:
    async with scope():
        await book(1)
        await stall(2)


def _guest(name: str) -> Coroutine[Any, Any, Any]:
    match name:
        case "stall":
            return stall(2)
        case "nested":
            return nested()
        case "reader":
            return reader()
        case _:
            return asker()


async def _inside(way: str, guest: str) -> None:
    async with scope():
        await book(1)
        match way:
            case "gather":
                await asyncio.gather(_guest(guest), deny(3))
            case "TaskGroup":
                async with asyncio.TaskGroup() as group:
                    group.create_task(_guest(guest))
                    group.create_task(deny(3))
            case _:
                await _guest(guest)


@saga
async def shelter(way: str, guest: str) -> str:
    try:
        match way:
            case "asyncio.timeout":
                async with asyncio.timeout(SECONDS):
                    await _inside(way, guest)
            case "anyio":
                with anyio.fail_after(SECONDS):
                    await _inside(way, guest)
            case _:
                await _inside(way, guest)
    except* (StepFailed, TimeoutError):
        pass
    await book(9)
    return "in the haven"

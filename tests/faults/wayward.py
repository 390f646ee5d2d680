"""Sagas whose own code does what no saga should, beside one that behaves."""

import re
import time
from datetime import timedelta

from saga import saga, scope, signal, step


@step
def add(a: int, b: int) -> int:
    return a + b


@saga
async def sums(count: int) -> int:
    """Behaves."""
    total = 0
    for n in range(count):
        total = await add(total, n)
    return total


@saga
async def endless() -> None:
    await add(1, 1)
    while True:
        pass


@saga
async def deaf() -> None:
    """Takes no notice of being told to go."""
    await add(1, 1)
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue


@saga
async def frozen() -> None:
    """The expression never gives up the interpreter."""
    await add(1, 1)
    re.match(r"(a+)+$", "a" * 60 + "b")


@saga
async def clinging() -> None:
    """A coroutine that cannot be thrown away."""
    while True:
        try:
            await signal("job")
        except BaseException:
            continue


@saga
async def interrupting() -> None:
    await add(1, 1)
    raise KeyboardInterrupt


@saga
async def heavy(seconds: float) -> int:
    """Computes, which belongs in a step."""
    total = await add(1, 1)
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        total += 1
    return await add(total, 1)


@step
def blob(size: int) -> str:
    return "x" * size


@saga
async def bulky(count: int, size: int) -> int:
    """A journal of `count` results of `size` bytes each, and then a wait."""
    for _ in range(count):
        await blob(size)
    await signal("go", timeout=timedelta(days=1))
    return count


@saga
async def scoped() -> None:
    async with scope():
        await add(1, 1)
        await signal("never")

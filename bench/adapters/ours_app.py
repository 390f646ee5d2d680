"""The same workflows as sagas."""

from __future__ import annotations

import asyncio
import time

from bench import ledger
from bench.layout import HOPS, MAIN
from saga import Permanent, approval, saga, step

NAP = 0.05


@step(queue=MAIN)
def noop(key: str) -> None:
    """A step that does nothing."""


@step(queue=MAIN)
def mark(key: str, number: int) -> None:
    """A no-op step that notes when it ran."""
    ledger.note(key, number)


@step(queue=MAIN)
def nap(key: str, number: int) -> None:
    """A step of 50 ms."""
    time.sleep(NAP)
    ledger.note(key, number)


@step(queue=MAIN)
def effect(key: str) -> None:
    """A no-op step that can be undone."""


@effect.compensation
def undo(result: None, key: str) -> None:
    """The undo of a no-op step."""


@step(queue=MAIN)
def fail(key: str) -> None:
    """The step that cannot succeed."""
    raise Permanent(key)


@step(queue=MAIN)
def join(key: str, width: int) -> None:
    """What comes after the parallel steps."""


def _hop(queue: str):
    @step(name=queue, queue=queue)
    def hop(key: str) -> None:
        """A no-op step on its own queue."""

    return hop


HOP_STEPS = [_hop(queue) for queue in HOPS]


@saga(name="steps")
async def steps(key: str, size: int) -> None:
    """One no-op step after the other."""
    for _ in range(size):
        await noop(key)


@saga(name="hops")
async def hops(key: str, size: int) -> None:
    """Each step on another queue."""
    for hop in HOP_STEPS[:size]:
        await hop(key)


@saga(name="undo")
async def undone(key: str, size: int) -> None:
    """All steps but the last are undone, since that fails."""
    for _ in range(size - 1):
        await effect(key)
    await fail(key)


@saga(name="long")
async def long(key: str, size: int) -> None:
    """Very many steps."""
    for number in range(1, size + 1):
        await mark(key, number)


@saga(name="slow")
async def slow(key: str, size: int) -> None:
    """Steps that take their time."""
    for number in range(1, size + 1):
        await nap(key, number)


@saga(name="fanout")
async def fanout(key: str, size: int) -> None:
    """All steps at once, and one when all are done."""
    await asyncio.gather(*[noop(key) for _ in range(size)])
    await join(key, size)


@saga(name="parked")
async def parked(key: str, size: int) -> None:  # noqa: ARG001
    """A step once somebody has agreed."""
    await approval("go")
    await noop(key)


SAGAS = {
    "steps": steps,
    "hops": hops,
    "undo": undone,
    "long": long,
    "slow": slow,
    "fanout": fanout,
    "parked": parked,
}

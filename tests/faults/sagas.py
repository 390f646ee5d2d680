"""The sagas of these tests. Each step's only effect is in the ledger, or in a table of its own."""

import asyncio
import os
import sys
from datetime import timedelta
from typing import Any

from saga import (
    Permanent,
    Retry,
    StepFailed,
    Unknown,
    approval,
    current,
    now,
    saga,
    scope,
    signal,
    step,
)
from tests.faults import effects

SOON = Retry(
    max_attempts=8,
    first=timedelta(seconds=0.1),
    maximum=timedelta(seconds=0.5),
    jitter=0.5,
    max_losses=100,  # more than any storm of killed workers takes
)


@step(retry=SOON)
def book(item: int) -> str:
    return effects.do("book")


@book.compensation(retry=SOON)
def unbook(receipt: str | None, item: int) -> None:
    effects.undo("book")


@step(queue="docks", retry=SOON)
def ship(item: int) -> str:
    return effects.do("ship")


@ship.compensation(queue="docks", retry=SOON)
def unship(receipt: str | None, item: int) -> None:
    effects.undo("ship")


@step(retry=SOON)
async def charge(item: int) -> str:
    return await asyncio.to_thread(effects.do, "charge")


@charge.compensation(retry=SOON)
def refund(receipt: str | None, item: int) -> None:
    effects.undo("charge")


@step(retry=SOON)
def wire(item: int) -> str:
    """Its probe tells whether it happened."""
    return effects.do("wire")


@wire.probe
def find_wire(item: int) -> str | None:
    return effects.find("wire")


@wire.compensation(retry=SOON)
def unwire(receipt: str | None, item: int) -> None:
    effects.undo("wire")


@step(transactional=True, retry=SOON)
def enter(item: int) -> int:
    """Its effect is a row in the same database, which nothing deduplicates."""
    ctx = current()
    ctx.connection.execute(
        "INSERT INTO public.entered (saga_id, position) VALUES (%s, %s)",
        (ctx.saga_id, ctx.position),
    )
    return item


@step
def refuse() -> None:
    raise Permanent("as asked")


@step(retry=Retry(max_attempts=2, first=timedelta(seconds=0.1)))
def abort() -> None:
    """Takes its process with it."""
    os.abort()


@step(retry=Retry(max_attempts=2, first=timedelta(seconds=0.1)))
def leave() -> None:
    """Would like to take its process with it."""
    sys.exit(3)


TWICE = Retry(max_attempts=2, first=timedelta(seconds=0.1))


@step
def trap(item: int) -> str:
    return effects.do("trap")


@trap.compensation(retry=TWICE)
def spring(receipt: str | None, item: int) -> None:
    """Takes its process with it."""
    os.abort()


@step(retry=TWICE, timeout=timedelta(seconds=0.5))
def bury(item: int) -> str:
    """Nobody knows whether it happened."""
    effects.do("bury")
    raise Unknown("the connection was cut")


@bury.probe
def dig(item: int) -> str | None:
    return effects.find("bury")


@step
def lend(item: int) -> str:
    return effects.do("lend")


@lend.compensation(retry=TWICE, timeout=timedelta(seconds=0.5))
def claim_back(receipt: str | None, item: int) -> None:
    effects.undo("lend")


@saga
async def deadly() -> None:
    """With a step that kills whoever runs it."""
    await book(1)
    await abort()


@saga
async def leaving() -> None:
    """With a step that exits."""
    await book(1)
    await leave()


@saga
async def mined() -> None:
    """Its undo kills whoever runs it."""
    await trap(1)
    await refuse()


@saga
async def treasure() -> str:
    """With a probe."""
    return await bury(1)


@saga
async def loan() -> None:
    """It is undone."""
    await lend(1)
    await refuse()


@saga
async def one(item: int) -> str:
    """One step."""
    return await book(item)


@saga
async def trip(stops: int, fails: bool = False) -> int:
    """One step after another."""
    for stop in range(stops):
        await book(stop)
    if fails:
        await refuse()
    return stops


@saga
async def voyage(fails: bool = False) -> int:
    """Alone, at once, on one queue and on another; then, if it is to fail, when it is told to."""
    await book(0)
    await asyncio.gather(ship(1), book(2), ship(3))
    await charge(4)
    if fails:
        await signal("fail")
        await refuse()
    return 5


@saga
async def fan(width: int, fails: bool = False) -> int:
    """All at once."""
    receipts = await asyncio.gather(*(book(item) for item in range(width)))
    if fails:
        await refuse()
    return len(receipts)


@saga
async def split(width: int) -> None:
    """One of many at once fails, and the others are no longer wanted."""
    async with asyncio.TaskGroup() as group:
        for item in range(width):
            group.create_task(ship(item))
        group.create_task(refuse())


@saga
async def hurry(seconds: float) -> str:
    """Does not wait long for a step."""
    try:
        async with asyncio.timeout(seconds):
            await ship(1)
    except TimeoutError:
        return "too late"
    return "in time"


@saga
async def patience(seconds: float) -> None:
    """Does not wait long for a step, but then for a signal."""
    try:
        async with asyncio.timeout(seconds):
            await ship(1)
    except TimeoutError:
        await signal("go")


@saga
async def ward() -> None:
    """One step, and then it waits."""
    await book(1)
    await signal("go")


@saga
async def guardian(seconds: float) -> str:
    """Does not wait long for a child."""
    try:
        async with asyncio.timeout(seconds):
            await ward()
    except TimeoutError:
        return "too late"
    return "in time"


@saga
async def transfer(fails: bool = False) -> str:
    """With a step that can be asked whether it happened."""
    receipt = await wire(1)
    if fails:
        await refuse()
    return receipt


@saga
async def entries(count: int) -> int:
    """Transactional steps."""
    return sum([await enter(item) for item in range(count)])


@saga
async def detour(stops: int) -> str:
    """A scope that is undone, and a saga that goes on."""
    await book(0)
    try:
        async with scope():
            for stop in range(stops):
                await book(stop + 1)
            await refuse()
    except StepFailed:
        await book(stops + 1)
        return "went round"
    return "went through"


@saga
async def haven(stops: int) -> str:
    """A scope of which one part fails while the others are still on their way."""
    try:
        async with scope(), asyncio.TaskGroup() as group:
            for stop in range(stops):
                group.create_task(ship(stop))
            group.create_task(refuse())
    except* StepFailed:
        pass
    await book(9)
    return "in the haven"


@saga
async def naps(times: int, seconds: float) -> list[float]:
    """Timers, one after the other; when each was over."""
    ends: list[float] = []
    for _ in range(times):
        await asyncio.sleep(seconds)
        ends.append(now().timestamp())
    return ends


@saga
async def letters(count: int) -> list[Any]:
    """Signals, in the order in which they came."""
    return [await signal("letter") for _ in range(count)]


@saga
async def pair(count: int) -> dict[str, list[Any]]:
    """Signals of two names at once."""

    async def read(name: str) -> list[Any]:
        return [await signal(name) for _ in range(count)]

    left, right = await asyncio.gather(read("left"), read("right"))
    return {"left": left, "right": right}


@saga
async def asks(seconds: float | None = None) -> dict[str, Any]:
    """An approval before an effect."""
    limit = None if seconds is None else timedelta(seconds=seconds)
    decision = await approval("go", details={"seconds": seconds}, timeout=limit)
    if decision.approved:
        await book(1)
    return {"approved": decision.approved, "by": decision.by, "timed_out": decision.timed_out}


@saga
async def family(children: int) -> int:
    """Child sagas."""
    return sum(await asyncio.gather(*(trip(2) for _ in range(children))))


@saga
async def expects(seconds: float) -> Any:
    """A letter, but not for ever."""
    try:
        return await signal("letter", timeout=timedelta(seconds=seconds))
    except TimeoutError:
        return None


@saga
async def expects_two(seconds: float) -> list[Any]:
    """Two waits for letters of one name, of which the first has longer."""
    longer = signal("letter", timeout=timedelta(seconds=3600))
    return list(await asyncio.gather(longer, expects_in_here(seconds)))


async def expects_in_here(seconds: float) -> Any:
    try:
        return await signal("letter", timeout=timedelta(seconds=seconds))
    except TimeoutError:
        return None


@step(read_only=True, retry=Retry(max_attempts=1))
def look(item: int) -> str:
    return effects.do("look")


@saga
async def looks() -> str:
    """One step that has one attempt."""
    return await look(1)


@saga
async def drains() -> list[Any]:
    """Letters until there are none: it ends without one only if none was accepted."""
    letters = [await signal("letter")]
    while True:
        try:
            letters.append(await signal("letter", timeout=timedelta(0)))
        except TimeoutError:
            return letters


@saga
async def leaves() -> Any:
    """The first letter; the others stay."""
    return await signal("letter")

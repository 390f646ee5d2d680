"""Sagas for operators to act on. Each effect is in the ledger; troubles are made by the tests."""

import asyncio
import sys
from datetime import timedelta

from pydantic import BaseModel

from saga import Retry, StepFailed, approval, attributes, current, saga, scope, signal, step
from tests.faults import effects
from tests.operators import troubles

SOON = Retry(max_attempts=2, first=timedelta(seconds=0.01), maximum=timedelta(seconds=0.05))


@step(retry=SOON)
def book(item: int) -> str:
    return troubles.do("book")


@book.compensation(retry=SOON)
def unbook(receipt: str | None, item: int) -> None:
    troubles.undo("unbook", "book")


@step(retry=SOON)
def ship(item: int) -> str:
    return troubles.do("ship")


@ship.compensation(retry=SOON)
def unship(receipt: str | None, item: int) -> None:
    troubles.undo("unship", "ship")


@step(retry=SOON, on_unknown="ask")
def pay(amount: int) -> str:
    """A person decides when nobody knows whether it happened."""
    return troubles.do("pay")


@pay.compensation(retry=SOON)
def unpay(receipt: str | None, amount: int) -> None:
    troubles.undo("unpay", "pay")


@step(retry=SOON)
def wire(item: int) -> str:
    return troubles.do("wire")


@wire.probe
def find_wire(item: int) -> str | None:
    if troubles.of("find_wire") == "exit":
        sys.exit(3)
    if troubles.of("find_wire"):
        raise RuntimeError("the probe is out of order")
    return effects.find("wire")


@wire.compensation(retry=SOON)
def unwire(receipt: str | None, item: int) -> None:
    troubles.undo("unwire", "wire")


class Coin(BaseModel):
    text: str


class Gold(Coin):
    karat: int


@step(retry=SOON)
def mint(item: int) -> Coin:
    """It returns more than a Coin holds, which could not be read back."""
    return Gold(text=troubles.do("mint"), karat=item)


@mint.compensation(retry=SOON)
def unmint(coin: Coin | None, item: int) -> None:
    troubles.undo("unmint", "mint")


@step(retry=SOON, read_only=True)
def look(item: int) -> int:
    trouble = troubles.of("look")
    if trouble:
        raise RuntimeError(trouble)
    return item


@step(retry=SOON)
def tell(item: int) -> str:
    """It has an effect and no undo."""
    return troubles.do("tell")


@step(retry=SOON, pivot=True)
def commit(item: int) -> str:
    return troubles.do("commit")


@step(transactional=True, retry=SOON)
def enter(item: int) -> int:
    ctx = current()
    ctx.connection.execute(
        "INSERT INTO public.entered (saga_id, position) VALUES (%s, %s)",
        (ctx.saga_id, ctx.position),
    )
    return item


@saga
async def order(stops: int = 3) -> int:
    """Steps with undos, one after the other, and then one that looks."""
    for stop in range(stops):
        await book(stop)
    return await look(stops)


@saga
async def minting(as_result: bool = False) -> Coin:
    """It cannot store what its second step returns, or what it would return itself."""
    await book(1)
    return Gold(text="of its own", karat=9) if as_result else await mint(2)


@saga
async def parcel() -> str:
    """An order of steps, alone and at once, some of which cannot be undone."""
    await look(0)
    await book(1)
    await asyncio.gather(ship(2), book(3))
    await tell(4)
    return await ship(5)


@saga
async def payment(amount: int = 7) -> str:
    await book(1)
    return await pay(amount)


@saga
async def payments() -> None:
    await book(1)
    await asyncio.gather(pay(2), ship(3))
    await look(4)


@saga
async def transfer() -> str:
    await book(1)
    receipt = await wire(2)
    await look(3)
    return receipt


@saga
async def patient(seconds: float) -> int:
    """A step beside a timer, a signal and an approval, which its failure ends."""
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(seconds))
        group.create_task(approval("go"))
        told = group.create_task(signal("word", int))
        group.create_task(look(1))
    return told.result()


@saga
async def rounds(amounts: list[int]) -> None:
    """Asks before each effect, under one name."""
    for amount in amounts:
        decision = await approval("pay", {"amount": amount})
        if decision.approved:
            await tell(amount)


@saga
async def choices(amounts: list[int]) -> list[bool]:
    """Asks for all at once."""
    asked = (approval("pay", {"amount": amount}) for amount in amounts)
    return [decision.approved for decision in await asyncio.gather(*asked)]


@saga
async def brief(seconds: float) -> bool:
    """Asks for not so long."""
    return (await approval("pay", timeout=timedelta(seconds=seconds))).timed_out


@saga
async def crowd(width: int) -> int:
    """Steps at once of which one fails."""
    found = await asyncio.gather(*(tell(item) for item in range(1, width)), look(0))
    return len(found)


@saga
async def resilient() -> str:
    """It has another way."""
    try:
        await look(1)
    except StepFailed:
        await tell(2)
    return await tell(3)


@saga
async def stubborn(broken: bool = True) -> str:
    """Its own code fails."""
    receipt = await tell(1)
    if troubles_in_code():
        raise ValueError("a bug")
    return receipt


def troubles_in_code() -> bool:
    return BUG[0]


BUG = [True]


@saga
async def decided() -> str:
    """A pivot in the middle."""
    await book(1)
    await commit(2)
    await ship(3)
    return await tell(4)


@saga
async def decided_at_once() -> None:
    """Something fails while the pivot is at it."""
    await book(1)
    await asyncio.gather(commit(2), look(3))


@saga
async def decided_with_a_way_round() -> str:
    """Past the pivot it can go another way."""
    await commit(1)
    try:
        return await tell(2)
    except StepFailed:
        return await ship(3)


@saga
async def decided_and_late() -> None:
    """Past the pivot it goes on after a failure, and then gives up."""
    await book(1)
    await commit(2)
    try:
        await tell(3)
    finally:
        await ship(4)


@saga
async def detour() -> str:
    """A scope whose undo may get stuck."""
    try:
        async with scope():
            await book(1)
            await look(2)
    except StepFailed:
        return await ship(3)
    return "straight"


@saga
async def cautious() -> str:
    """A payment in a scope, which it can do without."""
    await book(1)
    try:
        async with scope():
            await pay(2)
    except StepFailed:
        return "unpaid"
    return "paid"


@saga
async def wary() -> None:
    """A scope of one step; then it waits."""
    try:
        async with scope():
            await ship(1)
    except StepFailed:
        pass
    await signal("go")


@saga
async def leg(stops: int) -> int:
    for stop in range(stops):
        await ship(stop)
    return stops


@saga
async def labelled(amount: int) -> None:
    """It can be found by where it has come to."""
    attributes(stage="asked", amount=amount)
    await signal("go")
    attributes({"stage": "told"})
    await ship(1)
    attributes(stage="shipped")


@saga
async def waiting_leg() -> int:
    await ship(1)
    await signal("go")
    await ship(2)
    return 2


@saga
async def looking_leg() -> int:
    return await look(9)


@saga
async def journey() -> int:
    """A child between two steps."""
    await book(1)
    done = await leg(2)
    await book(3)
    return await look(done)


@saga
async def long_journey() -> int:
    """A child that waits, beside a step."""
    await book(1)
    done, _ = await asyncio.gather(waiting_leg(), look(2))
    return done


@saga
async def nested() -> int:
    """A child with a child."""
    await book(1)
    done = await journey()
    return await look(done)


@saga
async def scoped_journey() -> str:
    """A scope with a child in it."""
    await book(1)
    try:
        async with scope():
            await book(2)
            await leg(2)
            await look(4)
    except StepFailed:
        return await ship(5)
    return "straight"


@saga
async def failing_journey() -> int:
    """A child that fails."""
    return await looking_leg()


@saga
async def entries(count: int) -> int:
    found = [await enter(item) for item in range(count)]
    await look(1)
    return len(found)


@saga
async def pair_of_steps() -> str:
    await book(1)
    return await ship(2)


@saga
async def parent_of_order() -> str:
    """A child that undoes itself when it fails."""
    return await pair_of_steps()


@saga
async def told_to_look() -> None:
    """Steps at once of which one waits to be told."""

    async def look_when_told() -> None:
        await signal("look")
        await look(4)

    await book(1)
    await asyncio.gather(ship(2), look_when_told())


@saga
async def hasty() -> str:
    """It goes on without what nobody knows of."""
    try:
        return await ship(1)
    except StepFailed:
        return "without"


@saga
async def decided_with_a_child() -> str:
    await commit(1)
    return await pair_of_steps()


@saga
async def survey() -> str:
    """A child, with a child of its own, that only looks; then a step."""
    return await tell(await looking_family())


@saga
async def looking_family() -> int:
    return await looking_leg()


@saga
async def scoped_survey() -> None:
    """A scope with a child that only looks, which it undoes; then a step that fails."""
    try:
        async with scope():
            await looking_family()
            raise LookupError
    except LookupError:
        await tell(1)


def _parse(given: dict[str, object]) -> object:
    return given["customer"]


@step(retry=SOON)
def charge(item: int) -> object:
    """A fault of its own, below it."""
    return _parse({"c4n4ry": item})


@step(retry=SOON)
def lend(item: int) -> str:
    return troubles.do("lend")


@lend.compensation(retry=SOON)
def take_home(receipt: str | None, item: int) -> None:
    raise OSError("the c4n4ry has flown")


@saga
async def charging(item: int) -> None:
    await lend(item)
    await charge(item)


@saga
async def household(item: int) -> None:
    await charging(item)


@saga
async def miscounted(item: int) -> int:
    await book(item)
    return len([item][item:][0:]) // 0


@saga
async def hopeless() -> int:
    return len("x") // 0

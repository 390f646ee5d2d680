"""Sagas that ask with what no replay repeats: other code, other hashes, chance."""

import os
import random
import uuid
from datetime import UTC, datetime
from typing import Any

from saga import Permanent, approval, saga, scope, signal, step
from tests.faults import effects
from tests.faults.sagas import SOON

FACTOR = 100 if os.environ.get("V", "1") == "1" else 1000
CHANCE: dict[str, Any] = {
    "uuid4": lambda: str(uuid.uuid4()),
    "now": lambda: datetime.now(UTC).isoformat(),
    "random": lambda: str(random.random()),
    "hash": lambda: str(hash("a text")),
}


@step(retry=SOON, read_only=True)
def pay(cents: int) -> int:
    return cents


@step(retry=SOON, read_only=True)
def price(shop: str) -> str:
    return f"the price of {shop}"


@step(retry=SOON, read_only=True)
def survey(shops: set[str]) -> int:
    return len(shops)


@saga
async def refund_flow(euros: int) -> int:
    """Pays what was approved."""
    cents = euros * FACTOR
    answer = await approval("refund", {"cents": cents})
    return await pay(cents) if answer.approved else 0


@saga
async def shop_by_shop(shops: set[str]) -> dict[str, str]:
    """Goes through a set in the order in which its process has it."""
    prices = {shop: await price(shop) for shop in shops}
    await signal("go")
    return prices


@saga
async def all_shops(shops: set[str]) -> int:
    """Hands the set on as it is."""
    count = await survey(shops)
    await signal("go")
    return count + await survey(shops | {"one more"})


@saga
async def by_chance(what: str) -> str:
    """Asks with what is another each time."""
    found = await price(CHANCE[what]())
    await signal("go")
    return found


@step(retry=SOON, may_vary=("stamp",))
def stamped(stamp: str) -> str:
    return effects.do("stamped")


@stamped.compensation(retry=SOON)
def unstamped(receipt: str | None, stamp: str) -> None:
    effects.undo("stamped")


@saga
async def stamps() -> None:
    """A step with an argument of the day, which a scope undoes on another day."""
    try:
        async with scope():
            await stamped(os.environ.get("V", "1"))
            await signal("go")
            raise LookupError
    except LookupError:
        pass


@step(retry=SOON)
def bill(cents: int) -> int:
    if os.environ.get("V", "1") == "1":
        raise Permanent("no such amount")
    effects.do("bill")
    return cents


@step(retry=SOON)
def report(what: str) -> str:
    return effects.do("report")


@saga
async def mended(euros: int) -> int:
    """Its step fails under the code of yesterday, and it goes on after that."""
    try:
        return await bill(euros * FACTOR)
    finally:
        await report("the end")

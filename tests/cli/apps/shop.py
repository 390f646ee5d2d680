"""The sagas that the command line's tests run."""

import asyncio
import os
import signal as signals
from datetime import timedelta
from pathlib import Path

from saga import Permanent, Retry, approval, saga, signal, step

QUICKLY = Retry(max_attempts=3, first=timedelta(milliseconds=20), jitter=0)


@step(queue="stock", retry=QUICKLY)
def reserve(item: str) -> str:
    """Put an item aside."""
    return f"reservation of {item}"


@reserve.compensation(retry=QUICKLY)
def release(reservation: str | None, item: str) -> None:
    """Put it back."""
    if item == "stuck":
        raise Permanent("the shelf is locked")


@step(queue="stock", retry=QUICKLY)
def charge(item: str, amount: int) -> int:
    """Take the money."""
    if item == "flaky" and not Path(os.environ["SHOP_NOTES"], item).exists():
        Path(os.environ["SHOP_NOTES"], item).touch()
        raise RuntimeError("\x1b[31mgateway\r\nerror \u202e503")
    if item in ("poor", "stuck"):
        raise Permanent("card declined")
    return amount


@step(queue="stock", retry=QUICKLY)
def end(item: str) -> None:
    """Takes its worker with it."""
    os.kill(os.getpid(), signals.SIGKILL)


@saga
async def last_order(item: str) -> None:
    """Its worker does not live long."""
    await end(item)


@charge.compensation
def refund(receipt: int | None, item: str, amount: int) -> None:
    """Give it back."""


@step(queue="attic", retry=QUICKLY)
def dust(item: str) -> None:
    """No worker of the tests has this step's code on its queue."""


@saga
async def order(item: str, amount: int = 5) -> str:
    """Reserve, perhaps wait for somebody, charge."""
    reservation = await reserve(item)
    if item == "ask":
        decision = await approval("large sum", details={"amount": amount})
        if not decision.approved:
            raise Permanent(f"{decision.by} said no: {decision.reason}")
    if item == "paid":
        amount = await signal("payment", int)
    if item == "sleep":
        await asyncio.sleep(86400)
    if item == "attic":
        await dust(item)
    await charge(item, amount)
    return reservation

"""Sagas that go wrong, each in a way of its own, until somebody mends what it is about.

A file in the folder TROUBLE mends what is outside: `gateway`, `shelf`, `mail`, `bank`. TROUBLE_CODE
is `new` once the code is mended.
"""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

from saga import Permanent, Retry, Unknown, approval, saga, signal, step

NEW = os.environ.get("TROUBLE_CODE") == "new"
ONCE = Retry(max_attempts=1)
LATER = Retry(max_attempts=9, first=timedelta(hours=2), maximum=timedelta(hours=2), jitter=0)


def mended(what: str) -> bool:
    """Whether somebody has seen to it."""
    return Path(os.environ["TROUBLE"], what).exists()


@step(queue="work", retry=ONCE)
def reserve(number: int) -> str:
    """Put something aside."""
    return f"reservation {number}"


@reserve.compensation(retry=ONCE)
def release(reservation: str | None, number: int) -> None:
    """Put it back."""
    if not mended("shelf"):
        raise OSError("the shelf is locked")


@step(queue="work", retry=ONCE, irreversible=True)
def charge(number: int) -> int:
    """Take the money; the gateway is down."""
    if not mended("gateway"):
        raise ConnectionRefusedError(f"gateway pay.example:443 refused order {number}")
    return number


@step(queue="work", retry=ONCE, on_unknown="ask", irreversible=True)
def ship(number: int) -> str:
    """Sent, or not: the connection breaks before the answer comes."""
    raise Unknown("no answer from the carrier")


@step(queue="work", retry=LATER, irreversible=True)
def notify(number: int) -> None:
    """The mail server greylists."""
    if not mended("mail"):
        raise ConnectionRefusedError("450 try again later")


@step(queue="work", retry=LATER, irreversible=True)
def transfer(number: int) -> None:
    """It may have happened; what asks again does so in two hours."""
    if not mended("bank"):
        raise TimeoutError("the bank did not answer in time")


@step(queue="attic", irreversible=True)
def dust(number: int) -> None:
    """On a queue that nobody serves."""


@step(queue="work", retry=ONCE, irreversible=True)
def decline(number: int) -> None:
    """Fails for good, and that is right."""
    raise Permanent("card declined")


@step(queue="work", retry=ONCE, irreversible=True)
def price(number: int, currency: str = "EUR") -> int:
    """What it costs."""
    return number


@step(queue="work", retry=ONCE, read_only=True)
def look_up(number: int) -> dict[str, int]:
    """Of what the saga's code misspells the name."""
    return {"price": number}


@saga
async def payment(number: int) -> int:
    """Fails at the gateway."""
    return await charge(number)


@saga
async def lookup(number: int) -> int:
    """Fails by its own code."""
    found = await look_up(number)
    return found["price"] if NEW else found["prise"]


@saga
async def order(number: int) -> None:
    """Undone in part: the undo fails."""
    await reserve(number)
    await decline(number)


@saga
async def shipment(number: int) -> str:
    """Blocked: nobody knows."""
    return await ship(number)


@saga
async def refund(number: int) -> bool:
    """Waits for somebody's yes."""
    return (await approval("refund", details={"number": number})).approved


@saga
async def invoice(number: int) -> int:
    """Waits for the money."""
    return await signal("paid", int)


@saga
async def cleaning(number: int) -> None:
    """Waits for a queue that nobody serves."""
    await dust(number)


@saga
async def payout(number: int) -> None:
    """Its step stays unknown."""
    await transfer(number)


@saga
async def letter(number: int) -> None:
    """Waits for the next attempt."""
    await notify(number)


@saga
async def parcel(number: int) -> int:
    """A child that fails makes it fail."""
    return await payment(number)


@saga
async def reminder(number: int) -> None:
    """Sleeps; nobody wants it any more."""
    await asyncio.sleep(86400 * 30)


@saga
async def quote(number: int) -> int:
    """Parked by the new code, which asks for something else where it waits."""
    found = await price(number) if not NEW else await price(number, "USD")
    await signal("accepted", bool)
    return found


@saga(version=2 if NEW else 1)
async def newsletter(number: int) -> None:
    """Its version is in no worker any more."""
    await signal("go", bool)

"""Sagas that other services start: `saga --app tests.live.shop worker`."""

from datetime import timedelta
from typing import Any

from saga import Permanent, Retry, Unknown, approval, expose, saga, signal, step


@step
def reserve(item: str, amount: int) -> str:
    return f"{amount} x {item}"


@reserve.compensation
def release(reservation: str | None, item: str, amount: int) -> None:
    pass


@step
def pay(amount: int) -> int:
    if amount > 1000:
        raise Permanent("too much")
    return amount


@step(retry=Retry(max_attempts=2, first=timedelta(seconds=0.01)))
def appraise(given: dict[str, Any]) -> Any:
    """Of what has no value."""
    return given["value"]


@saga
async def appraisal(given: dict[str, Any]) -> Any:
    """Fails with a traceback."""
    return await appraise(given)


@pay.compensation
def pay_back(paid: int | None, amount: int) -> None:
    pass


@saga
async def order(item: str, amount: int = 1) -> dict[str, Any]:
    """Large orders want an approval; enormous ones fail and are undone."""
    reservation = await reserve(item, amount)
    expose({"reservation": reservation})
    if amount > 100:
        decision = await approval("large order", {"item": item}, timeout=timedelta(hours=1))
        if not decision.approved:
            raise Permanent("not approved")
    return {"reservation": reservation, "paid": await pay(amount)}


@saga
async def parcel(number: int) -> list[Any]:
    """Waits to hear twice where it is."""
    return [await signal("seen"), await signal("seen")]


_tried: set[str] = set()


@step(read_only=True)
def look(where: str) -> str:
    """Fails the first time that a worker process looks there."""
    if where not in _tried:
        _tried.add(where)
        raise Permanent("nothing to be seen")
    return where


@saga
async def fragile(until: str) -> str:
    """Fails once."""
    return await look(until)


@step(on_unknown="ask", irreversible=True)
def wire(amount: int) -> int:
    raise Unknown("the line is dead")


@saga
async def transfer(amount: int) -> int:
    """A person says what came of it."""
    return await wire(amount)

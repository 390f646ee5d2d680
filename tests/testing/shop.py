"""The sagas of these tests, as users write them."""

import asyncio
from datetime import timedelta
from typing import Any

from saga import (
    Permanent,
    Retry,
    StepFailed,
    approval,
    current,
    expose,
    now,
    saga,
    scope,
    signal,
    step,
)
from saga.core.declare.registry import registry

with registry.sandbox():

    @step(read_only=True)
    def weigh(item: str) -> int:
        return len(item)

    @step
    def reserve(item: str) -> str:
        return f"one {item}"

    @reserve.compensation
    def release(reservation: str | None, item: str) -> None: ...

    @step(retry=Retry(max_attempts=3, first=timedelta(minutes=1)))
    async def charge(cents: int) -> str:
        return f"paid {cents}"

    @charge.probe
    async def find_payment(cents: int) -> str | None:
        return f"found {cents}"

    @charge.compensation
    async def refund(receipt: str | None, cents: int) -> None: ...

    @step(retry=Retry(max_attempts=2))
    def ship(item: str) -> str:
        return f"shipped {item}"

    @ship.compensation(retry=Retry(max_attempts=2))
    def call_back(parcel: str | None, item: str) -> None: ...

    @step(pivot=True)
    def hand_over(item: str) -> None: ...

    @step(on_unknown="ask")
    def print_label(item: str) -> str:
        return item

    @step(transactional=True)
    def enter(item: str) -> str:
        current().connection.append((item, current().idempotency_key))
        return item

    @saga
    async def order(item: str) -> str:
        _, reservation = await asyncio.gather(weigh(item), reserve(item))
        await charge(300)
        parcel = await ship(item)
        expose({"parcel": parcel})
        return f"{reservation} {parcel}"

    @saga
    async def large(item: str) -> str:
        await reserve(item)
        decision = await approval("large order", {"item": item}, timeout=timedelta(days=3))
        if not decision.approved:
            raise ValueError("late" if decision.timed_out else "rejected")
        return await ship(item)

    @saga
    async def paid(count: int) -> list[Any]:
        sums = [await signal("paid", int) for _ in range(count)]
        await asyncio.sleep(86_400)
        return [*sums, now().date().isoformat()]

    @saga
    async def tolerant(item: str) -> str:
        try:
            async with scope():
                await reserve(item)
                await ship(item)
        except StepFailed as failed:
            return f"without: {failed.type}"
        return "all"

    @saga
    async def parent(item: str) -> str:
        first = await order(item)
        await hand_back(item)
        return first

    @step(read_only=True)
    def hand_back(item: str) -> None:
        raise Permanent("as asked")

    @saga
    async def delivery(item: str) -> None:
        await reserve(item)
        await hand_over(item)
        await ship(item)

    @saga
    async def labelled(item: str) -> str:
        return await print_label(item)

    @saga
    async def entered(item: str) -> str:
        return await enter(item)

    @saga
    async def chancy() -> str:
        import random

        return await reserve(str(random.random()))

    @saga
    async def ten() -> int:
        for number in range(10):
            await reserve(str(number))
        return 10

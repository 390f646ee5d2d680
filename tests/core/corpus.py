"""Sagas as people write them, each with a story of what happens to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from pydantic import BaseModel

from saga.core.declare.decorators import saga, step
from saga.core.declare.definitions import SagaDefinition
from saga.core.declare.registry import registry
from saga.core.loop.scopes import scope
from saga.core.verbs import approval, expose, now, random, signal, uuid
from tests.core.world import World


class Ticket(BaseModel):
    id: int
    customer: str


class Story(NamedTuple):
    """A saga, its input, and what happens to it."""

    saga: SagaDefinition[..., Any]
    args: tuple[Any, ...]
    tell: Callable[[World], None]


with registry.sandbox():

    @step(queue="llm", read_only=True)
    def classify(text: str) -> str:
        raise NotImplementedError

    @step(queue="crm", read_only=True)
    def fetch_customer(customer_id: str) -> str:
        raise NotImplementedError

    @step(queue="tickets")
    async def create_ticket(customer: str, text: str) -> Ticket:
        raise NotImplementedError

    @create_ticket.compensation
    def close_ticket(ticket: Ticket | None, customer: str) -> None: ...

    @step(queue="payments")
    def reserve(amount: float) -> str:
        raise NotImplementedError

    @reserve.compensation(queue="refunds")
    def release(reservation: str | None) -> None: ...

    @step(queue="payments", pivot=True)
    def refund(ticket: Ticket, amount: float) -> str:
        raise NotImplementedError

    @saga
    async def greet(name: str) -> str:
        return f"hello {name}"

    @saga(version=3)
    async def support(text: str, customer_id: str, amount: float) -> dict[str, Any]:
        category, customer = await asyncio.gather(classify(text), fetch_customer(customer_id))
        ticket = await create_ticket(customer, text)
        expose({"ticket": ticket.id})
        await reserve(amount)
        decision = await approval("refund", {"amount": amount}, timeout=timedelta(days=3))
        if not decision.approved:
            return {"ticket": ticket.id, "refunded": None, "late": decision.timed_out}
        receipt = await refund(ticket, amount)
        return {"ticket": ticket.id, "category": category, "refunded": receipt}

    @saga
    async def impatient(seconds: float) -> list[str]:
        seen: list[str] = []
        for name in ("a", "b", "c"):
            try:
                async with asyncio.timeout(seconds):
                    seen.append(await classify(name))
            except TimeoutError:
                seen.append(f"{name} was late")
        return seen

    @saga
    async def all_or_nothing(count: int) -> str:
        try:
            async with scope(), asyncio.TaskGroup() as group:
                for number in range(count):
                    group.create_task(reserve(float(number)))
        except ExceptionGroup as failed:
            return f"{len(failed.exceptions)} failed"
        return "done"

    @saga
    async def meter() -> int:
        total = 0
        while True:
            try:
                total += await signal("read", int, timeout=timedelta(minutes=10))
            except TimeoutError:
                return total
            expose(total)

    @saga
    async def first_come(names: list[str]) -> list[str]:
        order: list[str] = []
        for each in asyncio.as_completed([classify(name) for name in names]):
            order.append(await each)
            await fetch_customer(order[-1])
        return order

    @saga
    async def workers(jobs: list[str]) -> dict[str, str]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        results: dict[str, str] = {}

        async def work() -> None:
            while True:
                job = await queue.get()
                results[job] = await classify(job)
                queue.task_done()

        for job in jobs:
            queue.put_nowait(job)
        tasks = [asyncio.create_task(work()) for _ in range(2)]
        await queue.join()
        for task in tasks:
            task.cancel()
        return results

    @saga
    async def lottery() -> dict[str, Any]:
        greeting = await greet("ann")
        drawn = random().randint(1, 100)
        ticket = uuid()
        started = now()
        await asyncio.sleep(timedelta(days=30).total_seconds())
        waited = now() - started
        return {
            "greeting": greeting,
            "drawn": drawn,
            "ticket": str(ticket),
            "days": waited.days,
            "again": random().randint(1, 100),
        }

    @saga
    async def watchdog() -> str:
        async def bark() -> None:
            try:
                while True:
                    await asyncio.sleep(60)
                    await classify("still there?")
            finally:
                await fetch_customer("the owner")

        dog = asyncio.create_task(bark())
        result = await fetch_customer("someone")
        expose(dog.done())
        return result


def _support_refunds(world: World) -> None:
    world.succeed("step fetch_customer", "ann")
    world.succeed("step classify", "money")
    world.succeed("step create_ticket", {"id": 7, "customer": "ann"})
    world.succeed("step reserve", "r1")
    world.succeed("approval refund", {"approved": True, "by": "bob"})
    world.succeed("step refund", "done")


def _support_nobody_decides(world: World) -> None:
    world.succeed("step classify", "money")
    world.succeed("step fetch_customer", "ann")
    world.succeed("step create_ticket", {"id": 7, "customer": "ann"})
    world.succeed("step reserve", "r1")
    world.fire("approval refund")


def _support_fails(world: World) -> None:
    world.succeed("step classify", "money")
    world.succeed("step fetch_customer", "ann")
    world.fail("step create_ticket", "HTTPError", "500", in_doubt=True)


def _impatient(world: World) -> None:
    world.succeed("step classify", "A")
    world.fire()
    world.settle(world.rows[4, False], "succeeded", '"too late"')
    world.succeed("step classify", "C")


def _all_or_nothing_fails(world: World) -> None:
    world.succeed(1, "r1")
    world.fail(3)
    world.settle(world.rows[2, False], "succeeded", '"r2"')
    world.settle(world.rows[4, False], "cancelled", None)
    world.succeed("undo release")
    world.fail("undo release")


def _all_or_nothing_works(world: World) -> None:
    for position in (2, 1):
        world.succeed(position, "r")


def _meter(world: World) -> None:
    world.signal("read", 3)
    world.signal("other", 100)
    world.signal("read", 4)
    world.fire("signal read")


def _first_come(world: World) -> None:
    for position in (3, 1, 4, 5, 2, 6):
        world.succeed(position, f"r{position}")


def _workers(world: World) -> None:
    for position in (2, 1, 3, 4):
        world.succeed(position, f"r{position}")


def _lottery(world: World) -> None:
    world.succeed("child greet", "hello ann")
    world.fire()


def _watchdog(world: World) -> None:
    world.fire("timer sleep")
    world.succeed("step classify", "yes")
    world.succeed("step fetch_customer", "someone")
    world.succeed("step fetch_customer", "the owner")


STORIES: dict[str, Story] = {
    "support_refunds": Story(support, ("broken", "c1", 12.5), _support_refunds),
    "support_nobody_decides": Story(support, ("broken", "c1", 12.5), _support_nobody_decides),
    "support_fails": Story(support, ("broken", "c1", 12.5), _support_fails),
    "impatient": Story(impatient, (30.0,), _impatient),
    "all_or_nothing_fails": Story(all_or_nothing, (4,), _all_or_nothing_fails),
    "all_or_nothing_works": Story(all_or_nothing, (2,), _all_or_nothing_works),
    "meter": Story(meter, (), _meter),
    "first_come": Story(first_come, (["x", "y", "z"],), _first_come),
    "workers": Story(workers, (["j1", "j2", "j3", "j4"],), _workers),
    "lottery": Story(lottery, (), _lottery),
    "watchdog": Story(watchdog, (), _watchdog),
}

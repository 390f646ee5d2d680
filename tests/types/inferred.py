"""What mypy and pyright infer of users' code: see `test_checkers`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, assert_type

from saga import AsyncClient, AsyncHandle, Client, Handle, saga, signal, step
from saga.testing import Crash, World, WorldSaga


@step
def price(item: str) -> int:
    return len(item)


@step(queue="mail")
async def send(text: str, copies: int = 1) -> list[str]:
    return [text] * copies


@saga
async def order(item: str, *, gift: bool = False) -> str:
    cents, sent = await asyncio.gather(price(item), send(item))
    assert_type(cents, int)
    assert_type(sent, list[str])
    first, second, third = await asyncio.gather(price("a"), send("b"), bundle(3))
    assert_type((first, second, third), tuple[int, list[str], float])
    async with asyncio.TaskGroup() as group:
        task = group.create_task(price(item))
        other = group.create_task(bundle(2))
    assert_type(task.result(), int)
    assert_type(other.result(), float)
    assert_type(await asyncio.wait_for(send(item), 3), list[str])
    assert_type(await signal("paid", int, timedelta(days=1)), int)
    return item if gift else str(cents)


@saga(version=2)
async def bundle(count: int) -> float:
    return float(count)


def clients(client: Client) -> None:
    assert_type(client.start(order, "lamp"), Handle[str])
    assert_type(client.start(order, item="lamp", gift=True), Handle[str])
    assert_type(client.start(order, "lamp", key="order-1"), Handle[str])
    assert_type(client.start(bundle, 3, key="b", version=2, callback="https://x"), Handle[float])
    assert_type(client.start("order", item="lamp", key="order-1"), Handle[Any])
    assert_type(client.start(order, "lamp").result(), str)


async def async_clients(client: AsyncClient) -> None:
    assert_type(await client.start(order, "lamp"), AsyncHandle[str])
    assert_type(await client.start(order, item="lamp", gift=True), AsyncHandle[str])
    assert_type(await client.start(order, "lamp", key="order-1"), AsyncHandle[str])
    assert_type(await client.start(bundle, 3, version=2, callback="https://x"), AsyncHandle[float])
    assert_type(await client.start("order", item="lamp", key="order-1"), AsyncHandle[Any])


def worlds(world: World) -> None:
    world.replace(price, lambda item: len(item) + 1)
    world.replace(send, lambda text, copies=1: [text] * copies)
    assert_type(world.run(order("lamp")), str)
    assert_type(world.start(bundle(3)), WorldSaga[float])
    for crash in world.crashes(order("lamp", gift=True)):
        assert_type(crash, Crash[str])

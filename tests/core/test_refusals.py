"""Real input or output in a saga fails at once and says where it belongs."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from saga.core.declare.decorators import saga
from saga.core.loop.loop import JournalLoop
from saga.errors import NotDeterministic
from tests.core.world import World

Call = Callable[[asyncio.AbstractEventLoop], Coroutine[Any, Any, Any]]


async def _thread(loop: asyncio.AbstractEventLoop) -> None:
    await asyncio.to_thread(print)


async def _executor(loop: asyncio.AbstractEventLoop) -> None:
    await loop.run_in_executor(None, print)


async def _connection(loop: asyncio.AbstractEventLoop) -> None:
    await asyncio.open_connection("localhost", 1)


async def _server(loop: asyncio.AbstractEventLoop) -> None:
    await asyncio.start_server(print, "localhost", 1)


async def _process(loop: asyncio.AbstractEventLoop) -> None:
    await asyncio.create_subprocess_exec("true")


async def _shell(loop: asyncio.AbstractEventLoop) -> None:
    await asyncio.create_subprocess_shell("true")


async def _names(loop: asyncio.AbstractEventLoop) -> None:
    await loop.getaddrinfo("localhost", 1)


async def _reader(loop: asyncio.AbstractEventLoop) -> None:
    loop.add_reader(0, print)


async def _socket(loop: asyncio.AbstractEventLoop) -> None:
    await loop.sock_recv(cast("socket.socket", None), 1)


async def _threadsafe(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon_threadsafe(print)


async def _signal(loop: asyncio.AbstractEventLoop) -> None:
    loop.add_signal_handler(1, print)


async def _stop(loop: asyncio.AbstractEventLoop) -> None:
    loop.stop()


async def _datagram(loop: asyncio.AbstractEventLoop) -> None:
    await loop.create_datagram_endpoint(asyncio.DatagramProtocol)


CALLS: list[tuple[Call, str]] = [
    (_thread, "to_thread"),
    (_executor, "run_in_executor"),
    (_connection, "create_connection"),
    (_server, "create_server"),
    (_process, "subprocess_exec"),
    (_shell, "subprocess_shell"),
    (_names, "getaddrinfo"),
    (_reader, "add_reader"),
    (_socket, "sock_recv"),
    (_threadsafe, "call_soon_threadsafe"),
    (_signal, "add_signal_handler"),
    (_stop, "stop"),
    (_datagram, "create_datagram_endpoint"),
]


@pytest.mark.parametrize(("call", "named"), CALLS, ids=[named for _, named in CALLS])
def test_refused_by_name(call: Call, named: str) -> None:
    @saga
    async def body() -> None:
        await call(asyncio.get_running_loop())

    with World(body) as world:
        assert world.error["type"] == "NotDeterministic"
        assert named in world.error["message"]
        assert "put it in a step" in world.error["message"]


def test_a_saga_can_catch_it() -> None:
    @saga
    async def body() -> str:
        try:
            await asyncio.to_thread(print)
        except NotDeterministic:
            return "caught"
        return "ran"

    with World(body) as world:
        assert world.result == "caught"


def test_everything_else_a_loop_can_do_is_refused() -> None:
    left = [
        name
        for name in vars(asyncio.AbstractEventLoop)
        if not name.startswith("_")
        and getattr(JournalLoop, name) is getattr(asyncio.AbstractEventLoop, name)
    ]
    assert left == []


def test_a_future_of_another_loop_fails() -> None:
    elsewhere = asyncio.new_event_loop()
    foreign = elsewhere.create_future()

    @saga
    async def body() -> None:
        await foreign

    with World(body) as world:
        assert world.error["type"] == "RuntimeError"
        assert "different loop" in world.error["message"]
    elsewhere.close()


def test_no_thread_is_started() -> None:
    before = threading.active_count()
    test_refused_by_name(_executor, "run_in_executor")
    assert threading.active_count() == before

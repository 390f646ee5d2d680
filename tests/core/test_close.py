"""A run that is thrown away asks for nothing, warns of nothing and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Generator
from typing import Any
from uuid import UUID

import pytest

from saga.core.declare.decorators import saga, step
from saga.core.declare.definitions import SagaDefinition
from saga.core.loop.events import Event
from saga.core.loop.scopes import scope
from saga.core.replay import Run
from saga.core.verbs import approval, signal
from tests.core.world import SAGA_ID, START


def _started(body: SagaDefinition[[], Any]) -> Run:
    run = Run(body, SAGA_ID, "{}", START)
    run.decide()
    return run


def test_clean_ups_ask_for_nothing() -> None:
    did: list[str] = []

    @step
    def work(name: str) -> None:
        did.append(name)

    @saga
    async def body() -> None:
        try:
            await work("first")
        finally:
            did.append("finally")
            await work("clean up")
            did.append("not reached")

    run = _started(body)
    run.close()
    gc.collect()
    assert did == ["finally"]
    assert run.decide().commands == ()


def test_clean_ups_that_wait_for_all_sorts_of_things() -> None:  # noqa: C901 - that is the test
    @step
    def work() -> None: ...

    async def late() -> None:
        async with asyncio.timeout(5):
            await asyncio.sleep(1)

    async def clean_up() -> None:
        for wait in (
            lambda: asyncio.sleep(0),
            late,
            lambda: asyncio.wait_for(work(), 3),
            lambda: asyncio.gather(work(), signal("n"), approval("p")),
            lambda: asyncio.Event().wait(),
        ):
            with contextlib.suppress(Exception):
                await wait()

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            await work()
        finally:
            await clean_up()

    @saga
    async def body() -> None:
        async def job() -> None:
            try:
                async with asyncio.TaskGroup() as group, scope():
                    for _ in range(3):
                        group.create_task(work())
                    async for _ in numbers():
                        await work()
            finally:
                await clean_up()

        task = asyncio.create_task(job())
        try:
            async with asyncio.Lock():
                await asyncio.gather(task, job(), asyncio.shield(job()))
        finally:
            task.cancel()
            await asyncio.wait([task])
            await clean_up()

    for events in range(4):
        run = _started(body)
        run.catch_up(Event(n, START, "settled", n, payload="null") for n in range(1, events + 1))
        run.close()
        del run
        gc.collect()


def test_one_that_swallows_everything_comes_to_an_end() -> None:
    turns: list[int] = []

    @saga
    async def body() -> None:
        for turn in range(20):
            try:
                await asyncio.sleep(5)
            except BaseException:
                turns.append(turn)

    run = _started(body)
    run.close()
    gc.collect()
    assert turns == list(range(20))


def test_before_the_start_after_the_end_and_twice() -> None:
    @saga
    async def body() -> int:
        return 1

    run = Run(body, SAGA_ID, "{}", START)
    run.close()
    run = _started(body)
    run.close()
    run.close()


def test_the_running_loop_is_put_back() -> None:
    @saga
    async def body() -> None:
        await asyncio.sleep(9)

    async def main() -> None:
        here = asyncio.get_running_loop()
        run = _started(body)
        run.close()
        assert asyncio.get_running_loop() is here
        await asyncio.sleep(0)

    asyncio.run(main())
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_from_another_thread() -> None:
    @step
    def work() -> int:
        raise NotImplementedError

    @saga
    async def body() -> int:
        return await work()

    run = _started(body)

    def elsewhere() -> None:
        run.catch_up([Event(1, START, "settled", 1, payload="4")])
        verdicts.append(run.decide().verdict)
        run.close()

    verdicts: list[Any] = []
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert verdicts[0].result == "4"


def test_nothing_is_left_even_without_the_garbage_collector() -> None:
    @step
    def work(number: int) -> int:
        raise NotImplementedError

    class Big:
        pass

    alive: weakref.WeakSet[Big] = weakref.WeakSet()

    @saga
    async def body() -> None:
        big = Big()
        alive.add(big)
        await asyncio.gather(work(1), work(2))
        await approval("p")

    def live_and_die(number: int) -> None:
        run = Run(body, UUID(int=number), "{}", START)
        run.decide()
        if number % 2:
            run.catch_up(Event(n, START, "settled", n, payload="1") for n in (1, 2))
        run.close()

    gc.collect()
    gc.disable()
    try:
        for number in range(200):
            live_and_die(number)
        waiting = [_started(body) for _ in range(3)]
        del waiting
        left = len(alive)
    finally:
        gc.enable()
    assert left == 0


def test_a_run_that_nobody_closed_closes_itself() -> None:
    did: list[str] = []

    @step
    def work() -> None:
        did.append("work")

    @saga
    async def body() -> None:
        try:
            await asyncio.sleep(5)
        finally:
            did.append("finally")
            await work()

    _started(body)
    gc.collect()
    assert did == ["finally"]


def test_exceptions_of_tasks_that_nobody_awaits(caplog: pytest.LogCaptureFixture) -> None:
    @saga
    async def body() -> None:
        async def fail() -> None:
            raise ValueError("secret")

        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        assert task.done()
        del task
        await asyncio.sleep(5)

    run = _started(body)
    run.close()
    gc.collect()
    assert "secret" not in caplog.text


def test_a_clean_up_that_awaits_something_new() -> None:
    gone: list[str] = []

    @step
    def work() -> None: ...

    async def patient() -> None:
        try:
            async with asyncio.TaskGroup() as outer, asyncio.TaskGroup() as inner:
                outer.create_task(asyncio.Event().wait())
                inner.create_task(asyncio.Event().wait())
                await asyncio.create_task(asyncio.Event().wait())
        finally:
            gone.append("patient")

    @saga
    async def body() -> None:
        try:
            await work()
        finally:
            await patient()

    _started(body).close()
    gc.collect()
    assert gone == ["patient"]


def test_a_generator_whose_clean_up_awaits_something_new_and_resets_a_variable() -> None:
    gone: list[str] = []
    variable = contextvars.ContextVar[int]("variable")

    @step
    def work() -> None: ...

    @contextlib.contextmanager
    def marked() -> Generator[None]:
        token = variable.set(1)
        try:
            yield
        finally:
            variable.reset(token)
            gone.append("reset")

    async def drain(task: asyncio.Task[None]) -> None:
        try:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        finally:
            gone.append("drained")

    async def events() -> AsyncIterator[int]:
        with marked():
            task = asyncio.create_task(work())
            try:
                await asyncio.wait([task])
                yield 1
            finally:
                await drain(task)

    @saga
    async def body() -> None:
        async for _ in events():
            pass

    _started(body).close()
    assert gone == ["drained", "reset"]

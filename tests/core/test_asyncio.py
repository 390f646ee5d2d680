"""Each primitive of asyncio works in a saga, and what waits is durable."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from saga.core.declare.decorators import saga, step
from saga.core.declare.definitions import SagaDefinition, StepDefinition
from saga.core.loop.commands import Drop
from saga.core.replay import Run
from saga.core.verbs import now
from saga.errors import StepFailed
from tests.core.world import SAGA_ID, START, World, names

Work = StepDefinition[[int], int]


@pytest.fixture
def work() -> Work:
    @step
    def work(number: int) -> int:
        raise NotImplementedError

    return work


def test_gather_asks_in_order_and_takes_results_in_any(work: Work) -> None:
    @saga
    async def body() -> list[int]:
        return await asyncio.gather(*(work(n) for n in range(3)))

    with World(body) as world:
        assert [ask.intent.args for ask in _asks(world)] == [f'{{"number":{n}}}' for n in range(3)]
        for position in (3, 1, 2):
            world.succeed(position, position * 10)
        assert world.result == [10, 20, 30]
        world.check_replays()


def test_task_group_drops_the_others_when_one_fails(work: Work) -> None:
    @saga
    async def body() -> str:
        try:
            async with asyncio.TaskGroup() as group:
                for n in range(3):
                    group.create_task(work(n))
        except* StepFailed:
            pass
        return "caught"

    with World(body) as world:
        world.fail(2)
        assert names(world.last) == ["drop 1", "drop 3"]
        assert world.result == "caught"
        world.check_replays()


def test_wait_for_the_first(work: Work) -> None:
    @saga
    async def body() -> list[int]:
        tasks = [asyncio.create_task(work(n)) for n in range(3)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        return [task.result() for task in done]

    with World(body) as world:
        world.succeed(2, 20)
        assert names(world.last) == ["drop 1", "drop 3"]
        assert world.result == [20]
        world.check_replays()


def test_sets_of_tasks_have_one_order(work: Work) -> None:
    @saga
    async def body() -> None:
        tasks = {asyncio.create_task(work(n)) for n in range(50)}
        done, _ = await asyncio.wait(tasks)
        for task in done:
            await work(task.result())

    orders: list[list[str]] = []
    for _ in range(3):
        with World(body) as world:
            keep_memory_busy = [object() for _ in range(1000)]
            for position in range(1, 51):
                world.succeed(position, position)
            for position in range(51, 101):
                world.succeed(position, position)
            orders.append([row.ask.intent.args for row in world.rows.values()])
            world.check_replays()
            del keep_memory_busy
    assert orders[0] == orders[1] == orders[2]


@pytest.mark.parametrize("bare", [True, False])
def test_as_completed(work: Work, bare: bool) -> None:
    @saga
    async def body() -> list[int]:
        jobs: list[Any] = [work(n) for n in range(20)]
        if not bare:
            jobs = [asyncio.create_task(job) for job in jobs]
        return [await each for each in asyncio.as_completed(jobs, timeout=60)]

    with World(body) as world:
        steps = [ask.intent.args for ask in _asks(world) if ask.intent.kind == "step"]
        assert steps == [f'{{"number":{n}}}' for n in range(20)]
        order = [*range(20, 0, -2), *range(1, 20, 2)]
        for position in order:
            world.succeed(_nth(world, position), position)
        assert world.result == order
        world.check_replays()


def test_as_completed_over_what_has_no_order_is_refused(work: Work) -> None:
    @saga
    async def body() -> None:
        for each in asyncio.as_completed({work(n) for n in range(3)}):
            await each

    with pytest.warns(RuntimeWarning, match="never awaited"):
        _assert_refused(body)


def test_wait_for_and_timeout_drop_what_is_late(work: Work) -> None:
    @saga
    async def body() -> str:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(work(1), timeout=10)
        try:
            async with asyncio.timeout(10):
                await work(2)
        except TimeoutError:
            return "late twice"
        return "in time"

    with World(body) as world:
        assert sorted(world.waits_for) == ["step work", "timer sleep"]
        world.fire()
        world.fire()
        assert world.result == "late twice"
        assert not world.waits_for
        world.check_replays()


def test_a_timeout_that_is_not_needed_is_dropped(work: Work) -> None:
    @saga
    async def body() -> int:
        async with asyncio.timeout(10):
            return await work(1)

    with World(body) as world:
        world.succeed("step work", 5)
        assert names(world.last) == ["drop 1"]
        assert world.result == 5


def test_sleep_is_a_timer_and_sleep_zero_is_none() -> None:
    @saga
    async def body() -> float:
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(3 * 86400)
        return loop.time() - before

    with World(body) as world:
        assert [(ask.intent.kind, ask.intent.name, ask.due) for ask in _asks(world)] == [
            ("timer", "sleep", START + 3 * 86400)
        ]
        world.fire()
        assert world.result == 3 * 86400


def test_time_is_that_of_the_last_event_and_never_runs_back(work: Work) -> None:
    @saga
    async def body() -> list[float]:
        seen = [now().timestamp()]
        for n in range(3):
            await work(n)
            seen.append(now().timestamp())
        return seen

    with World(body) as world:
        for at in (START + 10, START + 5, START + 20):
            world.settle(world.find("step work"), "succeeded", "1", at=at)
        assert world.result == [START, START + 10, START + 10, START + 20]


@pytest.mark.parametrize("seconds", [float("inf"), 1e15])
def test_a_timer_beyond_all_time_is_refused(seconds: float) -> None:
    @saga
    async def body() -> None:
        await asyncio.sleep(seconds)

    with World(body) as world:
        assert world.error["type"] == "ValueError"


def test_queue_lock_event_semaphore_condition_barrier(work: Work) -> None:
    @saga
    async def body() -> list[int]:
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
        lock, event, gate = asyncio.Lock(), asyncio.Event(), asyncio.Semaphore(2)
        condition, barrier = asyncio.Condition(), asyncio.Barrier(4)
        got: list[int] = []

        async def produce(n: int) -> None:
            async with gate:
                number = await work(n)
            async with lock:
                await queue.put(number)
            event.set()
            await barrier.wait()

        async def consume() -> None:
            await event.wait()
            while len(got) < 3:
                got.append(await queue.get())
                async with condition:
                    condition.notify_all()
            await barrier.wait()

        async with asyncio.TaskGroup() as group:
            for n in range(3):
                group.create_task(produce(n))
            group.create_task(consume())
            async with condition:
                await condition.wait_for(lambda: len(got) == 3)
        return got

    with World(body) as world:
        assert world.asked == ["step work"] * 2, "the semaphore lets two through"
        world.succeed(2, 2)
        world.succeed(3, 3)
        world.succeed(1, 1)
        assert world.result == [2, 3, 1]
        world.check_replays()


def test_shield_keeps_the_step(work: Work) -> None:
    @saga
    async def body() -> int:
        job = asyncio.create_task(work(1))
        try:
            async with asyncio.timeout(5):
                await asyncio.shield(job)
        except TimeoutError:
            pass
        return await job

    with World(body) as world:
        world.fire()
        assert world.waits_for == ["step work"]
        world.succeed("step work", 8)
        assert world.result == 8


def test_callbacks_and_futures(work: Work) -> None:
    @saga
    async def body() -> list[Any]:
        loop = asyncio.get_running_loop()
        first, second = loop.create_future(), loop.create_future()
        loop.call_soon(first.set_result, "soon")
        loop.call_later(-1, second.set_result, "at once")
        never = loop.call_later(9, print, "never")
        late = loop.create_future()
        loop.call_at(loop.time() + 3, late.set_result, "late")
        cancelled = loop.call_soon(print, "not this")
        cancelled.cancel()
        assert cancelled.cancelled()
        found = [await first, await second]
        never.cancel()
        return [*found, await late]

    with World(body) as world:
        assert world.waits_for == ["timer sleep"]
        world.fire()
        assert world.result == ["soon", "at once", "late"]
        world.check_replays()


def test_a_timer_that_fires_and_is_cancelled_in_one_turn_does_not_run() -> None:
    @saga
    async def body() -> list[str]:
        loop = asyncio.get_running_loop()
        seen: list[str] = []
        done = asyncio.Event()
        later = loop.call_later(0, seen.append, "not this")
        loop.call_soon(done.set)
        later.cancel()
        await done.wait()
        return seen

    with World(body) as world:
        assert world.result == []


def test_contextvars(work: Work) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")
    name.set("the caller")

    @saga
    async def body() -> list[str]:
        seen = [name.get()]
        name.set("saga")

        async def inner() -> None:
            seen.append(name.get())
            name.set("task")
            await work(1)
            seen.append(name.get())

        await asyncio.create_task(inner())
        seen.append(name.get())
        return seen

    with World(body) as world:
        world.succeed("step work", 1)
        assert world.result == ["nobody", "saga", "task", "saga"]
    assert name.get() == "the caller"


def test_names_of_tasks_are_the_same_in_every_replay(work: Work) -> None:
    @saga
    async def body() -> list[str]:
        tasks = [asyncio.create_task(work(1)), asyncio.create_task(work(2), name="mine")]
        await asyncio.gather(*tasks)
        return [task.get_name() for task in tasks]

    results: list[Any] = []
    for _ in range(2):
        with World(body) as world:
            world.succeed(1, 1)
            world.succeed(2, 1)
            results.append(world.result)
    assert results[0] == results[1]
    assert results[0][1] == "mine"


def test_async_generators(work: Work) -> None:
    closed: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            for n in range(10):
                yield await work(n)
        finally:
            closed.append("closed")

    @saga
    async def body() -> list[int]:
        found: list[int] = []
        async for number in numbers():
            found.append(number)
            if len(found) == 2:
                break
        return found

    with World(body) as world:
        world.succeed(1, 1)
        world.succeed(2, 2)
        assert world.result == [1, 2]
    assert closed == ["closed"]


def test_cancellation_reaches_a_step_and_can_be_caught(work: Work) -> None:
    @saga
    async def body() -> list[Any]:
        seen: list[Any] = []

        async def job() -> None:
            try:
                await work(1)
            except asyncio.CancelledError:
                seen.append("cancelled")
                seen.append(await work(2))
                raise

        task = asyncio.create_task(job())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        return [*seen, task.cancelled()]

    with World(body) as world:
        world.fire()
        assert names(world.last) == ["drop 2", "step work"]
        world.succeed(3, 9)
        assert world.result == ["cancelled", 9, True]
        world.check_replays()


def test_what_is_asked_and_dropped_at_once_keeps_its_position(work: Work) -> None:
    @saga
    async def body() -> int:
        task = asyncio.create_task(work(1))
        await asyncio.sleep(0)
        task.cancel()
        return await work(2)

    with World(body) as world:
        assert [ask.position for ask in _asks(world)] == [2]
        world.succeed(2, 5)
        assert world.result == 5
        world.check_replays()


def test_late_outcomes_of_dropped_steps_are_ignored(work: Work) -> None:
    @saga
    async def body() -> int:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(work(1), 5)
        return await work(2)

    with World(body) as world:
        world.fire()
        world.settle(world.find("step work"), "succeeded", "1")
        assert world.is_waiting
        world.succeed(3, 4)
        assert world.result == 4
        world.check_replays()


def test_the_body_ends_and_the_rest_is_cancelled_first(work: Work) -> None:
    @saga
    async def body() -> int:
        async def other() -> None:
            try:
                await work(1)
            finally:
                await work(99)

        task = asyncio.create_task(other())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(100, task.cancel)
        return 1

    with World(body) as world:
        assert world.is_waiting, "as asyncio.run() waits for the tasks that it cancels"
        assert world.waits_for == ["timer sleep", "step work"]
        world.succeed("step work", 0)
        assert world.result == 1
        assert not world.waits_for
        world.check_replays()


def test_cancelled_from_within() -> None:
    @saga
    async def body() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(5)

    with World(body) as world:
        assert world.error["type"] == "CancelledError"


def test_sys_exit_fails_the_saga_only() -> None:
    @saga
    async def body() -> None:
        sys.exit(3)

    with World(body) as world:
        assert world.error["type"] == "SystemExit"


def test_waiting_for_nothing_fails() -> None:
    @saga
    async def body() -> None:
        await asyncio.Event().wait()

    with World(body) as world:
        assert world.error["type"] == "NotDeterministic"
        assert "no event can bring" in world.error["message"]


def test_an_endless_turn_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saga.core.loop.loop.MOST_TURNS", 1000)

    @saga
    async def body() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    with World(body) as world:
        assert world.error["type"] == "NotDeterministic"
        assert "without waiting" in world.error["message"]


def test_within_another_running_loop(work: Work) -> None:
    @saga
    async def body() -> int:
        return await work(1)

    async def main() -> int:
        here = asyncio.get_running_loop()
        task = asyncio.current_task()
        with World(body) as world:
            assert asyncio.get_running_loop() is here
            await asyncio.sleep(0)
            world.succeed(1, 7)
            assert asyncio.get_running_loop() is here
            assert asyncio.current_task() is task
            return world.result

    assert asyncio.run(main()) == 7


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks(work: Work) -> None:
    @saga
    async def body() -> list[int]:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009
        tasks = [asyncio.create_task(work(n)) for n in range(3)]
        first = await work(9)
        return [first, *await asyncio.gather(*tasks)]

    with World(body) as world:
        assert [ask.intent.args for ask in _asks(world)] == [
            f'{{"number":{n}}}' for n in (0, 1, 2, 9)
        ]
        for position in (4, 3, 2, 1):
            world.succeed(position, position)
        assert world.result == [4, 1, 2, 3]
        world.check_replays()


def test_events_are_applied_once_and_in_order(work: Work) -> None:
    @saga
    async def body() -> int:
        return await work(1)

    with World(body) as world:
        world.succeed(1, 3)
        run = Run(body, SAGA_ID, "{}", START)
        run.catch_up(world.events)
        run.catch_up(world.events)
        assert run.applied == 1
        with pytest.raises(ValueError, match="event 3 after 1"):
            run.catch_up([type(world.events[0])(3, START, "signal", name="x")])
        run.close()


def test_what_was_dropped_is_unwanted_until_it_settles(work: Work) -> None:
    @saga
    async def body() -> int:
        task = asyncio.create_task(work(1))
        await work(2)
        task.cancel()
        return await work(3)

    with World(body) as world:
        world.succeed(1, 1)
        assert world.last[1] == Drop(2, undo=False)
        before = world.recorded(0)
        run = Run(body, SAGA_ID, "{}", START, before)
        run.catch_up(world.events)
        assert names(run.decide().commands) == ["step work", "drop 2"]
        run.close()
        assert world.replay(1).commands == (Drop(2, undo=False),), "it may be that nobody heard"
        world.succeed(3, 1)
        assert world.unwanted == [set(), {2}, {2}]
        world.check_replays()


def test_what_was_dropped_and_settles_is_no_longer_unwanted(work: Work) -> None:
    @saga
    async def body() -> int:
        task = asyncio.create_task(work(1))
        await work(2)
        task.cancel()
        return await work(3) + await work(4)

    with World(body) as world:
        world.succeed(1, 1)
        world.settle(world.rows[2, False], "cancelled", None)
        assert world.last == ()
        assert world.unwanted == [set(), {2}, set()]
        world.check_replays()


def _assert_refused(body: SagaDefinition[[], None]) -> None:
    with World(body) as world:
        assert world.error["type"] == "NotDeterministic"
    del world
    gc.collect()


def _asks(world: World) -> list[Any]:
    return [row.ask for row in world.rows.values()]


def _nth(world: World, number: int) -> int:
    """The position of the step with this number of its own kind."""
    steps = [row.ask.position for row in world.rows.values() if row.ask.intent.kind == "step"]
    return steps[number - 1]

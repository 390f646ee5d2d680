"""A scope undoes its own steps, in reverse, and nothing else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from saga.core.declare.decorators import saga, step
from saga.core.declare.definitions import StepDefinition
from saga.core.loop import loop
from saga.core.loop.commands import Ask
from saga.core.loop.loop import MOST_REPEATS
from saga.core.loop.scopes import scope
from saga.core.verbs import signal
from saga.errors import StepFailed
from tests.core.world import World, names

Step = StepDefinition[[int], int | None]


def _make(name: str, *, undoable: bool = True, pivot: bool = False) -> Step:
    def function(number: int) -> int | None:
        raise NotImplementedError

    made = step(name=name, pivot=pivot, queue=f"of {name}")(function)
    if undoable:

        @made.compensation(name=f"un{name}")
        def undo(result: int | None, number: int) -> None:  # pyright: ignore[reportUnusedFunction]
            raise NotImplementedError

    return made


@pytest.fixture
def a() -> Step:
    return _make("a")


@pytest.fixture
def b() -> Step:
    return _make("b")


@pytest.fixture
def plain() -> Step:
    return _make("plain", undoable=False)


def test_in_reverse_order_before_the_exception_goes_on(a: Step, b: Step, plain: Step) -> None:
    @saga
    async def body() -> str:
        await a(0)
        try:
            async with scope():
                await a(1)
                await plain(2)
                await b(3)
                await plain(4)
        except StepFailed as exc:
            return f"after {exc.step}"
        return "not reached"

    with World(body) as world:
        for position in range(1, 5):
            world.succeed(position, position)
        world.fail(5)
        assert names(world.last) == ["undo unb"]
        ask = world.find("undo unb").ask
        assert (ask.position, ask.intent.args, ask.intent.queue) == (4, '{"number":3}', "of b")
        assert world.is_waiting
        world.succeed("undo unb")
        assert names(world.last) == ["undo una"]
        assert world.find("undo una").ask.position == 2
        world.succeed("undo una")
        assert world.result == "after plain"
        world.check_replays()
        world.check_batches(range(len(world.events)))


def test_together_what_overlapped(a: Step, b: Step, plain: Step) -> None:
    @saga
    async def body() -> None:
        async with scope():

            async def two() -> None:
                await a(10)
                await a(11)

            await asyncio.gather(two(), b(20))
            await plain(0)

    with World(body) as world:
        for position in (1, 2, 3):
            world.succeed(position)
        world.fail(4)
        assert [ask.intent.args for ask in world.last if isinstance(ask, Ask)] == [
            '{"number":11}',
            '{"number":20}',
        ]
        world.succeed("undo una")
        assert world.last == (), "a(10) was over before a(11) began"
        world.succeed("undo unb")
        assert [ask.intent.args for ask in world.last if isinstance(ask, Ask)] == ['{"number":10}']
        world.succeed("undo una")
        assert world.error["name"] == "plain"
        world.check_replays()


def test_only_what_may_have_happened(a: Step, b: Step) -> None:
    @saga
    async def body() -> list[Any]:
        try:
            async with scope():
                return list(await asyncio.gather(a(1), a(2), a(3), b(4)))
        except StepFailed as exc:
            return [exc.message]

    with World(body) as world:
        world.fail(1, message="certain")
        assert names(world.last) == ["drop 2", "drop 3", "drop 4"]
        assert world.is_waiting, "what is on its way decides what there is to undo"
        world.fail(2, in_doubt=True)
        world.settle(world.find(3), "cancelled", None)
        assert not [told for told in world.asked if told.startswith("undo")]
        world.succeed(4, 1)
        assert sorted(names(world.last)) == ["undo una", "undo unb"]
        assert {row.ask.position for row in world.rows.values() if row.ask.undo} == {2, 4}
        world.succeed("undo una")
        world.succeed("undo unb")
        assert world.result == ["certain"]
        world.check_replays()


def test_what_was_dropped_on_its_way_is_undone_once_it_has_ended(a: Step, b: Step) -> None:
    @saga
    async def body() -> str:
        try:
            async with scope(), asyncio.TaskGroup() as group:
                group.create_task(a(1))
                group.create_task(b(2))
                group.create_task(b(3))
        except ExceptionGroup:
            return "undone"
        return "not reached"

    with World(body) as world:
        world.fail(1)
        assert names(world.last) == ["drop 2", "drop 3"]
        assert world.is_waiting
        world.settle(world.rows[3, False], "cancelled", None)
        world.settle(world.rows[2, False], "succeeded", "5")
        assert names(world.last) == ["undo unb"]
        world.succeed("undo unb")
        assert world.result == "undone"
        world.check_replays()


@saga
async def asking(number: int) -> int:
    return await signal(f"answer {number}", int)


async def _gather(*jobs: Awaitable[Any]) -> None:
    await asyncio.gather(*jobs)


async def _group(*jobs: Awaitable[Any]) -> None:
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(_awaited(job))


async def _awaited(job: Awaitable[Any]) -> None:
    await job


@pytest.mark.parametrize(
    ("together", "late"),
    [
        (_gather, False),
        (_gather, True),
        (_group, False),
        pytest.param(
            *(_group, True),
            marks=pytest.mark.skipif(
                sys.version_info < (3, 13), reason="TaskGroup leaves its own cancellation behind"
            ),
        ),
    ],
)
def test_what_waits_is_stopped(
    together: Callable[..., Awaitable[None]], late: bool, a: Step, plain: Step
) -> None:
    @saga
    async def body() -> str:
        try:
            async with asyncio.timeout(60), scope():
                await a(1)
                await together(asking(1), a(2), plain(3))
        except TimeoutError:
            return "late"
        except (StepFailed, ExceptionGroup):
            return "failed"
        return "not reached"

    with World(body) as world:
        world.succeed("step a")
        world.fail("step plain")
        assert sorted(names(world.last)) == ["drop 3", "drop 4"]
        world.settle(world.find("step a"), "cancelled", None)
        assert world.is_waiting, "the child undoes itself first"
        world.fail("child asking", "SagaFailed")
        assert names(world.last) == ["undo una"]
        if late:
            world.fire()
        world.succeed("undo una")
        assert world.result == ("late" if late else "failed")
        world.check_replays()


def test_a_sibling_of_what_failed_goes_no_further(a: Step, b: Step, plain: Step) -> None:
    @saga
    async def body() -> list[str]:
        told: list[str] = []

        async def sibling() -> None:
            try:
                await plain(1)
                await a(2)
            except StepFailed:
                told.append("a fallback")
            finally:
                await b(3)
                told.append("cleaned up")

        try:
            async with scope():
                await asyncio.gather(sibling(), plain(4))
        except StepFailed as exc:
            told.append(exc.message)
        return told

    with World(body) as world:
        world.fail(2, message="failed")
        assert names(world.last) == ["drop 1", "step b"]
        world.succeed("step b")
        assert names(world.last) == ["undo unb"], "what it did to clean up was done in the block"
        world.succeed("undo unb")
        assert world.result == ["cleaned up", "failed"]
        world.check_replays()


def test_a_scope_inside_ends_before_the_one_around_it(a: Step, b: Step, plain: Step) -> None:
    @saga
    async def body() -> str:
        async def sibling() -> None:
            async with scope():
                await b(1)
                await asyncio.gather(asyncio.sleep(1000), asking(2))

        try:
            async with scope():
                await a(0)
                await asyncio.gather(sibling(), plain(3))
        except StepFailed:
            return "undone"
        return "not reached"

    with World(body) as world:
        world.succeed("step a")
        world.succeed("step b")
        world.fail("step plain")
        assert sorted(names(world.last)) == ["drop 4", "drop 5"]
        world.fail("child asking", "SagaFailed")
        assert names(world.last) == ["undo unb"]
        world.succeed("undo unb")
        assert names(world.last) == ["undo una"]
        world.succeed("undo una")
        assert world.result == "undone"
        world.check_replays()


def test_a_timeout_reaches_a_task_that_did_not_stop(plain: Step) -> None:
    @saga
    async def body() -> str:
        async def stubborn() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                await signal("never")

        try:
            async with asyncio.timeout(60), scope():
                await asyncio.gather(stubborn(), plain(1))
        except TimeoutError:
            return "late"
        return "not reached"

    with World(body) as world:
        world.fail("step plain")
        assert world.waits_for == ["timer sleep", "signal never"]
        world.fire()
        assert world.result == "late"
        world.check_replays()


def test_a_task_from_outside_is_left_alone(a: Step, plain: Step) -> None:
    @saga
    async def body() -> int | None:
        task = asyncio.create_task(_value(plain(1)))
        try:
            async with scope():
                await a(2)
                raise LookupError
        except LookupError:
            return await task

    with World(body) as world:
        world.succeed("step a")
        world.succeed("undo una")
        world.succeed("step plain", 7)
        assert world.result == 7


async def _value(step: Awaitable[int | None]) -> int | None:
    return await step


@pytest.mark.parametrize("late", [True, False])
def test_anyio_repeats_a_cancellation_until_it_gets_through(late: bool, a: Step, b: Step) -> None:
    @saga
    async def body() -> list[Any]:
        with anyio.move_on_after(0.5) as limit:
            async with scope():
                await a(1)
                await b(2)
        task = asyncio.current_task()
        assert task is not None
        return [limit.cancelled_caught, task.cancelling()]

    with World(body) as world:
        world.succeed("step a")
        if late:
            world.fire()
            world.settle(world.find("step b"), "succeeded", "2")
            assert names(world.last) == ["undo unb"]
        else:
            world.fail("step b")
            assert names(world.last) == ["undo una"]
            world.fire()
            assert world.last == ()
        for undo in ("undo unb", "undo una")[not late :]:
            world.succeed(undo)
        assert world.result == [True, 0]
        world.check_replays()


def test_anyio_around_several_scopes(a: Step, b: Step) -> None:
    @saga
    async def body() -> str:
        async def job(number: int) -> None:
            async with scope():
                await a(number)
                await b(number)

        try:
            with anyio.fail_after(60):
                async with anyio.create_task_group() as group:
                    group.start_soon(job, 1)
                    with anyio.CancelScope():
                        async with scope():
                            await asyncio.gather(job(2), job(3))
        except TimeoutError:
            return "late, but undone"
        return "not reached"

    with World(body) as world:
        for _ in range(3):
            world.succeed("step a")
        world.fire()
        for _ in range(3):
            world.succeed("step b")
        undone = 0
        while world.is_waiting:
            world.settle(
                next(row for row in world.rows.values() if row.is_underway), "succeeded", None
            )
            undone += 1
        assert world.result == "late, but undone"
        assert undone == 6
        world.check_replays()


def test_a_repeated_cancellation_that_asks_for_more_each_time_is_an_endless_loop(
    plain: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MOST_TURNS", 5 * MOST_REPEATS)

    @saga
    async def body() -> None:
        with anyio.move_on_after(0.5):
            while True:
                try:
                    await plain(1)
                except asyncio.CancelledError:
                    continue

    with World(body) as world:
        world.fire()
        assert world.error["type"] == "NotDeterministic"


def test_whoever_repeats_a_cancellation_goes_on_with_the_next_event(a: Step, plain: Step) -> None:
    @saga
    async def body() -> bool:
        async def job() -> None:
            async with scope():
                await a(1)
                await plain(2)

        task = asyncio.create_task(job())
        await plain(3)
        rounds = 0
        while not task.done():
            task.cancel()
            await asyncio.sleep(0)
            rounds += 1
        return rounds > 2 * MOST_REPEATS

    with World(body) as world:
        world.succeed("step a")
        world.succeed(1)
        world.settle(world.find("step plain"), "cancelled", None)
        world.succeed("undo una")
        assert world.result is True
        world.check_replays()


def test_an_undo_that_fails_does_not_stop_the_others(a: Step, b: Step, plain: Step) -> None:
    @saga
    async def body() -> None:
        async with scope():
            await a(1)
            await b(2)
            await plain(3)

    with World(body) as world:
        world.succeed(1)
        world.succeed(2)
        world.fail(3)
        world.settle(world.find("undo unb"), "blocked", None)
        world.settle(world.find("undo una"), "failed", None)
        assert world.error["name"] == "plain"
        world.check_replays()


def test_nested(a: Step, b: Step, plain: Step) -> None:
    @saga
    async def body() -> None:
        async with scope():
            async with scope():
                await a(1)
            try:
                async with scope():
                    await b(2)
                    await plain(3)
            except StepFailed:
                pass
            await plain(4)

    with World(body) as world:
        world.succeed(1)
        world.succeed(2)
        world.fail(3)
        assert names(world.last) == ["undo unb"]
        world.succeed("undo unb")
        world.fail(4)
        assert names(world.last) == ["undo una"], "b is undone already"
        world.succeed("undo una")
        assert world.error["step"] == 4
        world.check_replays()


def test_a_block_that_ends_well_undoes_nothing(a: Step, plain: Step) -> None:
    @saga
    async def body() -> None:
        async with scope():
            await a(1)
        await plain(2)

    with World(body) as world:
        world.succeed(1)
        world.fail(2)
        assert world.asked == ["step a", "step plain"]


def test_nothing_from_before_a_pivot(a: Step, b: Step, plain: Step) -> None:
    past = _make("past", undoable=False, pivot=True)

    @saga
    async def body() -> None:
        async with scope():
            await a(1)
            await past(2)
            await b(3)
            await plain(4)

    with World(body) as world:
        for position in (1, 2, 3):
            world.succeed(position)
        world.fail(4)
        assert names(world.last) == ["undo unb"]
        world.succeed("undo unb")
        assert world.error["step"] == 4


def test_it_is_shielded_from_cancellation(a: Step, b: Step, plain: Step) -> None:
    @saga
    async def body() -> str:
        try:
            async with asyncio.timeout(60):
                async with scope():
                    await a(1)
                    await b(2)
                    await plain(3)
        except TimeoutError:
            return "late, but undone"
        return "not reached"

    with World(body) as world:
        world.succeed("step a")
        world.succeed("step b")
        world.fail("step plain")
        world.fire()
        assert world.waits_for == ["undo unb"]
        world.succeed("undo unb")
        world.succeed("undo una")
        assert world.result == "late, but undone"
        world.check_replays()


def test_a_cancellation_that_leaves_it_undoes_too(a: Step) -> None:
    @saga
    async def body() -> str:
        async def job() -> None:
            async with scope():
                await a(1)
                await asyncio.sleep(1000)

        task = asyncio.create_task(job())
        await asyncio.sleep(10)
        task.cancel()
        await asyncio.wait([task])
        return str(task.cancelled())

    with World(body) as world:
        world.succeed("step a")
        world.fire()
        assert "undo una" in names(world.last)
        world.succeed("undo una")
        assert world.result == "True"


def test_an_undo_goes_on_when_the_body_ends(a: Step, plain: Step) -> None:
    @saga
    async def body() -> str:
        async def job() -> None:
            async with scope():
                await a(1)
                await plain(2)

        task = asyncio.create_task(job())
        await asyncio.sleep(100)
        return f"done {task.done()}"

    with World(body) as world:
        world.succeed("step a")
        world.fire()
        assert world.is_waiting
        world.settle(world.rows[3, False], "cancelled", None)
        world.succeed("undo una")
        assert world.result == "done False"
        world.check_replays()


def test_a_task_that_outlives_its_scope_belongs_to_the_outer_one(a: Step, plain: Step) -> None:
    @saga
    async def body() -> None:
        async with scope():
            async with scope():

                async def job() -> None:
                    await asyncio.sleep(5)
                    await a(1)

                task = asyncio.create_task(job())
            await task
            await plain(2)

    with World(body) as world:
        world.fire()
        world.succeed("step a")
        world.fail("step plain")
        assert names(world.last) == ["undo una"]
        world.succeed("undo una")
        assert world.error["name"] == "plain"


def test_an_own_exception_undoes_too(a: Step) -> None:
    @saga
    async def body() -> None:
        async with scope():
            await a(1)
            raise LookupError("mine")

    with World(body) as world:
        world.succeed(1)
        world.succeed("undo una")
        assert (world.error["type"], world.error["message"]) == ("LookupError", "mine")


def test_many_steps_are_undone_one_by_one(a: Step) -> None:
    @saga
    async def body() -> None:
        async with scope():
            for number in range(300):
                await a(number)
            raise LookupError

    with World(body) as world:
        for position in range(1, 301):
            world.succeed(position)
        order: list[int] = []
        while world.is_waiting:
            row = world.find("undo una")
            order.append(row.ask.position)
            world.succeed("undo una")
        assert order == list(range(300, 0, -1))


def test_outside_a_saga_it_does_nothing(a: Step) -> None:
    async def main() -> None:
        async with scope():
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        asyncio.run(main())

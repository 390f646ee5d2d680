"""asyncio runs a saga in one order on every Python, and an older journal in its own."""

from __future__ import annotations

import asyncio
import inspect

# Before our own package, as import sorters have it: the name that we cannot replace.
from asyncio import wait_for
from collections.abc import Iterator
from typing import Any, cast

import pytest

from saga.core.declare.decorators import saga, step
from saga.core.declare.definitions import SagaDefinition
from saga.core.declare.registry import registry
from saga.core.loop.python_order import ORDERS, Order
from saga.core.replay import Run
from saga.core.replay import replay as replay_in_its_order
from saga.errors import Divergence
from tests.core.world import SAGA_ID, START, World

with registry.sandbox():

    @step
    def cheap(number: int) -> int:
        raise NotImplementedError

    @step
    def dear(number: int) -> int:
        raise NotImplementedError

    @saga
    async def waits_beside_a_task() -> list[int]:
        other = asyncio.create_task(cheap(1))
        return [await wait_for(dear(2), 60), await other]

    @saga
    async def gathers_waits() -> list[int]:
        waits = [asyncio.wait_for(cheap(1), 60), asyncio.wait_for(dear(2), timeout=60)]
        return await asyncio.gather(*waits)

    @saga
    async def gathers_what_has_ended() -> list[int]:
        ended = [asyncio.create_task(cheap(number)) for number in (1, 2)]
        await asyncio.wait(ended)
        other = asyncio.create_task(cheap(3))
        found = await asyncio.gather(*ended)
        return [*found, await dear(4), await other]

    @saga
    async def gathers_a_failure_twice() -> list[str]:
        failed = asyncio.create_task(cheap(1))
        await asyncio.wait([failed])
        other = asyncio.create_task(cheap(3))
        found = await asyncio.gather(failed, failed, return_exceptions=True)
        await dear(4)
        await other
        return [type(each).__name__ for each in found]

    @saga
    async def looks_later_at_what_is_completed() -> list[int]:
        each_of = asyncio.as_completed([cheap(1), cheap(2)])
        first = [await dear(3), await dear(4)]
        return [*first, *[await each for each in each_of]]


CASES: dict[str, tuple[SagaDefinition[[], Any], dict[Order, list[str]]]] = {
    "waits beside a task": (
        waits_beside_a_task,
        {
            (3, 13): ["timer sleep", "step dear", "step cheap"],
            (3, 12): ["timer sleep", "step dear", "step cheap"],
            (3, 11): ["timer sleep", "step cheap", "step dear"],
        },
    ),
    "gathers waits": (
        gathers_waits,
        {
            (3, 13): ["timer sleep", "step cheap", "timer sleep", "step dear"],
            (3, 12): ["timer sleep", "step cheap", "timer sleep", "step dear"],
            (3, 11): ["timer sleep", "timer sleep", "step cheap", "step dear"],
        },
    ),
    "gathers what has ended": (
        gathers_what_has_ended,
        {
            (3, 13): ["step cheap", "step cheap", "step dear", "step cheap"],
            (3, 12): ["step cheap", "step cheap", "step dear", "step cheap"],
            (3, 11): ["step cheap", "step cheap", "step cheap", "step dear"],
        },
    ),
    "looks later at what is completed": (
        looks_later_at_what_is_completed,
        {
            (3, 13): ["step dear", "step cheap", "step cheap", "step dear"],
            (3, 12): ["step dear", "step dear", "step cheap", "step cheap"],
            (3, 11): ["step dear", "step dear", "step cheap", "step cheap"],
        },
    ),
}


@pytest.fixture(params=ORDERS, ids=lambda order: ".".join(map(str, order)))
def order(request: pytest.FixtureRequest) -> Order:
    return request.param


def _told(definition: SagaDefinition[[], Any], order: Order) -> World:
    world = World(definition, order=order)
    while world.is_waiting:
        open_ones = [
            row.ask for row in world.rows.values() if row.is_open and row.ask.intent.kind == "step"
        ]
        world.succeed(open_ones[0].position, int(open_ones[0].intent.args[len('{"number":') : -1]))
    return world


# A replay that is thrown away before the first look leaves what was to be looked at.
@pytest.mark.filterwarnings("ignore:coroutine 'step .*' was never awaited")
@pytest.mark.parametrize("case", CASES)
def test_each_python_asks_in_the_order_of_the_journal(case: str, order: Order) -> None:
    definition, expected = CASES[case]
    with _told(definition, order) as world:
        assert world.asked == expected[order]
        world.check_replays()


@pytest.mark.filterwarnings("ignore:coroutine 'step .*' was never awaited")
@pytest.mark.parametrize("case", CASES)
def test_the_order_of_a_journal_is_found(case: str, order: Order) -> None:
    definition, expected = CASES[case]
    with _told(definition, order) as world:
        for after in range(len(world.events) + 1):
            recorded, events = world.recorded(after), world.events[:after]
            run = replay_in_its_order(definition, SAGA_ID, world.input, START, recorded, events)
            decision = run.decide()
            run.close()
            assert decision.verdict == world.seen[after].verdict
            assert after < len(world.events) or decision.commands == ()
    assert len({tuple(asked) for asked in expected.values()}) > 1


def test_what_fits_no_order_is_shown_in_that_of_today() -> None:
    with _told(waits_beside_a_task, ORDERS[0]) as world:
        recorded = world.recorded(0)
        recorded[1] = recorded[1]._replace(name="free")
        run = replay_in_its_order(waits_beside_a_task, SAGA_ID, world.input, START, recorded, ())
        with pytest.raises(Divergence, match=r"step free +step dear"):
            run.decide()
        run.close()


def test_what_asks_in_one_order_only_is_not_tried_in_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @saga
    async def plain() -> int:
        return await cheap(1)

    tried: list[Run] = []
    begin: Any = Run.catch_up

    def catch_up(run: Run, *events: Any) -> None:
        tried.append(run)
        begin(run, *events)

    monkeypatch.setattr(Run, "catch_up", catch_up)
    with World(plain) as world:
        recorded = [world.recorded(0)[0]._replace(name="free")]
        tried.clear()
        replay_in_its_order(plain, SAGA_ID, world.input, START, recorded, ()).close()
        assert len(tried) == 1


def test_a_failure_that_is_gathered_twice(order: Order) -> None:
    with World(gathers_a_failure_twice, order=order) as world:
        world.fail(1)
        world.succeed("step cheap", 1)
        world.succeed("step dear", 1)
        assert world.result == ["StepFailed", "StepFailed"]
        world.check_replays()


def test_a_wait_that_is_cancelled_stops_what_it_waits_for(order: Order) -> None:
    @saga
    async def body() -> str:
        task = asyncio.create_task(asyncio.wait_for(cheap(1), 60))
        await dear(2)
        task.cancel()
        await asyncio.wait([task])
        try:
            await asyncio.wait_for(cheap(3), 5)
        except TimeoutError:
            return "late"
        return "in time"

    with World(body, order=order) as world:
        world.succeed("step dear", 1)
        assert sorted(world.waits_for) == ["step cheap", "timer sleep"]
        world.fire()
        assert world.result == "late"
        world.check_replays()


def test_outside_sagas_asyncio_is_as_ever() -> None:
    with World(waits_beside_a_task):
        pass

    async def number(value: int) -> int:
        await asyncio.sleep(0)
        return value

    async def main() -> list[int]:
        found = await asyncio.gather(wait_for(number(1), 5), asyncio.wait_for(number(2), None))
        each_of: Iterator[Any] = asyncio.as_completed([number(3)], timeout=5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0)
        with pytest.raises(TypeError):
            asyncio.gather(cast("Any", 1))
        return [*found, *[await each for each in each_of]]

    assert asyncio.run(main()) == [1, 2, 3]
    assert inspect.iscoroutinefunction(asyncio.wait_for)

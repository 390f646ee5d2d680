"""Signals come in order, once; approvals and timeouts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from saga.core.declare.decorators import saga, step
from saga.core.loop.commands import Ask, Consume, Drop
from saga.core.verbs import Decision, approval, expose, now, random, signal, uuid
from saga.errors import InvalidInput, StepFailed
from tests.core.world import START, World, names


class Reading(BaseModel):
    value: int


def test_in_order_whether_early_or_late() -> None:
    @saga
    async def body() -> list[int]:
        await asyncio.sleep(10)
        return [await signal("n", int) for _ in range(4)]

    with World(body) as world:
        world.signal("n", 1)
        world.signal("n", 2)
        assert world.last == ()
        world.fire()
        assert [type(c) for c in world.last] == [Ask, Consume, Ask, Consume, Ask]
        world.signal("n", 3)
        assert world.last[0] == Consume(4, 4)
        world.signal("other", 100)
        world.signal("n", 4)
        assert world.result == [1, 2, 3, 4]
        world.check_replays()
        world.check_batches(range(len(world.events)))


def test_several_wait_in_the_order_of_their_asking() -> None:
    @saga
    async def body() -> list[Any]:
        return list(await asyncio.gather(signal("n"), signal("m"), signal("n")))

    with World(body) as world:
        for name, payload in (("n", 1), ("n", 2), ("m", 3)):
            world.signal(name, payload)
        assert world.result == [1, 3, 2]


def test_typed() -> None:
    @saga
    async def body() -> int:
        reading = await signal("r", Reading)
        return reading.value + 1

    with World(body) as world:
        world.signal("r", {"value": 4})
        assert world.result == 5


def test_one_of_another_type_is_an_error_that_can_be_caught() -> None:
    @saga
    async def body() -> int:
        while True:
            try:
                return (await signal("r", Reading)).value
            except InvalidInput as exc:
                expose(str(exc))

    with World(body) as world:
        world.signal("r", {"value": "many"})
        assert "signal r: value: Input should be a valid integer" in (world.seen[-1].exposed or "")
        assert "many" not in (world.seen[-1].exposed or "")
        world.signal("r", {"value": 4})
        assert world.result == 4


def test_timeout() -> None:
    @saga
    async def body() -> str:
        try:
            await signal("n", timeout=timedelta(seconds=30))
        except TimeoutError as exc:
            return str(exc)
        return "in time"

    with World(body) as world:
        assert world.rows[1, False].ask.due == START + 30
        world.fire("signal n")
        assert world.result == "no signal 'n' came in time"
        world.signal("n", 1)
        world.check_replays()


def test_a_signal_beats_its_deadline() -> None:
    @saga
    async def body() -> list[Any]:
        first = await signal("n", timeout=timedelta(seconds=30))
        await asyncio.sleep(60)
        return [first]

    with World(body) as world:
        world.signal("n", 1)
        row = world.rows[1, False]
        row.settled = row.over_since = None
        world.settle(world.rows[1, False], "failed", None)
        world.fire()
        assert world.result == [1]


def test_a_cancelled_wait_takes_no_signal() -> None:
    @saga
    async def body() -> list[Any]:
        first = asyncio.create_task(signal("n"))
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.sleep(1)
        return [await signal("n")]

    with World(body) as world:
        world.fire()
        assert any(isinstance(command, Drop) for command in world.last)
        world.signal("n", 1)
        world.fire()
        assert world.result == [1]
        world.check_replays()


def test_an_approval() -> None:
    @saga
    async def body() -> dict[str, Any]:
        decision = await approval("refund", {"amount": 3}, timeout=timedelta(days=1))
        assert decision.at == now()
        return {"yes": decision.approved, "by": decision.by, "reason": decision.reason}

    with World(body) as world:
        ask = world.rows[1, False].ask
        assert (ask.intent.kind, ask.intent.name, ask.intent.args) == (
            "approval",
            "refund",
            '{"amount":3}',
        )
        assert ask.due == START + 86400
        world.succeed(1, {"approved": True, "by": "bob", "reason": "fine"})
        assert world.result == {"yes": True, "by": "bob", "reason": "fine"}
        world.check_replays()


@pytest.mark.parametrize(
    ("state", "payload"),
    [("failed", None), ("succeeded", '{"approved": false, "timed_out": true}')],
)
def test_an_approval_that_nobody_gives(state: Any, payload: str | None) -> None:
    @saga
    async def body() -> list[Any]:
        decision = await approval("refund", timeout=timedelta(seconds=1))
        return [decision.approved, decision.timed_out, decision.at.timestamp()]

    with World(body) as world:
        world.settle(world.find(1), state, payload, at=START + 7)
        assert world.result == [False, True, START + 7]


def test_details_that_are_not_json_are_refused_before_anything_is_asked() -> None:
    @saga
    async def body() -> None:
        await approval("refund", {"amount": float("nan")})

    with World(body) as world:
        assert world.error["message"] == "approval refund: details: amount: NaN is not JSON"
        assert not world.rows


def test_expose_and_what_is_deterministic() -> None:
    @saga
    async def body() -> list[Any]:
        expose({"stage": 1})
        expose({"stage": 2})
        numbers = [random().random(), random().random()]
        names = [str(uuid()), str(uuid())]
        await asyncio.sleep(1)
        return [*numbers, *names, random().random(), now().isoformat()]

    with World(body) as one, World(body) as other:
        assert one.seen[0].exposed == '{"stage":2}'
        one.fire()
        other.fire()
        assert one.result == other.result
        assert len(set(one.result)) == len(one.result)
        assert one.result[-1] == datetime.fromtimestamp(START + 1, UTC).isoformat()
        one.check_replays()


def test_failures_carry_what_was_recorded() -> None:
    @step
    def work() -> None: ...

    @saga
    async def body() -> list[Any]:
        try:
            await work()
        except StepFailed as exc:
            return [exc.step, exc.position, exc.type, exc.message, dict(exc.details), str(exc)]
        return []

    with World(body) as world:
        world.fail(1, "Declined", "no money", details={"code": 7}, in_doubt=True)
        assert world.result == [
            "work",
            1,
            "Declined",
            "no money",
            {"code": 7, "in_doubt": True},
            "work (position 1) failed: Declined: no money",
        ]


@pytest.mark.parametrize("state", ["cancelled", "skipped"])
def test_a_step_that_will_not_be_done(state: Any) -> None:
    @step
    def work() -> None: ...

    @saga
    async def body() -> None:
        await work()

    with World(body) as world:
        world.settle(world.find(1), state, None)
        assert world.error["type"] == state.capitalize()


def test_a_step_that_a_person_must_decide_on_is_waited_for() -> None:
    @step
    def work() -> int:
        raise NotImplementedError

    @saga
    async def body() -> int:
        return await work()

    with World(body) as world:
        row = world.find(1)
        world.settle(row, "blocked", None)
        assert world.is_waiting
        row.settled = row.over_since = None
        world.succeed(1, 5)
        assert world.result == 5


def test_a_child() -> None:
    @saga(version=4, queue="elsewhere")
    async def inner(name: str, times: int = 2) -> list[str]:
        return [name] * times

    @saga
    async def outer() -> list[str]:
        return await inner("ann")

    with World(outer) as world:
        ask = world.rows[1, False].ask
        assert (ask.intent.kind, ask.intent.name, ask.intent.queue) == (
            "child",
            "inner",
            "elsewhere",
        )
        assert ask.intent.args == '{"version":4,"input":{"name":"ann","times":2}}'
        world.succeed("child inner", ["ann", "ann"])
        assert world.result == ["ann", "ann"]
        world.check_replays()


def test_the_name_of_a_signal_is_checked() -> None:
    @saga
    async def body() -> None:
        await signal("a\nb")

    with World(body) as world:
        assert world.error["type"] == "DefinitionError"


def test_decisions_compare_by_value() -> None:
    assert Decision(True, by="ann") == Decision(True, by="ann")
    assert names([Drop(1, undo=False)]) == ["drop 1"]

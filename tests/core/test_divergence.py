"""Code that no longer fits its history is told apart, with a diff that people can read."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from saga.core.declare.decorators import step
from saga.core.declare.definitions import SagaDefinition, StepDefinition
from saga.core.loop.commands import Ask
from saga.core.replay import Failed, Run
from saga.errors import Divergence
from tests.core.world import SAGA_ID, START, World

Body = SagaDefinition[[], Any]
Step = StepDefinition[[], None]


@pytest.fixture
def steps() -> list[Step]:
    def make(name: str) -> Step:
        def function() -> None: ...

        return step(name=name)(function)

    return [make(name) for name in "abcd"]


def _body(*order: Step) -> Body:
    async def body() -> None:
        for each in order:
            await each()

    return SagaDefinition(body, name="changing")


def _diff(world: World, other: Body) -> str:
    with pytest.raises(Divergence) as caught:
        world.replay(len(world.events), other)
    return caught.value.diff


def test_another_step(steps: list[Step]) -> None:
    a, b, c, d = steps
    with World(_body(a, b, c)) as world:
        world.succeed("step a")
        world.succeed("step b")
        assert _diff(world, _body(a, d, c)).splitlines() == [
            "<saga changing version 1>: the code no longer fits its history, from position 2 on",
            "  position  history  code",
            "         1  step a   step a",
            ">        2  step b   step d",
            ">        3  step c   -",
        ]


def test_a_step_that_was_removed(steps: list[Step]) -> None:
    a, b, c, _ = steps
    with World(_body(a, b, c)) as world:
        world.succeed("step a")
        world.succeed("step b")
        world.succeed("step c")
        assert ">        3  step c   -" in _diff(world, _body(a, b)).splitlines()


def test_a_step_that_was_added_before_others(steps: list[Step]) -> None:
    a, b, c, _ = steps
    with World(_body(a, b)) as world:
        world.succeed("step a")
        assert ">        2  step b   step c" in _diff(world, _body(a, c, b)).splitlines()


def test_another_kind(steps: list[Step]) -> None:
    a, _, _, _ = steps

    async def body() -> None:
        await asyncio.sleep(1)

    with World(_body(a)) as world:
        diff = _diff(world, SagaDefinition(body, name="changing"))
        assert ">        1  step a   timer" in diff.splitlines()


def test_steps_added_at_the_end_fit(steps: list[Step]) -> None:
    a, b, c, _ = steps
    with World(_body(a, b)) as world:
        world.succeed("step a")
        world.succeed("step b")
        decision = world.replay(2, _body(a, b, c))
        assert [c.intent.name for c in decision.commands if isinstance(c, Ask)] == ["c"]


def test_a_saga_that_ends_sooner(steps: list[Step]) -> None:
    a, b, _, _ = steps
    with World(_body(a, b)) as world:
        world.succeed("step a")
        assert "position 2" in _diff(world, _body(a))


def test_an_outcome_of_what_was_never_asked_for(steps: list[Step]) -> None:
    a, b, _, _ = steps
    with World(_body(a, b)) as world:
        world.succeed("step a")
        world.succeed("step b")
        run = type(world.run)(_body(), world.run._loop.journal.saga_id, "{}", 0.0)  # pyright: ignore[reportPrivateUsage]
        run.catch_up(world.events)
        with pytest.raises(Divergence, match="position 1"):
            run.decide()
        run.close()


def test_another_worker_recorded_something_else(steps: list[Step]) -> None:
    a, b, c, _ = steps
    with World(_body(a, b)) as mine, World(_body(a, c)) as theirs:
        mine.succeed("step a")
        theirs.succeed("step a")
        mine.run.catch_up([], theirs.recorded(1))
        with pytest.raises(Divergence, match=">        2  step c   step b"):
            mine.run.decide()


def test_nothing_more_is_applied(steps: list[Step]) -> None:
    a, b, c, d = steps
    with World(_body(a, b, c)) as world:
        for name in ("a", "b", "c"):
            world.succeed(f"step {name}")
        diff = _diff(world, _body(a, d, c))
        assert "step d" in diff
        assert diff.count("\n") < 20


def test_a_long_history_is_shown_around_the_place(steps: list[Step]) -> None:
    a, b, _, _ = steps
    with World(_body(*[a] * 300)) as world:
        for position in range(1, 301):
            world.succeed(position)
        lines = _diff(world, _body(*[a] * 200, b, *[a] * 99)).splitlines()
        assert ">      201  step a   step b" in lines
        assert len(lines) < 20
        assert lines[-1] == "  ... and 92 more"


def test_a_gap_in_the_history(steps: list[Step]) -> None:
    a, b, _, _ = steps

    async def before() -> None:
        task = asyncio.create_task(a())
        await asyncio.sleep(0)
        task.cancel()
        await b()

    async def after() -> None:
        await asyncio.gather(a(), b())

    with World(SagaDefinition(before, name="changing")) as world:
        diff = _diff(world, SagaDefinition(after, name="changing"))
        assert ">        1  -        step a" in diff.splitlines()


def test_a_stored_result_that_no_longer_fits_its_type(steps: list[Step]) -> None:
    def returns(type_: Any) -> Body:
        def work() -> Any: ...

        work.__annotations__["return"] = type_
        definition: Step = StepDefinition(work)

        async def body() -> None:
            with contextlib.suppress(Exception):
                await definition()

        return SagaDefinition(body, name="changing")

    with World(returns(str)) as world:
        world.succeed("step work", "text")
        assert "position 1: work: result: Input should be a valid integer" in _diff(
            world, returns(int)
        )


def test_an_input_that_never_fitted(steps: list[Step]) -> None:
    async def body(name: int) -> None:
        await steps[0]()

    definition: SagaDefinition[..., Any] = SagaDefinition(body, name="changing")
    with World(SagaDefinition(_named(steps[0]), name="changing"), "ann") as world:
        run = Run(definition, SAGA_ID, world.input, START)
        verdict = run.decide().verdict
        run.close()
    assert isinstance(verdict, Failed)
    assert "changing: name: Input should be a valid integer" in verdict.error


def _named(asked: Step) -> Any:
    async def body(name: str) -> None:
        await asked()

    return body


def test_an_input_that_no_longer_fits(steps: list[Step]) -> None:
    before = _named(steps[0])

    async def after(name: int) -> None: ...

    with World(SagaDefinition(before, name="changing"), "ann") as world:
        assert "the input: changing: name: Input should be a valid integer" in _diff(
            world, SagaDefinition(after, name="changing")
        )


def test_undo_positions_are_labelled() -> None:
    from saga.core.loop.divergence import Line, difference

    text = difference([Line(1, ("step", "a"), ("step", "a")), Line(-1, ("step", "b"), None)], -1)
    assert ">   undo 1  step b   -" in text.splitlines()

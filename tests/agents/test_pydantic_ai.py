"""Agents of pydantic-ai in a world without servers, whose sagas run twice at each decision."""

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    ApprovalRequired,
    FunctionToolset,
    ModelHTTPError,
    ModelMessage,
    ModelResponse,
    ModelRetry,
    RunContext,
    TextPart,
    Tool,
    ToolCallPart,
)
from pydantic_ai.messages import ToolReturnPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.toolsets import DynamicToolset

from saga import DefinitionError, InvalidInput, SagaFailed, saga
from saga.tasks.agents.pydantic_ai import SagaDurability
from saga.testing import World


def scripted(*answers: Any) -> FunctionModel:
    """Says one after the other, by what has been said: lists are tool calls, exceptions raised."""

    def says(messages: list[ModelMessage], info: Any) -> ModelResponse:
        turn = sum(isinstance(message, ModelResponse) for message in messages)
        answer = answers[turn]
        if isinstance(answer, str):
            return ModelResponse(parts=[TextPart(answer)])
        if isinstance(answer, list):
            calls = cast("list[tuple[str, dict[str, Any]]]", answer)
            return ModelResponse(parts=[ToolCallPart(name, args) for name, args in calls])
        raise answer

    return FunctionModel(says)


def durable(model: Any, **options: Any) -> Agent[Any, Any]:
    return Agent(model, name="agent", capabilities=[SagaDurability()], **options)


def told(messages: list[ModelMessage]) -> list[Any]:
    parts = [part for message in messages for part in message.parts]
    return [part.content for part in parts if isinstance(part, ToolReturnPart)]


def test_each_call_is_a_step_of_its_own(world: World) -> None:
    agent = durable(TestModel(custom_output_text="done"))

    @agent.tool_plain
    def look_up(city: str) -> str:
        return city

    @saga
    async def run(prompt: str) -> str:
        return (await agent.run(prompt)).output

    assert world.run(run("Hello")) == "done"
    assert list(world.stands) == ["agent.look_up"]  # models have no effect


def test_outside_of_a_saga_nothing_changes() -> None:
    agent = durable(scripted([("where", {})], "done"))
    seen: list[Any] = []

    @agent.tool
    def where(ctx: RunContext[Any]) -> str:
        seen.append(ctx.messages)  # which does not get to a step
        return "here"

    assert asyncio.run(agent.run("Hello")).output == "done"
    assert seen


def test_typed_deps_arguments_and_output(world: World) -> None:
    class Deps(BaseModel):
        who: str

    class Wish(BaseModel):
        after: timedelta

    class Promise(BaseModel):
        when: timedelta

    agent = durable(
        scripted([("ask", {"wish": {"after": "PT5M"}})], [("final_result", {"when": "PT6M"})]),
        deps_type=Deps,
        output_type=Promise,
    )
    seen: list[Any] = []

    @agent.tool
    async def ask(ctx: RunContext[Deps], wish: Wish) -> str:
        seen.append((ctx.deps, wish, ctx.run_step))
        return "yes"

    @saga
    async def run(who: str) -> Promise:
        return (await agent.run("Hello", deps=Deps(who=who))).output

    assert world.run(run("ann")) == Promise(when=timedelta(minutes=6))
    assert seen == [(Deps(who="ann"), Wish(after=timedelta(minutes=5)), 1)]


def test_a_tool_may_want_another_try(world: World) -> None:
    agent = durable(scripted([("pick", {"n": 1})], [("pick", {"n": 2})], "done"))

    undone: list[int] = []

    def put_back(result: str | None, n: int) -> None:
        undone.append(n)

    @agent.tool_plain(metadata={"saga": {"compensation": put_back}})
    def pick(n: int) -> str:
        if n == 1:
            raise ModelRetry("not that one")
        return "good"

    @saga
    async def run() -> str:
        await agent.run("Hello")
        raise ValueError("too bad")

    with pytest.raises(SagaFailed, match="too bad"):
        world.run(run())
    assert undone == [2], "there is nothing to undo of the first"


def test_an_output_may_want_another_try(world: World) -> None:
    agent = durable(scripted("bad", "good"))

    @agent.output_validator
    def check(output: str) -> str:
        if output == "bad":
            raise ModelRetry("no")
        return output

    @saga
    async def run() -> str:
        return (await agent.run("Hello")).output

    assert world.run(run()) == "good"


@pytest.mark.parametrize("approved", [True, False])
def test_approvals_of_the_frameworks_own(world: World, approved: bool) -> None:
    agent = durable(scripted([("pay", {"cents": 5}), ("pay", {"cents": 6})], "done"))

    @agent.tool_plain(requires_approval=True)
    def pay(cents: int) -> str:
        return f"paid {cents}"

    @saga
    async def run() -> list[Any]:
        return told((await agent.run("Hello")).all_messages())

    going = world.start(run())
    for position in (2, 3):  # it asks for both at the same time
        if approved:
            going.approve("pay", position=position)
        else:
            going.reject("pay", position=position, reason="no money")
    expected = ["paid 5", "paid 6"] if approved else ["no money", "no money"]
    assert going.result() == expected


def test_nobody_answers_in_time(world: World) -> None:
    agent = durable(scripted([("pay", {})], "done"))

    @agent.tool_plain(metadata={"saga": {"approval": timedelta(days=2)}})
    def pay() -> str:
        return "paid"

    @saga
    async def run() -> list[Any]:
        return told((await agent.run("Hello")).all_messages())

    assert world.run(run()) == ["Nobody has approved this call in time."]


def test_a_tool_may_ask_by_itself(world: World) -> None:
    agent = durable(scripted([("pay", {"cents": 500})], "done"))

    @agent.tool
    def pay(ctx: RunContext[Any], cents: int) -> str:
        if cents > 100 and not ctx.tool_call_approved:
            raise ApprovalRequired
        return "paid"

    @saga
    async def run() -> list[Any]:
        return told((await agent.run("Hello")).all_messages())

    going = world.start(run())
    going.approve("pay")
    assert going.result() == ["paid"]


def test_what_the_provider_refuses_is_not_tried_again(world: World) -> None:
    agent = durable(scripted(ModelHTTPError(400, "model", {"message": "too long"})))

    @saga
    async def run() -> str:
        return (await agent.run("Hello")).output

    going = world.start(run())
    with pytest.raises(SagaFailed, match="answered 400"):
        going.result()
    assert going.attempts("agent.model.request") == [1]


def test_a_run_goes_on_where_another_has_ended(world: World) -> None:
    agent = durable(scripted("first", "second"))

    @saga
    async def run() -> list[str]:
        one = await agent.run("Hello")
        two = await agent.run("again", message_history=one.all_messages())
        return [one.output, two.output]

    assert world.run(run()) == ["first", "second"]


def test_runs_at_the_same_time(world: World) -> None:
    agent = durable(TestModel(custom_output_text="done"))
    agent.tool_plain(name="x")(lambda: "x")

    @saga
    async def run() -> list[str]:
        runs = await asyncio.gather(*(agent.run(f"Hello {n}") for n in range(5)))
        return [one.output for one in runs]

    assert world.run(run()) == ["done"] * 5


def test_a_crash_anywhere(world: World) -> None:
    agent = durable(scripted([("one", {}), ("two", {})], [("three", {})], "done"))

    def undone(result: str | None) -> None: ...

    undo = {"compensation": undone}
    for name in ("one", "two", "three"):
        agent.tool_plain(name=name, metadata={"saga": undo})(lambda: "x")

    @saga
    async def run() -> str:
        return (await agent.run("Hello")).output

    for crash in world.crashes(run()):
        assert crash.result() == "done"


def test_tools_that_are_known_only_when_it_runs(world: World) -> None:
    """Which there are is found out in a step, and each call is one."""

    def given(ctx: RunContext[str]) -> FunctionToolset[str]:
        return FunctionToolset([Tool(lambda: "sun", name=f"in_{ctx.deps}")])

    agent = durable(
        scripted([("in_bern", {})], "done"),
        deps_type=str,
        toolsets=[DynamicToolset(given, id="weather")],
    )

    @saga
    async def run() -> list[Any]:
        return told((await agent.run("Hello", deps="bern")).all_messages())

    assert world.run(run()) == ["sun"]


def test_a_model_for_one_run(world: World) -> None:
    small = SagaDurability(models={"small": TestModel(custom_output_text="small")})
    agent = Agent(TestModel(custom_output_text="large"), name="agent", capabilities=[small])

    @saga
    async def run() -> list[str]:
        return [(await agent.run("Hello")).output, (await agent.run("Hi", model="small")).output]

    assert world.run(run()) == ["large", "small"]


def test_tools_for_one_run_are_refused(world: World) -> None:
    agent = durable(TestModel())

    @saga
    async def run() -> str:
        tools = FunctionToolset([Tool(lambda: "x", name="x")])
        return (await agent.run("Hello", toolsets=[tools])).output

    with pytest.raises(SagaFailed, match="UserError"):
        world.run(run())


def test_an_answer_is_heard_when_it_is_whole(world: World) -> None:
    agent = durable(TestModel(custom_output_text="done and done"))

    @saga
    async def run() -> list[str]:
        async with agent.run_stream("Hello") as stream:
            return [text async for text in stream.stream_text(debounce_by=None)]

    assert world.run(run())[-1] == "done and done"


def test_a_test_of_the_users_own(world: World) -> None:
    """Steps that nobody has in hand are named."""
    agent = durable(scripted([("hold", {"cents": 5})], "done"))
    undone: list[tuple[str | None, int]] = []

    def release(result: str | None, cents: int) -> None:
        undone.append((result, cents))

    @agent.tool_plain(metadata={"saga": {"compensation": release}})
    def hold(cents: int) -> str:
        return f"hold {cents}"

    @saga
    async def run() -> str:
        return (await agent.run("Hello")).output

    world.lose("agent.hold", times=1)
    going = world.start(run())
    assert (going.result(), going.attempts("agent.hold")) == ("done", [2])
    world.fail("agent.model.request", ConnectionError(), times=1)
    assert world.run(run()) == "done"
    world.lose("agent.hold", happens=False)
    going = world.start(run())
    assert (going.status, undone) == ("compensated", [(None, 5)])
    with pytest.raises(InvalidInput, match=r"'agent\.hole' is no step"):
        world.fail("agent.hole")


def test_one_name_for_two_agents() -> None:
    Agent(TestModel(), name="twin", capabilities=[SagaDurability()])
    with pytest.raises(DefinitionError, match=r"twin\..*is defined twice, at .*\.py"):
        Agent(TestModel(), name="twin", capabilities=[SagaDurability()])


def test_a_step_of_no_known_kind() -> None:
    agent = durable(TestModel())
    with pytest.raises(DefinitionError, match="queu"):
        agent.tool_plain(name="x", metadata={"saga": {"queu": "crm"}})(lambda: "x")

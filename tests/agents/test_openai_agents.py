"""OpenAI's agents in a world without servers, whose sagas run twice at each decision."""

import asyncio
import json
from typing import Any, cast

import httpx2
import openai
import pytest
from agents import (
    Agent,
    ComputerTool,
    GuardrailFunctionOutput,
    InputGuardrailTripwireTriggered,
    ModelResponse,
    RunContextWrapper,
    ToolOutputImage,
    Usage,
    UserError,
    function_tool,
    handoff,
    input_guardrail,
)
from agents.mcp import MCPServerStdio
from agents.testing import assistant_message, function_call
from agents.usage import Usage as AgentsUsage
from pydantic import BaseModel

from saga import DefinitionError, Permanent, SagaFailed, saga
from saga.tasks.agents.openai_agents import durable, run
from saga.testing import World
from tests.agents.with_openai_agents import Desk


class Scripted(Desk):
    """Says one after the other, by how often it has spoken: lists are tool calls."""

    def __init__(self, *answers: Any) -> None:
        self.answers = answers
        self.heard: list[Any] = []

    async def get_response(self, system_instructions: Any, input: Any, *args: Any, **o: Any) -> Any:  # noqa: A002
        self.heard.append(input)
        given: Any = [] if isinstance(input, str) else input
        spoken = {item.get("id") for item in given if item.get("id", "").startswith("turn")}
        answer = self.answers[len(spoken)]
        if isinstance(answer, Exception):
            raise answer
        mark = f"turn{len(spoken)}"
        if isinstance(answer, str):
            said = assistant_message(answer)
            return ModelResponse([said.model_copy(update={"id": mark})], Usage(), None)
        calls = cast("list[tuple[str, dict[str, Any]]]", answer)
        made = [
            function_call(name, json.dumps(args), call_id=f"{mark}-{n}").model_copy(
                update={"id": mark}
            )
            for n, (name, args) in enumerate(calls)
        ]
        return ModelResponse([*made], AgentsUsage(requests=1, input_tokens=7), "response")

    def outputs(self) -> list[Any]:
        """What tools have told it, last."""
        return [item["output"] for item in self.heard[-1] if "output" in item]


def test_each_call_is_a_step_of_its_own(world: World) -> None:
    @function_tool
    def look_up(city: str) -> str:
        return city

    model = Scripted([("look_up", {"city": "Bern"}), ("look_up", {"city": "Zug"})], "done")
    agent = durable(Agent(name="agent", model=model, tools=[look_up]))

    @saga
    async def ask(prompt: str) -> dict[str, Any]:
        result = await run(agent, prompt)
        usage = result.context_wrapper.usage
        return {"said": result.final_output, "input": usage.input_tokens}

    assert world.run(ask("Hello")) == {"said": "done", "input": 7}
    assert list(world.stands) == ["agent.look_up", "agent.look_up"]
    assert model.outputs() == ["Bern", "Zug"]


def test_outside_of_a_saga() -> None:
    model = Scripted([("look_up", {})], "done")
    agent = durable(
        Agent(
            name="agent", model=model, tools=[function_tool(lambda: "x", name_override="look_up")]
        )
    )
    assert asyncio.run(run(agent, "Hello")).final_output == "done"


def test_agents_that_hand_off_to_each_other(world: World) -> None:
    class Why(BaseModel):
        reason: str

    reasons: list[str] = []

    async def note(context: RunContextWrapper[Any], why: Why) -> None:
        reasons.append(why.reason)

    billing_model = Scripted("", "paid")
    billing = Agent[Any](name="billing", model=billing_model)
    front = Agent[Any](
        name="front",
        model=Scripted([("transfer_to_billing", {"reason": "money"})]),
        handoffs=[handoff(billing, on_handoff=note, input_type=Why)],
    )
    billing.handoffs = [front]
    agent = durable(front)

    @saga
    async def ask(prompt: str) -> list[str]:
        result = await run(agent, prompt)
        return [result.final_output, result.last_agent.name]

    assert world.run(ask("Hello")) == ["paid", "billing"]
    assert set(reasons) == {"money"}


def test_typed_output(world: World) -> None:
    class Promise(BaseModel):
        when: int

    agent = durable(Agent(name="agent", model=Scripted('{"when": 5}'), output_type=Promise))

    @saga
    async def ask() -> Promise:
        return (await run(agent, "Hello")).final_output

    assert world.run(ask()) == Promise(when=5)


def test_a_failed_tool_is_told_to_the_model_unless_it_says_otherwise(world: World) -> None:
    def fail() -> str:
        raise Permanent("it is out of order")

    @saga
    async def kind() -> str:
        return (await run(kindly, "Hello")).final_output

    @saga
    async def strict() -> str:
        return (await run(strictly, "Hello")).final_output

    model = Scripted([("fail", {})], "done")
    apologetic = function_tool(fail, failure_error_function=lambda _, error: f"sorry: {error}")
    kindly = durable(Agent(name="kind", model=model, tools=[apologetic]))
    failing = function_tool(fail, failure_error_function=None)
    strictly = durable(Agent(name="strict", model=model, tools=[failing]))
    assert world.run(kind()) == "done"
    assert model.outputs()[0].startswith("sorry: ")
    assert "it is out of order" in model.outputs()[0]
    with pytest.raises(SagaFailed, match="it is out of order"):
        world.run(strict())


def test_wrong_arguments_are_told_to_the_model(world: World) -> None:
    @function_tool
    def look_up(city: str) -> str:
        return city

    model = Scripted([("look_up", {"town": "Bern"})], "done")
    agent = durable(Agent(name="agent", model=model, tools=[look_up]))

    @saga
    async def ask() -> str:
        return (await run(agent, "Hello")).final_output

    going = world.start(ask())
    assert going.result() == "done"
    assert model.outputs() == ["An error occurred while running the tool. Please try again."]
    assert going.attempts("agent.look_up") == [1]


@pytest.mark.parametrize("approved", [True, False])
def test_approvals_of_the_frameworks_own(world: World, approved: bool) -> None:
    async def much(context: Any, arguments: dict[str, Any], call_id: str) -> bool:
        return arguments["cents"] > 100

    @function_tool(needs_approval=much)
    def pay(cents: int) -> str:
        return f"paid {cents}"

    @function_tool(needs_approval=True)
    def close() -> str:
        return "closed"

    model = Scripted([("pay", {"cents": 5}), ("pay", {"cents": 500}), ("close", {})], "done")
    agent = durable(Agent(name="agent", model=model, tools=[pay, close]))

    @saga
    async def ask() -> str:
        return (await run(agent, "Hello")).final_output

    going = world.start(ask())
    for name in ("pay", "close"):
        going.approve(name) if approved else going.reject(name, reason=f"no {name}")
    assert going.result() == "done"
    others = ["paid 500", "closed"] if approved else ["no pay", "no close"]
    assert model.outputs() == ["paid 5", *others]


def test_pictures(world: World) -> None:
    @function_tool
    def draw() -> ToolOutputImage:
        return ToolOutputImage(image_url="https://example.com/cat.png")

    model = Scripted([("draw", {})], "done")
    agent = durable(Agent(name="agent", model=model, tools=[draw]))

    @saga
    async def ask() -> str:
        return (await run(agent, "Hello")).final_output

    assert world.run(ask()) == "done"
    ((picture,),) = model.outputs()
    assert picture["image_url"] == "https://example.com/cat.png"


def test_guardrails(world: World) -> None:
    @input_guardrail
    def polite(
        context: RunContextWrapper[Any], agent: Agent[Any], given: Any
    ) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=given == "Idiot")

    model = Scripted("done")
    agent = durable(Agent[Any](name="agent", model=model, input_guardrails=[polite]))

    @saga
    async def ask(prompt: str) -> str:
        try:
            return (await run(agent, prompt)).final_output
        except InputGuardrailTripwireTriggered:
            return "no"

    assert world.run(ask("Hello")) == "done"
    assert world.run(ask("Idiot")) == "no"


@pytest.mark.parametrize(
    ("status", "code", "headers", "type_", "attempts"),
    [
        (400, None, {}, "Permanent", 1),
        (429, None, {"X-Should-Retry": "false"}, "Permanent", 1),
        (429, "insufficient_quota", {"X-Should-Retry": "true"}, "SpendLimit", 1),
        (402, None, {}, "SpendLimit", 1),
        (400, None, {"X-Should-Retry": "true"}, "CallFailed", 10),
        (503, None, {"Retry-After-Ms": "20"}, "CallFailed", 10),
    ],
)
def test_what_the_provider_says_of_trying_again(
    world: World, status: int, code: str | None, headers: Any, type_: str, attempts: int
) -> None:
    request = httpx2.Request("POST", "http://model")
    answer = httpx2.Response(status, request=request, headers=headers)
    model = Scripted(openai.APIStatusError("no", response=answer, body={"code": code}))
    agent = durable(Agent(name="agent", model=model))

    @saga
    async def ask() -> str:
        return (await run(agent, "Hello")).final_output

    going = world.start(ask())
    with pytest.raises(SagaFailed, match=f"answered {status}"):
        going.result()
    assert going.attempts("agent.model") == [attempts]
    assert going.error is not None
    assert going.error["type"] == type_


def test_a_crash_anywhere(world: World) -> None:
    def undo(result: str | None) -> None: ...

    names = ("one", "two", "three")
    tools = [function_tool(lambda: "x", name_override=name) for name in names]
    model = Scripted([("one", {}), ("two", {})], [("three", {})], "done")
    said: Any = {name: {"compensation": undo} for name in names}
    agent = durable(Agent(name="agent", model=model, tools=[*tools]), tools=said)

    @saga
    async def ask() -> str:
        return (await run(agent, "Hello")).final_output

    for crash in world.crashes(ask()):
        assert crash.result() == "done"


def test_an_agent_as_a_tool_is_one_step(world: World) -> None:
    inner = Agent[Any](name="inner", model=Scripted("deep"))
    tool = inner.as_tool("think", "Thinks.")
    model = Scripted([("think", {"input": "Why?"})], "done")
    agent = durable(Agent[Any](name="outer", model=model, tools=[tool]))

    @saga
    async def ask() -> str:
        return (await run(agent, "Hello")).final_output

    assert world.run(ask()) == "done"
    assert model.outputs() == ["deep"]
    assert list(world.stands) == ["outer.think"]


def test_a_run_goes_on_where_another_has_ended(world: World) -> None:
    agent = durable(Agent(name="agent", model=Scripted("first", "second")))

    @saga
    async def ask() -> list[str]:
        one = await run(agent, "Hello")
        again: list[Any] = [*one.to_input_list(), {"role": "user", "content": "again"}]
        two = await run(agent, again)
        return [one.final_output, two.final_output]

    assert world.run(ask()) == ["first", "second"]


def test_what_is_refused_when_it_is_declared() -> None:
    with pytest.raises(DefinitionError, match="has no tool pya"):
        durable(Agent(name="agent"), tools={"pya": {}})
    with pytest.raises(DefinitionError, match="MCP"):
        durable(Agent(name="with mcp", mcp_servers=[MCPServerStdio({"command": "true"})]))
    computer: Any = object.__new__(cast("type[Any]", ComputerTool))
    with pytest.raises(DefinitionError, match="use a function"):
        durable(Agent(name="with a computer", tools=[computer]))


def test_streams_are_refused() -> None:
    agent = durable(Agent(name="agent", model=Scripted("done")))
    assert agent.model is not None
    with pytest.raises(UserError, match=r"run\(\)"):
        cast("Any", agent.model).stream_response()

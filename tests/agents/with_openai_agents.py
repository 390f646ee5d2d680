"""The agent of `desk`, made with OpenAI's Agents SDK."""

import json
from typing import Any

from agents import (
    Agent,
    Handoff,
    Model,
    ModelResponse,
    ModelSettings,
    RunContextWrapper,
    Tool,
    Usage,
    function_tool,
)
from agents.testing import assistant_message, function_call
from pydantic import BaseModel

from saga import saga
from saga.tasks.agents.openai_agents import durable
from saga.tasks.agents.openai_agents import run as run_agent
from tests.agents import desk


class Desk(Model):
    async def get_response(
        self,
        system_instructions: str | None,
        input: Any,  # noqa: A002 - its name
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: Any,
        handoffs: list[Handoff[Any, Any]],
        tracing: Any,
        **options: Any,
    ) -> ModelResponse:
        assert system_instructions == "You are the bank's desk."
        assert sorted(tool.name for tool in tools) == ["hold", "mail", "refund"]
        (asked,) = [item["content"] for item in input if item.get("role") == "user"]
        told = [item["output"] for item in input if item.get("type") == "function_call_output"]
        calls = [item for item in input if item.get("type") == "function_call"]
        said = desk.says({0: 0, 2: 1, 3: 2}[len(calls)], asked, told)
        if isinstance(said, str):
            return ModelResponse([assistant_message(said)], Usage(), None)
        made = [
            function_call(name, json.dumps(arguments), call_id=f"{name}-{len(calls)}")
            for name, arguments in said
        ]
        return ModelResponse([*made], Usage(), None)

    def stream_response(self, *args: Any, **options: Any) -> Any:
        raise NotImplementedError


class Context(BaseModel):
    bank: str


def instructions(context: RunContextWrapper[Context], agent: Agent[Context]) -> str:
    return f"You are {context.context.bank}'s desk."


@function_tool(failure_error_function=None)
def hold(context: RunContextWrapper[Context], cents: int) -> str:
    """Set money aside."""
    assert context.context == Context(bank="the bank")
    return desk.hold(cents)


agent = durable(
    Agent[Context](
        name="openai desk",
        instructions=instructions,
        model=Desk(),
        tools=[
            hold,
            function_tool(desk.mail, failure_error_function=None),
            function_tool(desk.refund, failure_error_function=None),
        ],
    ),
    tools={"hold": desk.HOLD, "mail": desk.MAIL, "refund": desk.REFUND},
    model=desk.MODEL,
    context=Context,
)


@saga(name="openai-agents")
async def run(cents: int) -> str:
    result = await run_agent(agent, str(cents), context=Context(bank="the bank"))
    return result.final_output

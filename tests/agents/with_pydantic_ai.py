"""The agent of `desk`, made with pydantic-ai."""

from dataclasses import dataclass

from pydantic_ai import Agent, ModelMessage, ModelResponse, RunContext, TextPart, ToolCallPart
from pydantic_ai.messages import ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from saga import saga
from saga.tasks.agents.pydantic_ai import SagaDurability
from tests.agents import desk


def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    assert info.instructions == "You are the bank's desk."
    parts = [part for message in messages for part in message.parts]
    (asked,) = [str(part.content) for part in parts if isinstance(part, UserPromptPart)]
    told = [str(part.content) for part in parts if isinstance(part, ToolReturnPart)]
    turn = sum(isinstance(message, ModelResponse) for message in messages)
    said = desk.says(turn, asked, told)
    if isinstance(said, str):
        return ModelResponse(parts=[TextPart(said)])
    return ModelResponse(parts=[ToolCallPart(name, arguments) for name, arguments in said])


@dataclass
class Deps:
    bank: str


agent = Agent(
    FunctionModel(model),
    name="pydantic desk",
    deps_type=Deps,
    capabilities=[SagaDurability(model=desk.MODEL)],
)


@agent.instructions
def instructions(ctx: RunContext[Deps]) -> str:
    return f"You are {ctx.deps.bank}'s desk."


@agent.tool(metadata={"saga": desk.HOLD})
def hold(ctx: RunContext[Deps], cents: int) -> str:
    """Set money aside."""
    assert ctx.deps.bank == "the bank"
    return desk.hold(cents)


agent.tool_plain(metadata={"saga": desk.MAIL})(desk.mail)
agent.tool_plain(metadata={"saga": desk.REFUND})(desk.refund)


@saga(name="pydantic-ai")
async def run(cents: int) -> str:
    return (await agent.run(str(cents), deps=Deps("the bank"))).output

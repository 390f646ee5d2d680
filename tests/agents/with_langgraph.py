"""The agent of `desk`, made with LangGraph."""

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from saga import saga
from saga.tasks.agents.langgraph import durable, invoke
from tests.agents import desk


class Desk(BaseChatModel):
    @property
    def _llm_type(self) -> str:
        return "desk"

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self.bind(tools=tools, **options)

    def _generate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
        names = [tool["function"]["name"] for tool in options["tools"]]
        assert sorted(names) == ["hold", "mail", "refund"]
        assert messages[0].content == "You are the bank's desk."
        (asked,) = [str(m.content) for m in messages if isinstance(m, HumanMessage)]
        told = [str(m.content) for m in messages if isinstance(m, ToolMessage)]
        turn = sum(isinstance(message, AIMessage) for message in messages)
        said = desk.says(turn, asked, told)
        answer = AIMessage(said if isinstance(said, str) else "")
        if not isinstance(said, str):
            answer.tool_calls = [
                {"name": name, "args": arguments, "id": f"{name}-{turn}", "type": "tool_call"}
                for name, arguments in said
            ]
        return ChatResult(generations=[ChatGeneration(message=answer)])


@tool
def hold(cents: int, config: RunnableConfig) -> str:
    """Set money aside."""
    assert config.get("configurable", {})["bank"] == "the bank"
    return desk.hold(cents)


mail = StructuredTool.from_function(coroutine=desk.mail, name="mail")
refund = StructuredTool.from_function(desk.refund)
for each, said in ((hold, desk.HOLD), (mail, desk.MAIL), (refund, desk.REFUND)):
    each.metadata = {"saga": said}

model, tools = durable("langgraph desk", Desk(), [hold, mail, refund], model_step=desk.MODEL)
bound = model.bind_tools(tools)


async def think(state: MessagesState) -> dict[str, Any]:
    system = SystemMessage("You are the bank's desk.")
    return {"messages": [await bound.ainvoke([system, *state["messages"]])]}


def count(state: MessagesState) -> dict[str, Any]:
    """A node that is no coroutine."""
    assert len(state["messages"]) < 20
    return {}


builder = StateGraph(MessagesState)
builder.add_node(think)
builder.add_node(count)
builder.add_node("tools", ToolNode(tools))
builder.add_edge(START, "count")
builder.add_edge("count", "think")
builder.add_conditional_edges("think", tools_condition)
builder.add_edge("tools", "count")
graph = builder.compile()


@saga(name="langgraph")
async def run(cents: int) -> str:
    asked = {"messages": [("user", str(cents))]}
    result = await invoke(graph, asked, {"configurable": {"bank": "the bank"}})
    return result["messages"][-1].content

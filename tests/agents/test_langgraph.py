"""Graphs of LangGraph in a world without servers, whose sagas run twice at each decision."""

import asyncio
from typing import Any, Literal

import httpx2
import openai
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from saga import SagaFailed, approval, saga
from saga.tasks.agents.langgraph import durable, invoke
from saga.testing import World


class Scripted(BaseChatModel):
    """Says one after the other, by what has been said: lists are tool calls, exceptions raised."""

    answers: Any

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self.bind(tools=tools, **options)

    def _generate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
        turn = sum(isinstance(message, AIMessage) for message in messages)
        answer = self.answers[turn]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            said = AIMessage(answer, usage_metadata=USAGE, response_metadata={"signature": "x=="})
        else:
            calls: Any = [
                {"name": name, "args": args, "id": f"{turn}-{n}", "type": "tool_call"}
                for n, (name, args) in enumerate(answer)
            ]
            said = AIMessage("", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=said)])


USAGE: Any = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


def looping(model: Any, tools: list[BaseTool], **options: Any) -> Any:
    """A graph that calls tools until there is nothing more to call."""
    bound = model.bind_tools(tools)

    async def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node(think)
    builder.add_node("tools", ToolNode(tools))
    builder.add_edge(START, "think")
    builder.add_conditional_edges("think", tools_condition)
    builder.add_edge("tools", "think")
    return builder.compile(**options)


def graph_of(answers: list[Any], *tools: BaseTool) -> Any:
    return looping(*durable("agent", Scripted(answers=answers), tools))


def asked(text: str = "Hello") -> dict[str, Any]:
    return {"messages": [("user", text)]}


def told(result: Any) -> list[Any]:
    return [m.content for m in result["messages"] if isinstance(m, ToolMessage)]


@tool
def look_up(city: str) -> str:
    """Look a city up."""
    return city


def test_each_call_is_a_step_of_its_own(world: World) -> None:
    graph = graph_of(
        [[("look_up", {"city": "Bern"}), ("look_up", {"city": "Zug"})], "done"], look_up
    )

    @saga
    async def ask(prompt: str) -> list[Any]:
        result = await invoke(graph, asked(prompt))
        last = result["messages"][-1]
        return [
            last.content,
            last.usage_metadata,
            last.response_metadata["signature"],
            told(result),
        ]

    assert world.run(ask("Hello")) == ["done", USAGE, "x==", ["Bern", "Zug"]]
    assert list(world.stands) == ["agent.look_up", "agent.look_up"]


def test_outside_of_a_saga() -> None:
    graph = graph_of([[("look_up", {"city": "Bern"})], "done"], look_up)
    assert asyncio.run(invoke(graph, asked()))["messages"][-1].content == "done"


def test_a_tool_that_is_called_by_a_node(world: World) -> None:
    _, (wrapped,) = durable("agent", Scripted(answers=[]), [look_up])

    @saga
    async def ask() -> str:
        return await wrapped.ainvoke({"city": "Bern"})

    assert world.run(ask()) == "Bern"


def test_structured_output(world: World) -> None:
    class Promise(BaseModel):
        """A promise."""

        when: int

    model, _ = durable("agent", Scripted(answers=[[("Promise", {"when": 5})]]))
    structured = model.with_structured_output(Promise)

    @saga
    async def ask() -> Promise:
        promise = await invoke(structured, "When?")
        assert isinstance(promise, Promise)
        return promise

    assert world.run(ask()) == Promise(when=5)


def test_wrong_arguments_are_told_to_the_model(world: World) -> None:
    graph = graph_of([[("look_up", {"town": "Bern"})], "done"], look_up)

    @saga
    async def ask() -> list[Any]:
        return told(await invoke(graph, asked()))

    ((text,),) = [world.run(ask())]
    assert "Field required" in text
    assert not world.stands


@pytest.mark.parametrize("approved", [True, False])
def test_approvals_of_tools(world: World, approved: bool) -> None:
    @tool
    def pay(cents: int) -> str:
        """Pay."""
        return f"paid {cents}"

    pay.metadata = {"saga": {"approval": True}}
    graph = graph_of([[("pay", {"cents": 5}), ("pay", {"cents": 6})], "done"], pay)

    @saga
    async def ask() -> list[Any]:
        return told(await invoke(graph, asked()))

    going = world.start(ask())
    for position in (2, 3):
        if approved:
            going.approve("pay", position=position)
        else:
            going.reject("pay", position=position, reason="no money")
    assert going.result() == (["paid 5", "paid 6"] if approved else ["no money", "no money"])


def test_interrupts_of_the_frameworks_own(world: World) -> None:
    """The saga is what lasts: a checkpointer in memory is enough."""
    _, (wrapped,) = durable("agent", Scripted(answers=[]), [look_up])

    async def fetch(state: MessagesState) -> Any:
        return {"messages": [("ai", await wrapped.ainvoke({"city": "Bern"}))]}

    def ask_somebody(state: MessagesState) -> Command[Literal["fetch", "__end__"]]:
        return Command(goto="fetch" if interrupt({"may I?": "please"}) else "__end__")

    builder = StateGraph(MessagesState)
    builder.add_node(fetch)
    builder.add_node(ask_somebody)
    builder.add_edge(START, "ask_somebody")

    @saga
    async def ask() -> str:
        graph = builder.compile(checkpointer=InMemorySaver())
        config: Any = {"configurable": {"thread_id": "1"}}
        result = await invoke(graph, asked(), config)
        (question,) = result["__interrupt__"]
        decision = await approval("fetch", question.value)
        result = await invoke(graph, Command(resume=decision.approved), config)
        return result["messages"][-1].content

    going = world.start(ask())
    going.approve("fetch")
    assert going.result() == "Bern"


def test_what_the_provider_refuses_is_not_tried_again(world: World) -> None:
    answer = httpx2.Response(400, request=httpx2.Request("POST", "http://model"))
    graph = graph_of([openai.BadRequestError("too long", response=answer, body=None)])

    @saga
    async def ask() -> None:
        await invoke(graph, asked())

    going = world.start(ask())
    with pytest.raises(SagaFailed, match="answered 400"):
        going.result()
    assert going.attempts("agent.model") == [1]


def test_input_and_output_in_a_node_is_refused(world: World) -> None:
    def read(state: MessagesState) -> dict[str, Any]:
        with open("/tmp/x") as file:  # noqa: PTH123 - as users write it
            return {"messages": [("ai", file.read())]}

    builder = StateGraph(MessagesState)
    builder.add_node(read)
    builder.add_edge(START, "read")
    graph = builder.compile()

    @saga
    async def ask() -> None:
        await invoke(graph, asked())

    with pytest.raises(SagaFailed, match="put it in a step"):
        world.run(ask())


def test_a_crash_anywhere(world: World) -> None:
    def undo(result: str | None) -> None: ...

    tools: list[BaseTool] = []
    for name in ("one", "two", "three"):
        made = StructuredTool.from_function(lambda: "x", name=name, description="One.")
        made.metadata = {"saga": {"compensation": undo}}
        tools.append(made)
    graph = graph_of([[("one", {}), ("two", {})], [("three", {})], "done"], *tools)

    @saga
    async def ask() -> str:
        return (await invoke(graph, asked()))["messages"][-1].content

    for crash in world.crashes(ask()):
        assert crash.result() == "done"


def test_only_coroutines_can_wait_for_a_step() -> None:
    model, (wrapped,) = durable("agent", Scripted(answers=["x"]), [look_up])
    with pytest.raises(NotImplementedError, match="ainvoke"):
        model.invoke("Hello")
    with pytest.raises(NotImplementedError, match="ainvoke"):
        wrapped.invoke({"city": "Bern"})

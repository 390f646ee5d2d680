"""LangGraph inside a saga: its graphs stay as they are, with a model and tools that are steps.

    model, tools = durable("support", ChatAnthropic(model=...), [hold, refund])
    graph = create_react_agent(model, tools)        # or a graph of your own

In the saga: `await invoke(graph, {"messages": [...]})`. See docs/agents.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import langsmith
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ToolMessage,
    message_to_dict,
    messages_from_dict,
)
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, JsonValue
from pydantic_core import to_jsonable_python

from saga import without_threads
from saga.tasks.agents import tool_steps
from saga.tasks.agents.tool_steps import Arguments, Step, ToolStep


def durable(
    name: str,
    model: BaseChatModel,
    tools: Sequence[BaseTool] = (),
    *,
    model_step: ToolStep | None = None,
) -> tuple[BaseChatModel, list[BaseTool]]:
    """The model and the tools as steps, whose names begin with `name`.

    What the step of a tool is stands in its `metadata`: `{"saga": {"queue": "payments", "approval":
    True}}`; `model_step` is the same of the model (default: queue `llm`, patient retries). Call it
    where the module is imported. Outside of a saga the steps' functions run at once.
    """
    place = tool_steps.place_of_caller("langchain", "langgraph", "saga.tasks.agents")
    said: ToolStep = {**tool_steps.MODEL, **(model_step or {})}
    steps = [_tool(name, tool, place) for tool in tools]
    return _StepModel(step=_step_of_model(name, model, said, place)), steps


async def invoke(
    graph: Runnable[Any, Any],
    input: Any,  # noqa: A002 - its name
    config: RunnableConfig | None = None,
    **options: Any,
) -> Any:
    """`graph.ainvoke`, where nodes and edges that are no coroutines run without threads, and
    without LangSmith, whose client would start one.
    """
    with without_threads(), cast("Any", langsmith).tracing_context(enabled=False):
        return await graph.ainvoke(input, config, **options)


def _step_of_model(name: str, model: BaseChatModel, said: ToolStep, place: tuple[str, int]) -> Step:
    async def body(arguments: Arguments, deps: JsonValue, context: JsonValue) -> JsonValue:
        del deps
        asked, ids = cast("Any", arguments), cast("list[str | None]", context)
        messages = messages_from_dict(asked["messages"])
        for message, id_ in zip(messages, ids, strict=True):
            message.id = id_
        options = dict(asked["options"])
        tools = options.pop("tools", None)
        asking: Any = model.bind_tools(tools, **options) if tools else model.bind(**options)
        try:
            return _written(await asking.ainvoke(messages, stop=asked["stop"]))
        except Exception as error:
            raise tool_steps.meaning(error) or error from error

    return tool_steps.define(f"{name}.model", body, said, place=place)


class _StepModel(BaseChatModel):
    """Asks for the step that calls the model."""

    step: Any

    @property
    def _llm_type(self) -> str:
        return "saga"

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **options: Any
    ) -> Runnable[Any, AIMessage]:
        """The tools' schemas cross; the worker binds them to the model as its provider does."""
        if tool_choice is not None:
            options["tool_choice"] = tool_choice
        return self.bind(tools=[*map(convert_to_openai_tool, tools)], **options)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> ChatResult:
        del run_manager
        arguments = {"messages": [*map(_without_id, messages)], "stop": stop, "options": options}
        ids = [message.id for message in messages]  # chance, most of them
        answer = await self.step(to_jsonable_python(arguments), None, ids)
        return ChatResult(generations=[ChatGeneration(message=_read(answer))])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> ChatResult:
        raise NotImplementedError("a step is awaited: use ainvoke() and nodes that are async")


def _tool(name: str, tool: BaseTool, place: tuple[str, int]) -> BaseTool:
    said = tool_steps.told(tool.metadata)

    async def body(arguments: Arguments, deps: JsonValue, context: JsonValue) -> JsonValue:
        given: Any = arguments
        call = cast("str | None", context)
        if call is not None:
            given = {"name": tool.name, "args": arguments, "id": call, "type": "tool_call"}
        result = await tool.ainvoke(given, {"configurable": cast("Any", deps)})
        if isinstance(result, BaseMessage):
            return {"message": _written(result)}
        return {"result": to_jsonable_python(result)}

    step = tool_steps.define(f"{name}.{tool.name}", body, said, place=place, value_of=_returned)
    return _StepTool(
        name=tool.name,
        description=tool.description,
        args_schema=tool.args_schema,
        return_direct=tool.return_direct,
        tags=tool.tags,
        step=step,
        said=said,
    )


class _StepTool(BaseTool):
    """Asks for the step that calls the tool."""

    step: Any
    said: Any

    async def ainvoke(
        self,
        input: Any,  # noqa: A002 - its name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        del kwargs
        given: Any = input
        is_call = isinstance(input, dict) and given.get("type") == "tool_call"
        arguments = cast("dict[str, Any]", given["args"] if is_call else given)
        if isinstance(arguments, str):
            raise TypeError(f"{self.name}: a tool that is a step is called with a mapping")
        schema = self.tool_call_schema
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            schema.model_validate(arguments)  # the graph tells the model what is wrong
        call = cast("str", given["id"]) if is_call else None
        refusal = await tool_steps.refused(self.name, self.said, arguments)
        if refusal is not None:
            error: Any = {"name": self.name, "tool_call_id": call, "status": "error"}
            return ToolMessage(refusal, **error) if is_call else refusal
        done = await self.step(to_jsonable_python(arguments), _configurable(config), call)
        return _read(done["message"]) if "message" in done else done["result"]

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("a step is awaited: use ainvoke() and nodes that are async")


def _written(message: BaseMessage) -> JsonValue:
    return to_jsonable_python(message_to_dict(message))


def _without_id(message: BaseMessage) -> JsonValue:
    written: Any = _written(message)
    del written["data"]["id"]
    return written


def _read(written: Any) -> Any:
    (message,) = messages_from_dict([written])
    return message


def _returned(done: Any) -> Any:
    return done["message"]["data"]["content"] if "message" in done else done["result"]


def _configurable(config: RunnableConfig | None) -> dict[str, JsonValue]:
    """What the user has put there: the graph's own is for the graph."""
    given = (config or {}).get("configurable", {})
    return {
        key: value
        for key, value in given.items()
        if not key.startswith(("__", "checkpoint"))
        and (value is None or isinstance(value, (str, int, float, bool)))
    }

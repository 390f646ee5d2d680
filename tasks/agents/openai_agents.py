"""OpenAI's Agents SDK inside a saga: `agent = durable(agent)`, then `await run(agent, …)`.

What makes steps is a copy of the agent; the agent itself, and `Runner`, stay as they are. See
docs/agents.md.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar, cast

from agents import (
    Agent,
    AgentOutputSchema,
    AgentOutputSchemaBase,
    FunctionTool,
    Handoff,
    Model,
    ModelBehaviorError,
    ModelResponse,
    ModelSettings,
    ModelTracing,
    MultiProvider,
    RunConfig,
    Runner,
    RunResult,
    Tool,
    ToolOutputFileContent,
    ToolOutputImage,
    ToolOutputText,
    UserError,
    handoff,
)
from agents.items import TResponseInputItem, TResponseStreamEvent
from agents.tool import (
    set_function_tool_failure_error_function,
    with_function_tool_failure_error_handler,
)
from agents.tool_context import ToolContext
from pydantic import JsonValue, TypeAdapter
from pydantic_core import to_jsonable_python

from saga import DefinitionError, Permanent
from saga.tasks.agents import tool_steps
from saga.tasks.agents.tool_steps import Arguments, Step, ToolStep

C = TypeVar("C")

LOCAL = ("ComputerTool", "LocalShellTool", "ShellTool", "ApplyPatchTool", "CustomTool")
"""Tools that would run where the saga's code runs, and are no functions."""

_SETTINGS = TypeAdapter(ModelSettings)
_RESPONSE = TypeAdapter(ModelResponse)
_STRUCTURED = (ToolOutputText, ToolOutputImage, ToolOutputFileContent)


def durable(
    agent: Agent[C],
    *,
    tools: Mapping[str, ToolStep] | None = None,
    model: ToolStep | None = None,
    context: type[C] | None = None,
) -> Agent[C]:
    """A copy of the agent, and of those that it hands off to, for sagas.

    Each call of a model and of a function tool is a step. `tools`: what the steps of tools are, by
    their names: `{"refund": {"queue": "payments", "approval": True}}`. `model`: the same of models
    (default: queue `llm`, patient retries). `context`: the type of the context that `run` is given,
    if any; it goes to the workers as JSON. Call it where the module is imported.
    """
    place = tool_steps.place_of_caller("agents", "saga.tasks.agents")
    said = dict(tools or {})
    made = _Maker(said, {**tool_steps.MODEL, **(model or {})}, context, place)
    result = made.agent(agent)
    unknown = said.keys() - made.names
    if unknown:
        raise DefinitionError(f"{agent.name} has no tool {', '.join(sorted(unknown))}")
    return result


async def run(agent: Agent[C], input: Any, **options: Any) -> RunResult:  # noqa: A002 - its name
    """`Runner.run` without its tracing, which would start a thread in the saga's code."""
    config: Any = options.pop("run_config", None) or RunConfig()
    config = dataclasses.replace(config, tracing_disabled=True)
    return await Runner.run(agent, input, run_config=config, **options)


class _Maker:
    """Makes durable copies of agents that may hand off to each other."""

    def __init__(
        self,
        tools: Mapping[str, ToolStep],
        model: ToolStep,
        context: Any,
        place: tuple[str, int],
    ) -> None:
        self._tools = tools
        self._model = model
        self._context: TypeAdapter[Any] = TypeAdapter(Any if context is None else context | None)
        self._place = place
        self._made: dict[int, Agent[Any]] = {}
        self.names: set[str] = set()

    def agent(self, agent: Agent[Any]) -> Agent[Any]:
        if id(agent) in self._made:
            return self._made[id(agent)]
        if agent.mcp_servers:
            raise DefinitionError(f"{agent.name}: MCP servers are not supported inside a saga")
        made = self._made[id(agent)] = agent.clone(
            tools=[self._tool(agent, tool) for tool in agent.tools],
            model=_StepModel(self._step_of_model(agent)),
            model_settings=agent.model_settings,
            handoffs=[],
        )
        made.handoffs = [self._handoff(each) for each in agent.handoffs]
        return made

    def _handoff(self, to: Agent[Any] | Handoff[Any, Any]) -> Agent[Any] | Handoff[Any, Any]:
        if not isinstance(to, Handoff):
            return self.agent(to)
        reference: Any = getattr(to, "_agent_ref", None)
        known = reference and reference()
        if known is None:
            raise DefinitionError(f"{to.tool_name}: a handoff in a saga is made by handoff(agent)")
        made, invoke = self.agent(known), to.on_invoke_handoff

        async def go(context: Any, arguments: str) -> Agent[Any]:
            await invoke(context, arguments)
            return made

        return dataclasses.replace(to, on_invoke_handoff=go)

    def _step_of_model(self, agent: Agent[Any]) -> Step:
        async def body(arguments: Arguments, deps: JsonValue, context: JsonValue) -> JsonValue:
            del deps, context
            asked: dict[str, Any] = dict(arguments)
            model = agent.model
            if not isinstance(model, Model):
                model = MultiProvider().get_model(model)
            try:
                answer = await model.get_response(
                    asked["instructions"],
                    asked["input"],
                    _SETTINGS.validate_python(asked["settings"]),
                    [tool for tool in agent.tools if tool.name in asked["tools"]],
                    _schema_of(agent),
                    [one for one in _handoffs_of(agent) if one.tool_name in asked["handoffs"]],
                    ModelTracing.DISABLED,
                    previous_response_id=asked["previous_response"],
                    conversation_id=asked["conversation"],
                    prompt=asked["prompt"],
                )
            except UserError as error:
                raise Permanent(str(error)) from error
            except Exception as error:
                raise tool_steps.meaning(error) or error from error
            return _RESPONSE.dump_python(answer, mode="json")

        return tool_steps.define(f"{agent.name}.model", body, self._model, place=self._place)

    def _tool(self, agent: Agent[Any], tool: Tool) -> Tool:
        if not isinstance(tool, FunctionTool):
            if type(tool).__name__ in LOCAL:
                raise DefinitionError(f"{agent.name}: {tool.name} cannot be a step: use a function")
            return tool  # the provider runs it
        self.names.add(tool.name)
        said = {**self._tools.get(tool.name, {})}
        approves, said["approval"] = tool.needs_approval, said.get("approval") or False
        if approves is True:
            said["approval"] = said["approval"] or True
        step = self._step_of_tool(agent, tool, cast("ToolStep", said))

        async def invoke(context: ToolContext[Any], text: str) -> Any:
            arguments = _parsed(text)
            wanted = said
            if callable(approves) and await approves(context, arguments, context.tool_call_id):
                wanted = {**said, "approval": said["approval"] or True}
            refusal = await tool_steps.refused(tool.name, wanted, arguments)
            if refusal is not None:
                return refusal
            deps = self._context.dump_python(context.context, mode="json")
            done: Any = await step(arguments, deps, {"call": context.tool_call_id, "text": text})
            return done["result"]

        handled = with_function_tool_failure_error_handler(invoke, _ignore)
        return dataclasses.replace(
            tool, on_invoke_tool=handled, needs_approval=False, timeout_seconds=None
        )

    def _step_of_tool(self, agent: Agent[Any], tool: FunctionTool, said: ToolStep) -> Step:
        raising = set_function_tool_failure_error_function(copy.copy(tool), None)

        async def body(arguments: Arguments, deps: JsonValue, context: JsonValue) -> JsonValue:
            del arguments  # as they are written down
            call: dict[str, str] = cast("Any", context)
            inside = ToolContext[Any](
                self._context.validate_python(deps),
                tool_name=tool.name,
                tool_call_id=call["call"],
                tool_arguments=call["text"],
                agent=agent,
            )
            try:
                result = await raising.on_invoke_tool(inside, call["text"])
            except ModelBehaviorError as error:
                raise Permanent(str(error)) from error  # the model is told, and calls again
            return {"result": _written(result)}

        return tool_steps.define(
            f"{agent.name}.{tool.name}",
            body,
            said,
            place=self._place,
            value_of=lambda done: done["result"],
        )


class _StepModel(Model):
    """Asks for the step that calls the model."""

    def __init__(self, step: Step) -> None:
        self._step = step

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],  # noqa: A002 - its name
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None,
        conversation_id: str | None,
        prompt: Any,
    ) -> ModelResponse:
        del output_schema, tracing  # the worker knows the one, and does without the other
        answer = await self._step(
            {
                "instructions": system_instructions,
                "input": to_jsonable_python(input),
                "settings": _SETTINGS.dump_python(model_settings, mode="json"),
                "tools": [tool.name for tool in tools],
                "handoffs": [one.tool_name for one in handoffs],
                "previous_response": previous_response_id,
                "conversation": conversation_id,
                "prompt": to_jsonable_python(prompt),
            }
        )
        return _RESPONSE.validate_python(answer)

    def stream_response(self, *args: Any, **options: Any) -> AsyncIterator[TResponseStreamEvent]:
        del args, options
        raise UserError("a saga has no streams: use run(), see docs/agents.md")


def _schema_of(agent: Agent[Any]) -> AgentOutputSchemaBase | None:
    wanted = agent.output_type
    if wanted is None or wanted is str:
        return None
    return wanted if isinstance(wanted, AgentOutputSchemaBase) else AgentOutputSchema(wanted)


def _handoffs_of(agent: Agent[Any]) -> list[Handoff[Any, Any]]:
    return [one if isinstance(one, Handoff) else handoff(one) for one in agent.handoffs]


def _ignore(tool: FunctionTool, error: Exception, text: str) -> None:
    """The step has been logged."""


def _parsed(text: str) -> Arguments:
    """The arguments; what is no JSON object is the tool's own to complain of."""
    try:
        arguments: object = json.loads(text or "{}")
    except ValueError:
        return {}
    return cast("Arguments", arguments) if isinstance(arguments, dict) else {}


def _written(result: object) -> JsonValue:
    """A tool's result as JSON that the SDK takes for the same."""
    if isinstance(result, list):
        return [_written(each) for each in cast("list[object]", result)]
    if isinstance(result, _STRUCTURED):
        return result.model_dump(mode="json")
    if result is None or isinstance(result, (str, int, float, bool, dict)):
        return to_jsonable_python(result, fallback=str)
    return str(result)

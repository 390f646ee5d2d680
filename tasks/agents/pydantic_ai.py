"""pydantic-ai inside a saga: `Agent(..., capabilities=[SagaDurability()])`, then `agent.run(...)`.

It stands on `pydantic_ai.durable_exec`, which is public and made for this. Nothing changes outside
of a saga. See docs/agents.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, cast

from pydantic import ConfigDict, JsonValue, with_config
from pydantic_ai import Agent, FunctionToolset, ModelMessage, ModelResponse, RunContext
from pydantic_ai.capabilities import WrapRunHandler
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    BaseDurabilityCapability,
    BoundDurableOperation,
    DurabilityEngineSpec,
    DurableOperation,
    DurableOperationId,
    DurableRunContext,
    DynamicToolsetCallToolParams,
    JournalOperationNamer,
    ModelRequestId,
    ModelRequestParams,
    OperationConfigRole,
    ParameterTransport,
    ParameterTransports,
    RegisteredOperationBackend,
    ToolsetCallToolId,
    ToolsetCallToolParams,
    ToolsetGetToolsParams,
    conversation_id_from_run_id,
    revalidate_function_call,
)
from pydantic_ai.exceptions import ModelHTTPError, UserError
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.models import Model, ModelRequestContext, ModelRequestParameters
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import (
    DeferredToolRequests,
    DeferredToolResults,
    Tool,
    ToolDefinition,
    ToolDenied,
)
from typing_extensions import TypedDict

from saga import Permanent, in_saga, now, uuid, without_threads
from saga.tasks.agents import tool_steps
from saga.tasks.agents.tool_steps import KEY, Arguments, Step, ToolStep

SPEC = DurabilityEngineSpec(
    engine_name="saga",
    durable_unit_noun="step",
    durable_container_noun="saga",
    codec=JSON_CODEC,
    toolset_lifecycles={
        "function": "enter-outside-durable",
        "mcp": "enter-outside-durable",
        "dynamic": "enter-never",
    },
    unsupported_runtime_toolset_kinds=frozenset({"function", "mcp", "dynamic"}),
)

Wire = tuple[Arguments, JsonValue, JsonValue]
"""The arguments of a step: what it is about, the run's `deps`, and the rest of its context."""


class SagaDurability(BaseDurabilityCapability[Any]):
    """Makes each call of a model and of a tool a step, when the agent runs in a saga.

    `model`, `tools`: what the steps of models (default: queue `llm`, patient retries) and of all
    tools are, as in the metadata of one tool: `@agent.tool(metadata={"saga": {"queue": "crm"}})`.
    `models`: further models by a name of theirs, for `agent.run(model=...)`. The agent needs a
    name, which the names of its steps begin with. Tools are to be there when the module is.
    """

    engine_spec = SPEC
    _backend: _Backend

    def __init__(
        self,
        *,
        model: ToolStep | None = None,
        tools: ToolStep | None = None,
        models: Mapping[str, Model] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(models=models, name=name)
        self._model_step: ToolStep = {**tool_steps.MODEL, **(model or {})}
        self.tool_step: ToolStep = tools or {}

    def _bind_to_agent(self, agent: Any) -> None:
        place = tool_steps.place_of_caller("pydantic_ai", "pydantic", "saga.tasks.agents")
        self._backend = _Backend(self, agent, self._model_step, place)
        super()._bind_to_agent(agent)

    def get_durable_operation_backend(self) -> _Backend:
        return self._backend

    @property
    def in_durable_context(self) -> bool:
        return in_saga()

    def get_default_run_id(self) -> str | None:
        return str(uuid()) if in_saga() else None

    def get_default_conversation_id(self, run_id: str) -> str | None:
        return conversation_id_from_run_id(run_id) if in_saga() else None

    def get_run_clock(self) -> Callable[[], datetime] | None:
        return now if in_saga() else None

    async def wrap_run(
        self, ctx: RunContext[Any], *, handler: WrapRunHandler
    ) -> AgentRunResult[Any]:
        if not in_saga():
            return await handler()
        # Instructions and validators that are no coroutines run where they are called.
        with without_threads(), Agent.using_thread_executor(_Nobody()):
            result = await super().wrap_run(ctx, handler=handler)
        _stamp(result.all_messages())
        return result

    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        if in_saga():
            _stamp(request_context.messages)
        return await super().before_model_request(ctx, request_context)

    async def prepare_tools(
        self, ctx: RunContext[Any], tool_defs: list[ToolDefinition]
    ) -> list[ToolDefinition]:
        del ctx
        if not in_saga():
            return tool_defs
        return [
            replace(one, kind="unapproved") if self._said(one).get("approval") else one
            for one in tool_defs
        ]

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        """Ask for each call that wants an approval, all at the same time."""
        if not in_saga():
            return None
        results = DeferredToolResults()

        async def ask(call: ToolCallPart) -> None:
            tool = ctx.tools.get(call.tool_name)
            said = {**self._said(tool)}
            said["approval"] = said.get("approval") or True  # as it asks for one itself
            refusal = await tool_steps.refused(call.tool_name, said, call.args_as_dict())
            results.approvals[call.tool_call_id] = refusal is None or ToolDenied(refusal)

        await asyncio.gather(*map(ask, requests.approvals))
        return results

    def _said(self, tool: ToolDefinition | None) -> ToolStep:
        return {**self.tool_step, **tool_steps.told(tool and tool.metadata)}


class _Nobody(Executor):
    """Stands for the threads that a saga has not; see without_threads."""


class _Bound(BoundDurableOperation[Any, Wire, Any]):
    """One operation and its step, or its steps by the name of the tool."""

    def __init__(
        self, operation: DurableOperation[Any, Wire, Any], step: Callable[[Any], Step]
    ) -> None:
        self._operation = operation
        self._step = step

    @property
    def operation(self) -> DurableOperation[Any, Wire, Any]:
        return self._operation

    async def __call__(self, params: Any, *, config: object | None = None) -> Any:
        del config  # see _NoConfig
        wire = self._operation.parameter_transport.dump(params)
        return self._operation.result_codec.load(await self._step(params)(*wire))


class _Backend(RegisteredOperationBackend[None]):
    """Defines the steps of one agent."""

    def __init__(
        self, durability: SagaDurability, agent: Any, model: ToolStep, place: tuple[str, int]
    ) -> None:
        super().__init__(
            namer=JournalOperationNamer(durability.name),
            config=_NoConfig(),
            parameter_transports=_Transports(agent),
        )
        self._durability = durability
        self._model = model
        self._place = place

    def register(
        self, operation: DurableOperation[Any, Any, Any], *, name: str, config: None
    ) -> tuple[_Bound, Sequence[Callable[..., object]]]:
        del config
        name = name.replace("__", ".", 1)  # as those of the tools
        transport: Any = operation.parameter_transport
        if not isinstance(transport, _Transport):
            return _Bound(operation, _refusal(name)), ()
        identity = operation.operation_id
        if isinstance(identity, ToolsetCallToolId) and isinstance(
            transport.toolset, FunctionToolset
        ):
            steps = self._of_tools(operation, cast("FunctionToolset[Any]", transport.toolset))
            return _Bound(operation, lambda params: steps[_original_name(params)]), ()
        is_model = isinstance(identity, ModelRequestId)
        said = self._model if is_model else self._durability.tool_step
        made = self._define(name, operation, said)
        return _Bound(operation, lambda _: made), ()

    def _of_tools(
        self, operation: DurableOperation[Any, Any, Any], toolset: FunctionToolset[Any]
    ) -> dict[str, Step]:
        """A step for each tool that the toolset has, and for each that it is given later."""
        steps: dict[str, Step] = {}
        own = toolset.id in (None, "<agent>")
        prefix = self._durability.name if own else f"{self._durability.name}.{toolset.id}"
        add = toolset.add_tool

        def define(tool: Tool[Any]) -> None:
            said = {**self._durability.tool_step, **tool_steps.told(tool.metadata)}
            steps[tool.name] = self._define(f"{prefix}.{tool.name}", operation, said)

        def add_tool(tool: Tool[Any]) -> None:
            add(tool)
            define(tool)

        for tool in toolset.tools.values():
            define(tool)
        toolset.add_tool = add_tool
        return steps

    def _define(
        self, name: str, operation: DurableOperation[Any, Any, Any], said: Mapping[str, Any]
    ) -> Step:
        async def body(arguments: Arguments, deps: JsonValue, context: JsonValue) -> JsonValue:
            params = operation.parameter_transport.load((arguments, deps, context), runtime=None)
            try:
                result = await operation.handler(params)
            except ModelHTTPError as error:
                raise tool_steps.meaning(error) or error from error
            except UserError as error:
                raise Permanent(str(error)) from error
            return cast("JsonValue", operation.result_codec.dump(result))

        return tool_steps.define(name, body, said, place=self._place, value_of=_returned)


class _NoConfig:
    """What a tool's step is, its definition has said."""

    def base(self, role: OperationConfigRole, *, operation_id: DurableOperationId) -> None:
        del role, operation_id

    def for_tool(
        self,
        role: OperationConfigRole,
        *,
        operation_id: DurableOperationId,
        tool: object | None,
        tool_name: str,
    ) -> None:
        del role, operation_id, tool, tool_name


@dataclass(frozen=True, slots=True)
class _Transport(ParameterTransport[Any, Wire]):
    """How the parameters of an operation get to the worker that runs it."""

    write: Callable[[Any], Wire]
    read: Callable[[Wire], Any]
    toolset: Any = None

    def dump(self, params: Any) -> Wire:
        return self.write(params)

    def load(self, payload: Wire, *, runtime: object) -> Any:
        del runtime
        return self.read(payload)


@dataclass(kw_only=True)
@with_config(ConfigDict(arbitrary_types_allowed=True))
class _Request:
    """A model request as JSON."""

    messages: list[ModelMessage]
    settings: dict[str, Any] | None
    parameters: ModelRequestParameters
    model: str | None


class _Context(TypedDict):
    """What else a step knows of its run."""

    run: dict[str, Any]
    tool: ToolDefinition | None
    original_name: str | None


class _Transports(ParameterTransports):
    """Runs, requests and tool calls as JSON."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent

    def model_request(self, result_type: object) -> _Transport:
        del result_type
        return _Transport(self._write_request, self._read_request)

    def function_call(self, toolset: FunctionToolset[Any]) -> _Transport:
        return _Transport(self._write_call, partial(self._read_call, toolset), toolset)

    def mcp_call(self, toolset: Any) -> _Transport:
        return self.function_call(toolset)

    async def prepare_function_call(
        self, toolset: FunctionToolset[Any], params: ToolsetCallToolParams
    ) -> ToolsetCallToolParams:
        return await revalidate_function_call(toolset, params, engine_spec=SPEC)

    def get_tools(self, toolset: Any) -> _Transport:
        del toolset
        return _Transport(lambda params: ({}, *self._write(params.ctx)), self._read_discovery)

    get_instructions = dynamic_get_tools = get_tools

    def dynamic_call(self, toolset: Any) -> _Transport:
        del toolset
        return _Transport(self._write_call, self._read_dynamic_call)

    def _write_request(self, params: ModelRequestParams) -> Wire:
        parameters = replace(
            params.model_request_parameters,
            function_tools=[*map(_without_saga, params.model_request_parameters.function_tools)],
        )
        request = _Request(
            messages=params.messages,
            settings=cast("dict[str, Any] | None", params.model_settings),
            parameters=parameters,
            model=params.model_id,
        )
        return JSON_CODEC.dump(_Request, request), *self._write(params.run_context)

    def _read_request(self, wire: Wire) -> ModelRequestParams:
        request: _Request = JSON_CODEC.load(_Request, wire[0])
        return ModelRequestParams(
            request.model,
            messages=request.messages,
            model_settings=cast("Any", request.settings),
            model_request_parameters=request.parameters,
            run_context=self._read(wire)[0],
        )

    def _write_call(self, params: ToolsetCallToolParams | DynamicToolsetCallToolParams) -> Wire:
        arguments = JSON_CODEC.dump(dict[str, Any], params.tool_args)
        if isinstance(params, DynamicToolsetCallToolParams):
            return arguments, *self._write(params.ctx, params.tool_def)
        tool, name = params.tool, getattr(params.tool, "original_name", None)
        return arguments, *self._write(params.ctx, tool and tool.tool_def, name)

    def _read_call(self, toolset: Any, wire: Wire) -> ToolsetCallToolParams:
        ctx, context = self._read(wire)
        definition = context["tool"]
        assert definition is not None
        options: dict[str, Any] = {"ctx": ctx}
        if context["original_name"] is not None:
            options["original_name"] = context["original_name"]
        tool: Any = toolset.tool_for_tool_def(definition, **options)
        return ToolsetCallToolParams(definition.name, tool_args=wire[0], ctx=ctx, tool=tool)

    def _read_dynamic_call(self, wire: Wire) -> DynamicToolsetCallToolParams:
        ctx, context = self._read(wire)
        tool = context["tool"]
        assert tool is not None
        return DynamicToolsetCallToolParams(tool.name, tool_args=wire[0], ctx=ctx, tool_def=tool)

    def _read_discovery(self, wire: Wire) -> ToolsetGetToolsParams:
        return ToolsetGetToolsParams(self._read(wire)[0])

    def _write(
        self, ctx: RunContext[Any], tool: ToolDefinition | None = None, name: str | None = None
    ) -> tuple[JsonValue, JsonValue]:
        run = DurableRunContext[Any].serialize_run_context(ctx)
        context = _Context(run=run, tool=tool and _without_saga(tool), original_name=name)
        return JSON_CODEC.dump(self._deps, ctx.deps), JSON_CODEC.dump(_Context, context)

    def _read(self, wire: Wire) -> tuple[RunContext[Any], _Context]:
        context: _Context = JSON_CODEC.load(_Context, wire[2])
        deps = JSON_CODEC.load(self._deps, wire[1])
        ctx = DurableRunContext[Any].restore(
            context["run"], deps=deps, agent=self._agent, engine_spec=SPEC
        )
        return ctx, context

    @property
    def _deps(self) -> Any:
        return self._agent.deps_type | None


def _stamp(messages: Sequence[ModelMessage]) -> None:
    """Give what was written since the last answer the time, and the id, that a replay gives it."""
    for message in reversed(messages):
        if isinstance(message, ModelResponse):
            return
        message.timestamp = now()
        for part in message.parts:
            if hasattr(part, "timestamp"):
                part.timestamp = now()  # pyright: ignore[reportAttributeAccessIssue]
            if part.part_kind == "retry-prompt" and part.tool_name is None:
                part.tool_call_id = f"retry_{uuid().hex}"


def _original_name(params: ToolsetCallToolParams) -> str:
    return getattr(params.tool, "original_name", None) or params.name


def _without_saga(tool: ToolDefinition) -> ToolDefinition:
    """Without what is no JSON, and says nothing to a model."""
    if KEY not in (tool.metadata or {}):
        return tool
    return replace(tool, metadata={k: v for k, v in (tool.metadata or {}).items() if k != KEY})


def _returned(result: dict[str, Any]) -> Any:
    if result["kind"] not in ("tool_return", "tool_content_result"):
        raise LookupError
    return result["result"]


def _refusal(name: str) -> Callable[[Any], Step]:
    def refuse(_: object) -> Step:
        raise UserError(f"{name}: not supported inside a saga; see docs/agents.md")

    return refuse

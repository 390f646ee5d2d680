"""How requests and tool calls of pydantic-ai get to the worker that carries them out: as JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from pydantic import ConfigDict, JsonValue, with_config
from pydantic_ai import FunctionToolset, ModelMessage, RunContext
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    DurabilityEngineSpec,
    DurableRunContext,
    DynamicToolsetCallToolParams,
    ModelRequestParams,
    ParameterTransport,
    ParameterTransports,
    ToolsetCallToolParams,
    ToolsetGetToolsParams,
    revalidate_function_call,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition
from typing_extensions import TypedDict

from saga.tasks.agents.tool_steps import KEY, Arguments

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


@dataclass(frozen=True, slots=True)
class Transport(ParameterTransport[Any, Wire]):
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


class Transports(ParameterTransports):
    """Runs, requests and tool calls as JSON."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent

    def model_request(self, result_type: object) -> Transport:
        del result_type
        return Transport(self._write_request, self._read_request)

    def function_call(self, toolset: FunctionToolset[Any]) -> Transport:
        return Transport(self._write_call, partial(self._read_call, toolset), toolset)

    def mcp_call(self, toolset: Any) -> Transport:
        return self.function_call(toolset)

    async def prepare_function_call(
        self, toolset: FunctionToolset[Any], params: ToolsetCallToolParams
    ) -> ToolsetCallToolParams:
        return await revalidate_function_call(toolset, params, engine_spec=SPEC)

    def get_tools(self, toolset: Any) -> Transport:
        del toolset
        return Transport(lambda params: ({}, *self._write(params.ctx)), self._read_discovery)

    get_instructions = dynamic_get_tools = get_tools

    def dynamic_call(self, toolset: Any) -> Transport:
        del toolset
        return Transport(self._write_call, self._read_dynamic_call)

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


def _without_saga(tool: ToolDefinition) -> ToolDefinition:
    """Without what is no JSON, and says nothing to a model."""
    if KEY not in (tool.metadata or {}):
        return tool
    return replace(tool, metadata={k: v for k, v in (tool.metadata or {}).items() if k != KEY})

"""pydantic-ai inside a saga: `Agent(..., capabilities=[SagaDurability()])`, then `agent.run(...)`.

It stands on `pydantic_ai.durable_exec`, which is public and made for this. Nothing changes outside
of a saga. See docs/agents.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from pydantic import JsonValue
from pydantic_ai import Agent, FunctionToolset, ModelMessage, ModelResponse, RunContext
from pydantic_ai.capabilities import WrapRunHandler
from pydantic_ai.durable_exec import (
    BaseDurabilityCapability,
    BoundDurableOperation,
    DurableOperation,
    DurableOperationId,
    JournalOperationNamer,
    ModelRequestId,
    OperationConfigRole,
    RegisteredOperationBackend,
    ToolsetCallToolId,
    ToolsetCallToolParams,
    conversation_id_from_run_id,
)
from pydantic_ai.exceptions import ModelHTTPError, UserError
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.models import Model, ModelRequestContext
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import (
    DeferredToolRequests,
    DeferredToolResults,
    Tool,
    ToolDefinition,
    ToolDenied,
)

from saga import Permanent, in_saga, now, uuid, without_threads
from saga.tasks.agents import tool_steps
from saga.tasks.agents.pydantic_ai_wire import SPEC, Transport, Transports, Wire
from saga.tasks.agents.tool_steps import Arguments, Step, ToolStep


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
            parameter_transports=Transports(agent),
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
        if not isinstance(transport, Transport):
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


def _returned(result: dict[str, Any]) -> Any:
    if result["kind"] not in ("tool_return", "tool_content_result"):
        raise LookupError
    return result["result"]


def _refusal(name: str) -> Callable[[Any], Step]:
    def refuse(_: object) -> Step:
        raise UserError(f"{name}: not supported inside a saga; see docs/agents.md")

    return refuse

"""Model calls for steps, on the Anthropic Messages API.

`ask` and `decide` send the step's idempotency key and leave retries to the step's own policy. A
model call has no effect in the outside world, so a server error is simply retried; a call that was
cut or timed out is `Unknown`, like every other one. `ask_model` and `call_model` are ready-made
steps.

    @step(queue="llm", retry=MODEL_RETRY, read_only=True)
    async def classify(text: str) -> Classification:
        return await decide(text, Classification, system="You route customers' messages.")
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import anthropic
from pydantic import BaseModel, JsonValue

from saga import Unknown, step
from saga.tasks.answers import Answer, Tool, parse, read, read_as
from saga.tasks.failures import MODEL_RETRY
from saga.tasks.keys import own_key
from saga.tasks.provider import client, meaning

DEFAULT_MODEL = "claude-haiku-4-5"
Messages = Sequence[Mapping[str, Any]]
Typed = TypeVar("Typed", bound=BaseModel)


async def ask(
    prompt: str | Messages,
    *,
    system: str | Messages | None = None,
    tools: Sequence[Tool | Mapping[str, Any]] = (),
    model: str | None = None,
    max_tokens: int = 1024,
    within: float = 120.0,
    options: Mapping[str, Any] | None = None,
    betas: Sequence[str] = (),
) -> Answer:
    """Ask the model; gives its text and its tool calls, the calls' arguments validated.

    Args:
        prompt: The user's message, or the whole conversation as the Messages API has it: answers
            (`Answer.message()`), tool results (`ToolCall.result()`), images.
        system: The system prompt, or its blocks.
        tools: What the model may call. Mappings are sent as they are (server tools, schemas of
            your own), and the arguments of calls to them are not validated.
        model: Default: `SAGA_MODEL`, else `DEFAULT_MODEL`.
        max_tokens: An answer that is cut off there raises `CutOff`.
        within: Seconds for the whole call, however slowly the answer drips in.
        options: Further fields of the request, such as `thinking` or `tool_choice`.
        betas: Names for the header `anthropic-beta`.

    An answer with `goes_on` (`pause_turn`, `compaction`) is to be sent back as it is.

    Raises:
        CallFailed: Overloaded, rate limit, server error, refused connection: retry.
        BadAnswer: No answer, HTML, half a document, an unknown tool, wrong arguments: retry.
        Permanent: Wrong request, no credentials, too large. `CutOff` at `max_tokens` or the end of
            the context, `Refused` by the model, `SpendLimit` where there is nothing left to pay
            with.
        Unknown: Timed out or cut after it was sent.
    """
    request = _request(prompt, system, model, max_tokens) | dict(options or {})
    known = {_name(tool): tool if isinstance(tool, Tool) else None for tool in tools}
    if tools:
        request["tools"] = [tool.parameter() if isinstance(tool, Tool) else tool for tool in tools]
    message = await _send(request, within, betas)
    return read(message, known, may_be_empty=_is_answered(request["messages"]))


async def decide(
    prompt: str | Messages,
    type_: type[Typed],
    *,
    system: str | Messages | None = None,
    model: str | None = None,
    max_tokens: int = 1024,
    within: float = 120.0,
) -> Typed:
    """Ask the model for a value of `type_`; arguments and errors as those of `ask`."""
    output = {"format": {"type": "json_schema", "schema": _schema(type_)}}
    request = _request(prompt, system, model, max_tokens) | {"output_config": output}
    return read_as(await _send(request, within), type_)


@step(name="ask_model", queue="llm", retry=MODEL_RETRY, read_only=True)
async def ask_model(prompt: str, system: str | None = None, max_tokens: int = 1024) -> str:
    """Ask the model and give back its text."""
    return (await ask(prompt, system=system, max_tokens=max_tokens)).text


@step(name="call_model", queue="llm", retry=MODEL_RETRY, read_only=True)
async def call_model(
    messages: list[dict[str, JsonValue]],
    system: str | list[dict[str, JsonValue]] | None = None,
    tools: list[dict[str, JsonValue]] | None = None,
    model: str | None = None,
    max_tokens: int = 4096,
    within: float = 600.0,
    options: dict[str, JsonValue] | None = None,
    betas: list[str] | None = None,
) -> Answer:
    """One request of a conversation, for a loop of your own; see `ask` and docs/agents.md."""
    return await ask(
        messages,
        system=system,
        tools=tools or (),
        model=model,
        max_tokens=max_tokens,
        within=within,
        options=options,
        betas=betas or (),
    )


def _request(
    prompt: str | Messages, system: str | Messages | None, model: str | None, max_tokens: int
) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    return {
        "model": model or os.environ.get("SAGA_MODEL") or DEFAULT_MODEL,
        "max_tokens": max_tokens,
        "messages": messages,
        **({"system": system} if system else {}),
    }


async def _send(
    request: dict[str, Any], within: float, betas: Sequence[str] = ()
) -> dict[str, Any]:
    """The answer as it came: what the SDK makes of it has fields that were not sent."""
    headers = {"Idempotency-Key": own_key()}
    if betas:
        headers["anthropic-beta"] = ",".join(betas)
    try:
        async with asyncio.timeout(within):
            create: Any = (await client()).messages.with_raw_response.create
            needed = {name: request[name] for name in ("model", "max_tokens", "messages")}
            raw = await create(**needed, extra_body=request, extra_headers=headers, timeout=within)
            body = cast("bytes", await raw.read())
    except TimeoutError as error:
        raise Unknown(f"model: no whole answer within {within:g} s") from error
    except anthropic.AnthropicError as error:
        raise meaning(error) from error
    return parse(body)


def _name(tool: Tool | Mapping[str, Any]) -> str:
    return tool.name if isinstance(tool, Tool) else str(tool.get("name"))


def _is_answered(messages: Messages) -> bool:
    """Whether the last message holds tool results: then a model may have nothing to add."""
    content: object = messages[-1].get("content") if messages else None
    if not isinstance(content, list):
        return False
    blocks = cast("list[Mapping[str, Any]]", content)
    return any(block.get("type") == "tool_result" for block in blocks)


@functools.cache
def _schema(type_: type[BaseModel]) -> dict[str, Any]:
    return anthropic.transform_schema(type_)

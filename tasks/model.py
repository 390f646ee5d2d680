"""Model calls for steps: `ask` for text and tool calls, `decide` for a typed answer.

Both send the step's idempotency key and leave retries to the step's own policy. A model call has
no effect in the outside world, so a server error is simply retried; a call that was cut or timed
out is `Unknown`, like every other one.

    @step(queue="llm", retry=MODEL_RETRY, read_only=True)
    async def classify(text: str) -> Classification:
        return await decide(text, Classification, system="You route customers' messages.")
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast

import anthropic
from anthropic.types import Message
from pydantic import BaseModel

from saga import Retry, Unknown, step
from saga.tasks.answers import Answer, Tool, read, read_as
from saga.tasks.failures import BadAnswer, shorten
from saga.tasks.keys import own_key
from saga.tasks.provider import client, meaning

DEFAULT_MODEL = "claude-haiku-4-5"
MODEL_RETRY = Retry(max_attempts=10, first=timedelta(seconds=1), maximum=timedelta(minutes=2))
"""For steps that call a model: patient enough for an overload of some minutes."""

# The SDK knows only its own answers; what comes back may as well be text.
Create = Callable[..., Awaitable[object]]
Typed = TypeVar("Typed", bound=BaseModel)


async def ask(
    prompt: str,
    *,
    system: str | None = None,
    tools: Sequence[Tool] = (),
    model: str | None = None,
    max_tokens: int = 1024,
    within: float = 120.0,
) -> Answer:
    """Ask the model; gives its text and its tool calls, the calls' arguments validated.

    Args:
        prompt: The user's message.
        system: The system prompt.
        tools: What the model may call.
        model: Default: `SAGA_MODEL`, else `DEFAULT_MODEL`.
        max_tokens: An answer that is cut off there raises `Permanent`.
        within: Seconds for the whole call, however slowly the answer drips in.

    Raises:
        CallFailed: Overloaded, rate limit, server error, refused connection: retry.
        BadAnswer: No answer, HTML, half a document, an unknown tool, wrong arguments: retry.
        Permanent: Wrong request, no credentials, too large, cut off at `max_tokens`, a refusal.
        Unknown: Timed out or cut after it was sent.
    """
    extra: dict[str, Any] = {"tools": [tool.parameter() for tool in tools]} if tools else {}
    message = await _send(_request(prompt, system, model, max_tokens) | extra, within)
    return read(message, {tool.name: tool for tool in tools})


async def decide(
    prompt: str,
    type_: type[Typed],
    *,
    system: str | None = None,
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


def _request(prompt: str, system: str | None, model: str | None, max_tokens: int) -> dict[str, Any]:
    return {
        "model": model or os.environ.get("SAGA_MODEL") or DEFAULT_MODEL,
        "max_tokens": max_tokens,
        "messages": [{"role": "user", "content": prompt}],
        "extra_headers": {"Idempotency-Key": own_key()},
        **({"system": system} if system else {}),
    }


async def _send(request: dict[str, Any], within: float) -> Message:
    try:
        async with asyncio.timeout(within):
            create = cast("Create", (await client()).messages.create)
            answer = await create(**request, timeout=within)
    except TimeoutError as error:
        raise Unknown(f"model: no whole answer within {within:g} s") from error
    except anthropic.AnthropicError as error:
        raise meaning(error) from error
    except (ValueError, RecursionError) as error:
        # The SDK lets the JSON parser's own errors through.
        raise BadAnswer(f"model: the answer is not JSON: {shorten(str(error))}") from error
    if not isinstance(answer, Message):
        raise BadAnswer(f"model: the answer is no message but {shorten(str(answer), 80)!r}")
    return answer


@functools.cache
def _schema(type_: type[BaseModel]) -> dict[str, Any]:
    return anthropic.transform_schema(type_)

"""What a tool's metadata says of its step, and the step itself: the same for all frameworks."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from types import FunctionType
from typing import Any, Protocol, TypedDict, cast

from pydantic import JsonValue, validate_call

from saga import DefinitionError, Retry, approval, step
from saga.tasks.failures import MODEL_RETRY, SpendLimit, from_status, shorten

KEY = "saga"
"""The key of a tool's metadata: `{"saga": {"queue": "payments", "approval": True}}`."""

Arguments = dict[str, JsonValue]
SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""OpenAI's codes of a 429 that no waiting gets past."""

_OWN = frozenset({"approval", "compensation"})
_HERE = f"{Path(__file__).parent}/"


class ToolStep(TypedDict, total=False):
    """What a tool's metadata can say under "saga"; the rest is as in `@step`.

    `approval`: a person is asked before each call; True, or the time after which nobody's answer is
    a no. `compensation`: `undo(result, **arguments of the tool)`; the result is None when nobody
    knows whether the call happened.
    """

    approval: bool | timedelta
    compensation: Callable[..., Any]
    queue: str
    retry: Retry
    timeout: timedelta
    read_only: bool
    pivot: bool
    irreversible: bool
    on_unknown: str


MODEL: ToolStep = {"queue": "llm", "retry": MODEL_RETRY, "read_only": True}
"""What the step of a model is, unless said otherwise."""


class Body(Protocol):
    """What a step runs."""

    def __call__(
        self, arguments: Arguments, deps: JsonValue, context: JsonValue
    ) -> Awaitable[JsonValue]: ...


class Step(Protocol):
    """The step; in a saga it is asked for, elsewhere its body runs once."""

    function: Callable[..., Any]

    def __call__(
        self, arguments: Arguments, deps: JsonValue = None, context: JsonValue = None
    ) -> Awaitable[JsonValue]: ...


def told(metadata: Mapping[str, Any] | None) -> ToolStep:
    """What a tool's metadata says of its step."""
    said: object = (metadata or {}).get(KEY, {})
    if not isinstance(said, Mapping):
        raise DefinitionError(f'metadata["{KEY}"] is a mapping, not {said!r}')
    return cast("ToolStep", dict(cast("Mapping[str, Any]", said)))


def define(
    name: str,
    body: Body,
    said: Mapping[str, Any],
    *,
    place: tuple[str, int],
    value_of: Callable[[Any], Any] = lambda result: result,
) -> Step:
    """The step of this name, as `said` (see ToolStep).

    `value_of` gives what the tool returned, for its compensation, out of what `body` did; it raises
    LookupError where there is nothing to undo. `context` may differ in a replay: time and chance
    that frameworks put into it decide nothing.
    """

    async def run(
        arguments: Arguments, deps: JsonValue = None, context: JsonValue = None
    ) -> JsonValue:
        return await body(arguments, deps, context)

    _placed(run, place)
    options: dict[str, Any] = {key: value for key, value in said.items() if key not in _OWN}
    made = step(name=name, may_vary=("context",), **options)(run)
    compensation = said.get("compensation")
    if compensation is not None:
        made.compensation(name=f"undo {name}")(_undo(compensation, value_of))
    return made


async def refused(name: str, said: Mapping[str, Any], arguments: object) -> str | None:
    """Ask a person, if the tool is to be; the text for the model if the answer is no."""
    wanted = said.get("approval")
    if not wanted:
        return None
    timeout = wanted if isinstance(wanted, timedelta) else None
    decision = await approval(name, {"tool": name, "arguments": arguments}, timeout)
    if decision.approved:
        return None
    if decision.timed_out:
        return "Nobody has approved this call in time."
    return decision.reason or "A person has refused this call."


def meaning(error: Exception) -> Exception | None:
    """What an error of a provider's client means for the step; None if it is no HTTP answer."""
    status, answer = getattr(error, "status_code", None), getattr(error, "response", None)
    if not isinstance(status, int):
        return None
    if status == 402 or getattr(error, "code", None) in SPENT:
        return SpendLimit(shorten(f"model answered {status}: {error}", 300))
    headers: Any = getattr(error, "headers", None) or getattr(answer, "headers", None) or {}
    named = {str(name).lower(): str(value) for name, value in headers.items()}
    return from_status("model", status, str(error), named, safe=True)


def place_of_caller(*libraries: str) -> tuple[str, int]:
    """File and line of the innermost caller that is neither of these packages nor here.

    Two agents of one name would have each other's steps; two steps of one name and two places are
    refused.
    """
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame.f_back is not None:
        module = str(frame.f_globals.get("__name__"))
        if not frame.f_code.co_filename.startswith((_HERE, "<")) and not module.startswith(
            libraries
        ):
            break
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def _placed(function: Any, place: tuple[str, int]) -> None:
    """Make `place` the one where `function` is written, as a wrapped function's is."""
    file, line = place
    code = function.__code__.replace(co_filename=file, co_firstlineno=line)
    function.__signature__ = inspect.signature(function)
    function.__wrapped__ = FunctionType(code, function.__globals__, closure=function.__closure__)


def _undo(compensation: Callable[..., Any], value_of: Callable[[Any], Any]) -> Callable[..., Any]:
    checked = validate_call(compensation)
    first, *others = inspect.signature(compensation).parameters.values()
    takes_all = any(one.kind is one.VAR_KEYWORD for one in others)
    names = {one.name for one in others}

    async def undo(result: JsonValue | None, arguments: Arguments) -> None:
        try:
            value = None if result is None else value_of(result)
        except LookupError:
            return  # it has told the model something, and done nothing
        wanted = {key: one for key, one in arguments.items() if takes_all or key in names}
        made = checked(**{first.name: value}, **wanted)
        if inspect.isawaitable(made):
            await made

    return undo

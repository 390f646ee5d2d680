"""An exception as the error object that is stored: `{"type", "message", ...}`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

from saga.core import codec
from saga.errors import StepFailed

LONGEST = 4000
TIMED_OUT = '{"type":"TimeoutError","message":"the deadline has passed"}'
_MOST = 100  # errors that are told of one group
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def describe(exc: BaseException, **more: Any) -> str:
    """JSON of the exception's type and message (cut to 4,000 characters), and of `more`.

    A group of one is that one; of several each is told with its type and message.
    """
    error: dict[str, Any] = {**_told(exc), **more}
    return codec.encode(error, "error")


def brief(exc: BaseException) -> str:
    """The exception in 200 characters, for the history."""
    told = _told(exc)
    return f"{told['type']}: {told['message']}"[:200]


def verdict(exc: BaseException) -> str:
    """The error of a saga whose body ended with `exc`: with the step's own type if it was one."""
    failed = next((one for one in _leaves(exc) if isinstance(one, StepFailed)), None)
    if failed is None:
        return describe(exc)
    return describe(exc, step=failed.position, name=failed.step)


def _told(exc: BaseException) -> dict[str, str]:
    parts = list(islice(_leaves(exc), _MOST))
    if len(parts) == 1:
        return _told_alone(parts[0])
    each = "; ".join(
        _message(part) if isinstance(part, StepFailed) else f"{_name(part)}: {_message(part)}"
        for part in parts
    )
    return {"type": _name(exc), "message": _clean(f"{_message(exc)}: {each}")}


def _told_alone(exc: BaseException) -> dict[str, str]:
    if isinstance(exc, StepFailed):
        return {"type": exc.type, "message": _clean(exc.message)}
    return {"type": _name(exc), "message": _message(exc)}


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    """What a group, also one of groups, holds in the end; of anything else, itself."""
    rest = [exc]
    while rest:
        one = rest.pop()
        if isinstance(one, BaseExceptionGroup):
            rest += reversed(cast("BaseExceptionGroup[BaseException]", one).exceptions)
        else:
            yield one


def _name(exc: BaseException) -> str:
    return _clean(type(exc).__name__)


def _message(exc: BaseException) -> str:
    try:
        return _clean(str(exc))
    except Exception:
        return "(its message cannot be shown)"


def _clean(text: str) -> str:
    shown = _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    return shown if len(shown) <= LONGEST else shown[:LONGEST] + "..."

"""An exception as the error object that is stored: `{"type", "message", ...}`."""

from __future__ import annotations

import re
from typing import Any, cast

from saga.core import codec
from saga.errors import StepFailed

LONGEST = 4000
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def describe(exc: BaseException, **more: Any) -> str:
    """JSON of the exception's type and message (cut to 4,000 characters), and of `more`."""
    error: dict[str, Any] = {"type": _name(exc), "message": _message(exc)}
    return codec.encode({**error, **more}, "error")


def brief(exc: BaseException) -> str:
    """The exception in 200 characters, for the history."""
    return f"{_name(exc)}: {_message(exc)}"[:200]


def verdict(exc: BaseException) -> str:
    """The error of a saga whose body ended with `exc`: with the step's own type if it was one."""
    failed = _first_failed_step(exc)
    if failed is None:
        return describe(exc)
    more: dict[str, Any] = {"step": failed.position, "name": failed.step}
    if failed is not exc:
        return describe(exc, **more)
    error = {"type": failed.type, "message": _clean(failed.message), **more}
    return codec.encode(error, "error")


def _first_failed_step(exc: BaseException) -> StepFailed | None:
    if isinstance(exc, StepFailed):
        return exc
    if isinstance(exc, BaseExceptionGroup):
        for part in cast("BaseExceptionGroup[BaseException]", exc).exceptions:
            found = _first_failed_step(part)
            if found is not None:
                return found
    return None


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

"""An exception as the error object that is stored: `{"type", "message", "at", ...}`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

from saga.core import codec, tracebacks
from saga.errors import InvalidInput, NotDeterministic, StepFailed, WorkerLost

LONGEST = 4000
TIMED_OUT = '{"type":"TimeoutError","message":"the deadline has passed"}'
_MOST = 100  # errors that are told of one group
_OURS = (StepFailed, InvalidInput, NotDeterministic, WorkerLost)  # they quote nothing
_KEPT = "(kept private)"
_is_private = False


def keep_private(wanted: bool) -> None:
    """From now on, in this process, neither messages nor tracebacks of what the user's code raises
    are told: they may quote what it was given.
    """
    global _is_private  # noqa: PLW0603 - of the process, as its logs are
    _is_private = wanted


def is_private() -> bool:
    return _is_private


def describe(exc: BaseException, **more: Any) -> str:
    """JSON of the exception's type and message (cut to 4,000 characters), of the line of the user's
    code that it came from, and of `more`.

    A group of one is that one; of several each is told with its type and message.
    """
    error: dict[str, Any] = {**_told(exc), **more}
    place = next(filter(None, map(_place, _leaves(exc))), None)
    if place is not None:
        error["at"] = _clean(place)
    return codec.encode(error, "error")


def traceback_of(exc: BaseException) -> str | None:
    """For the history; None if it has none to tell."""
    if _is_private or (exc.__traceback__ is None and exc.__cause__ is None):
        return None
    return tracebacks.text_of(exc)


def brief(exc: BaseException) -> str:
    """The exception in 200 characters, for the history."""
    told = _told(exc)
    if _is_private:
        return told["type"]
    return f"{told['type']}: {told['message']}"[:200]


def verdict(exc: BaseException) -> str:
    """The error of a saga whose body ended with `exc`: with the step's own type if it was one."""
    failed = next((one for one in _leaves(exc) if isinstance(one, StepFailed)), None)
    if failed is None:
        return describe(exc)
    return describe(exc, step=failed.position, name=failed.step)


def is_of_a_step(exc: BaseException) -> bool:
    """Whether it says nothing but that a step or a child of the saga has failed."""
    return all(isinstance(one, StepFailed) for one in _leaves(exc))


def _place(exc: BaseException) -> str | None:
    if isinstance(exc, StepFailed):
        return exc.details.get("at")  # of the step, which may have run anywhere
    return tracebacks.place_of(exc)


def step_failed(name: str, position: int, exc: Exception) -> StepFailed:
    """What a saga gets for the exception that a step ended with."""
    told, place = _told(exc), next(filter(None, map(_place, _leaves(exc))), None)
    details = None if place is None else {"at": place}
    return StepFailed(name, told["type"], told["message"], details, position)


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
    if _is_private and not isinstance(exc, _OURS):
        return _KEPT
    try:
        return _clean(str(exc))
    except Exception:
        return "(its message cannot be shown)"


def _clean(text: str) -> str:
    shown = tracebacks.storable(text)
    return shown if len(shown) <= LONGEST else shown[:LONGEST] + "..."

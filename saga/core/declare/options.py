"""The checks of what a declaration says about itself."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any

from saga.core.loop.loop import LONGEST
from saga.errors import DefinitionError

START_OPTIONS = ("key", "version", "connection", "attributes", "callback")
"""What `Client.start` takes beside a saga's own arguments."""


def name_of(function: Any) -> str:
    """The name that a function gives its step, saga or compensation."""
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        raise DefinitionError(f"{function!r} has no name of its own: give it name=")
    return name


def is_task(target: Any) -> bool:
    """A Celery task, or whatever else has its `name` and `run`: a function has not."""
    return not hasattr(target, "__code__") and hasattr(target, "run") and hasattr(target, "name")


def place_of(function: Callable[..., Any]) -> str:
    """Where a function is written, as `file:line`."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', '?')}"
    return f"{code.co_filename}:{code.co_firstlineno}"


def checked_name(name: str, what: str) -> str:
    """A name that fits a column, a log line and a terminal."""
    if not (
        isinstance(name, str)  # pyright: ignore[reportUnnecessaryIsInstance] - users' own calls
        and name.isprintable()
        and 1 <= len(name) <= 200
        and name == name.strip()
    ):
        raise DefinitionError(f"{name!r}: the name of a {what} is 1 to 200 printable characters")
    return name


def checked_time(value: Any, field: str) -> timedelta:
    """A time of at most a thousand years, in either direction."""
    if not isinstance(value, timedelta):
        raise DefinitionError(f"{field} is a timedelta, like timedelta(seconds=30), not {value!r}")
    if abs(value.total_seconds()) > LONGEST.total_seconds():
        raise DefinitionError(f"{field} is at most a thousand years (timedelta(days=365_000))")
    return value


def checked_timeout(timeout: timedelta | None, name: str) -> timedelta | None:
    """A positive time, or none."""
    if timeout is not None and checked_time(timeout, f"{name}: timeout") <= timedelta(0):
        raise DefinitionError(f"{name}: timeout must be positive")
    return timeout


def checked_flag(value: bool, field: str) -> bool:
    """True or False: of other values Python would take each for one of them."""
    if not isinstance(value, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"{field} is True or False, not {value!r}")
    return value


def checked_names(
    given: Collection[str] | bool, parameters: tuple[str, ...], field: str
) -> frozenset[str]:
    """Some of the parameters of a function, or, for True, all."""
    if isinstance(given, bool):
        return frozenset(parameters if given else ())
    if isinstance(given, str):
        raise DefinitionError(f"{field} is a tuple of names, like ({given!r},), or True")
    for name in given:
        if name not in parameters:
            raise DefinitionError(
                f"{field}: {name!r} is no parameter; it has {', '.join(parameters) or 'none'}"
            )
    return frozenset(given)


def refuse_unknown(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raises DefinitionError for an option that `what` has not."""
    known = list(known)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
            raise DefinitionError(f"{what} has no option {name!r}; {hint}")


def caller_types(depth: int) -> Mapping[str, Any] | None:
    """The classes that the function `depth` frames up has defined; None at a module's top level.

    Type hints of a step that is declared inside a function may name them.
    """
    frame = sys._getframe(depth + 1)  # pyright: ignore[reportPrivateUsage]
    if frame.f_locals is frame.f_globals:
        return None
    return {name: value for name, value in frame.f_locals.items() if isinstance(value, type)}

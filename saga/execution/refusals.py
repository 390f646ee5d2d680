"""What comes from the broker and is no message, or one that nobody can carry out: refused, counted,
and told in one line without its content, which may be anybody's secret.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# Celery and kombu have no types.

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from celery import bootsteps
from celery.worker.consumer import consumer as celerys

from saga.core.tracebacks import place_of

log = logging.getLogger("saga.inbox")

_SHOWN = re.compile(r"[\w.:@/-]{1,120}", re.ASCII)
_LONGEST = 300  # characters of a task's name, or of an id
_LONGEST_LINE = 1000

on_refused: list[Callable[[str], None]] = []
"""Called in this process for each, with its kind: `garbage`, `task` (unknown) or `content`."""


def shown(value: object) -> str:
    """A name or an id, if it looks like one."""
    return value if isinstance(value, str) and _SHOWN.fullmatch(value) else "(not shown)"


def count(kind: str) -> None:
    for tell in on_refused:
        tell(kind)


def thrown_away(queue: str, why: str | BaseException) -> None:
    """It could not even be read."""
    count("garbage")
    if isinstance(why, BaseException):
        why = f"{type(why).__name__} at {place_of(why)}"
    log.warning("thrown away what is no message, from queue %s: %s", shown(queue), why)


def refused(headers: Mapping[str, Any], why: str, kind: str = "content") -> None:
    """A message with these headers; `why` holds nothing of its content."""
    count(kind)
    log.error(
        "message %s (%s, from %s) is refused: %s",
        shown(headers.get("id")),
        shown(headers.get("task")),
        shown(headers.get("origin") or "unknown"),
        why[:_LONGEST_LINE],
    )


def fault_of(message: object) -> str | None:
    """What is wrong with the envelope of a message, if kombu or Celery could stumble over it."""
    if not isinstance(message, dict):
        return "no object"
    known: dict[str, Any] = message
    properties, headers = known.get("properties"), known.get("headers") or {}
    if not isinstance(properties, dict) or not isinstance(headers, dict):
        return "headers or properties that are no objects"
    if not isinstance(properties.get("delivery_info", {}), dict):
        return "a delivery_info that is no object"
    names = [properties.get("delivery_tag"), headers.get("task", ""), headers.get("id", "")]
    if not all(isinstance(name, str) and len(name) <= _LONGEST for name in names):
        return "a delivery tag, a task or an id that is no name"
    return None


class Refusing(bootsteps.StartStopStep):
    """Has a consumer say what it refuses in our words: Celery's hold all of the message."""

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        for name, (kind, why) in _REFUSES.items():
            setattr(parent, name, _bounded(getattr(parent, name), kind, why))


_REFUSES = {
    "on_unknown_task": ("task", "this worker has no such task"),
    "on_unknown_message": ("content", "it names no task"),
    "on_invalid_task": ("content", "it is not what Celery sends, or of a type not accepted"),
    "on_decode_error": ("content", "its body cannot be decoded"),
}


def _bounded(refuse: Callable[..., Any], kind: str, why: str) -> Callable[..., Any]:
    """What Celery does with such a message, but for what it logs."""

    def refuse_quietly(*args: Any) -> Any:
        message = next(one for one in args if hasattr(one, "delivery_info"))
        refused(message.headers, why, kind)
        _Silence.is_on = True
        try:
            return refuse(*args)
        finally:
            _Silence.is_on = False

    return refuse_quietly


class _Silence(logging.Filter):
    """Of the consumer's own log, which one thread writes to."""

    is_on: ClassVar[bool] = False

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002
        return not self.is_on


celerys.logger.addFilter(_Silence())

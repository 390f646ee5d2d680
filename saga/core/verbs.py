"""What a saga can say besides calling steps: wait, ask, show, and know the time."""

from __future__ import annotations

import random as random_module
import time
import uuid as uuid_module
from asyncio import _get_running_loop as running_loop  # pyright: ignore[reportPrivateUsage]
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast, overload

from saga.core import answering, codec
from saga.core.declare.options import checked_name, checked_time
from saga.core.declare.shapes import shape_of
from saga.core.digest import digest_of, digest_of_wait
from saga.core.intent import Intent
from saga.core.loop import asking
from saga.core.loop.events import Event
from saga.core.loop.loop import JournalLoop
from saga.errors import DefinitionError, InvalidInput

T = TypeVar("T")

_NO_TIME = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Decision:
    """How an approval was decided."""

    approved: bool
    by: str | None = None
    """Who decided; None if nobody did in time."""
    reason: str | None = None
    at: datetime = _NO_TIME
    timed_out: bool = False
    """Nobody decided in time; `approved` is False then."""


async def approval(
    name: str,
    details: Mapping[str, Any] | None = None,
    timeout: timedelta | None = None,  # noqa: ASYNC109 - it is durable, and a decision of its own
) -> Decision:
    """Wait until a person approves or rejects, or until `timeout` has passed.

    `details` is JSON that is shown to that person. A crash in the middle loses nothing.
    """
    checked_name(name, "approval")
    wait = _checked_wait(timeout, f"approval {name}")
    if details is not None and not isinstance(details, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"approval {name}: details are a mapping, not {details!r}")
    shown = codec.encode(dict(details or {}), f"approval {name}: details")
    loop = running_loop()
    if type(loop) is not JournalLoop:
        return _as_decision(answering.answer("approval", name))

    def counted(details: str) -> str:
        return f"{details} within {digest_of_wait(wait)}"

    intent = Intent("approval", name, args=shown, digest=digest_of(counted(shown)))
    future = loop.journal.ask(intent, _deadline(loop, wait), counted)
    event = await asking.wait(loop, loop.journal.last, future)
    return _decision(event)


@overload
async def signal(name: str, *, timeout: timedelta | None = None) -> Any: ...  # noqa: ASYNC109
@overload
async def signal(
    name: str,
    type_: type[T],
    timeout: timedelta | None = None,  # noqa: ASYNC109
) -> T: ...
async def signal(
    name: str,
    type_: Any = Any,
    timeout: timedelta | None = None,  # noqa: ASYNC109 - it is durable
) -> Any:
    """Wait for the next signal of this name, in the order in which they were accepted.

    Raises TimeoutError after `timeout`, and InvalidInput (the signal is consumed all the same) if
    its payload is not a `type_`. With a timeout of zero it takes what was accepted already: a saga
    that does so until the TimeoutError, and then ends without waiting again, has read them all.
    """
    checked_name(name, "signal")
    wait = _checked_wait(timeout, f"signal {name}")
    loop = running_loop()
    if type(loop) is not JournalLoop:
        payload = codec.encode(answering.answer("signal", name), f"signal {name}")
        return shape_of(type_).decode(payload, f"signal {name}")
    intent = Intent("signal", name, digest=digest_of_wait(wait))
    future = loop.journal.ask_signal(intent, _deadline(loop, wait))
    position = loop.journal.last
    event = await asking.wait(loop, position, future)
    if event.kind == "signal":
        return shape_of(type_).decode(event.payload or "null", f"signal {name}")
    if event.state == "cancelled":
        raise asking.failure(name, position, event)
    raise TimeoutError(f"no signal {name!r} came in time")


def in_saga() -> bool:
    """Whether this runs as a saga's code: not in a step, and not outside of the engine."""
    return type(running_loop()) is JournalLoop


def now() -> datetime:
    """The time of the last event, in UTC; outside a saga the real time."""
    loop = running_loop()
    seconds = loop.now if type(loop) is JournalLoop else time.time()
    return datetime.fromtimestamp(seconds, UTC)


def random() -> random_module.Random:
    """A source of random numbers that gives this saga the same ones in every replay."""
    loop = running_loop()
    if type(loop) is JournalLoop:
        return loop.random()
    return random_module.Random()


def uuid() -> uuid_module.UUID:
    """A new UUID, the same one in every replay."""
    return uuid_module.UUID(int=random().getrandbits(128), version=4)


def expose(value: Any) -> None:
    """Make a JSON value the saga's visible state; the last one wins. Outside: only checked."""
    text = codec.encode(value, "expose")
    loop = running_loop()
    if type(loop) is JournalLoop:
        loop.journal.exposed = text


def attributes(values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
    """Set attributes of the saga, by which it is found: `attributes(stage="paid", amount=20)`.

    They join those that it was started with; of the same name the last one wins. They are written
    down with what the code asks for next, or with its end. Outside a saga they are only checked.
    """
    if values is not None and not isinstance(values, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"attributes: a mapping, not {values!r}")
    given = codec.parse(codec.encode({**(values or {}), **more}, "attributes"))
    loop = running_loop()
    if type(loop) is JournalLoop:
        known = codec.parse(loop.journal.attributes or "{}")
        loop.journal.attributes = codec.encode(known | given, "attributes")


def _checked_wait(timeout: timedelta | None, what: str) -> float | None:
    """Its seconds: none for what is over already."""
    if timeout is None:
        return None
    return max(checked_time(timeout, f"{what}: timeout").total_seconds(), 0.0)


def _deadline(loop: JournalLoop, seconds: float | None) -> float | None:
    return None if seconds is None else loop.now + seconds


def _decision(event: Event) -> Decision:
    at = datetime.fromtimestamp(event.at, UTC)
    if event.state != "succeeded":
        return Decision(False, at=at, timed_out=event.state == "failed")
    answer = codec.parse(event.payload or "{}")
    return Decision(
        approved=answer.get("approved") is True,
        by=answer.get("by"),
        reason=answer.get("reason"),
        at=at,
        timed_out=answer.get("timed_out") is True,
    )


def _as_decision(answer: Any) -> Decision:
    if isinstance(answer, Decision):
        return answer
    if isinstance(answer, bool):
        return Decision(answer, by="answering()", at=now())
    if isinstance(answer, Mapping):
        fields = codec.encode(cast("object", answer), "approval")
        return shape_of(Decision).decode(fields, "approval")
    raise InvalidInput("an approval is answered with True, False or a Decision")


__all__ = [
    "Decision",
    "approval",
    "attributes",
    "expose",
    "in_saga",
    "now",
    "random",
    "signal",
    "uuid",
]

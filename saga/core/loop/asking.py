"""The coroutines behind the verbs: ask, wait, and give the typed answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from saga.core.intent import Intent
from saga.core.loop.events import Event
from saga.core.loop.history import Counted
from saga.core.loop.loop import JournalLoop
from saga.core.loop.scopes import note
from saga.errors import InvalidInput, StepFailed


async def call(
    loop: JournalLoop, intent: Intent, decode: Callable[[str], Any], counted: Counted
) -> Any:
    """Ask for a step or a child saga; its result through `decode`, or StepFailed."""
    journal = loop.journal
    future = journal.ask(intent, counted=counted)
    position = journal.last
    started = None
    if intent.pivot or intent.has_undo:
        started = note(intent, position, journal.applied, future)
    try:
        event = await future
    except asyncio.CancelledError:
        in_flight = journal.drop(position)
        if started is not None and future.cancelled():
            started.future = journal.linger(position) if in_flight else None
        raise
    if event.state == "succeeded":
        try:
            return decode(event.payload or "null")
        except InvalidInput as exc:
            await journal.refuse(f"position {position}: {exc}")
    raise failure(intent.name, position, event)


async def wait(loop: JournalLoop, position: int, future: asyncio.Future[Event]) -> Event:
    """Wait for what was asked at a position; a cancellation drops it."""
    try:
        return await future
    except asyncio.CancelledError:
        loop.journal.drop(position)
        raise


def failure(name: str, position: int, event: Event) -> StepFailed:
    """The exception for what settled without a result."""
    error: dict[str, Any] = json.loads(event.payload) if event.payload else {}
    details: dict[str, Any] = dict(error.get("details") or {})
    if error.get("in_doubt"):
        details["in_doubt"] = True
    if error.get("at"):
        details["at"] = error["at"]
    kind = error.get("type") or event.state.capitalize()
    return StepFailed(name, str(kind), str(error.get("message", "")), details, position)

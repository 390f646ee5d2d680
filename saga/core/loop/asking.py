"""The coroutines behind the verbs: ask, wait, and give the typed answer."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from saga.core.loop.events import Event
from saga.core.loop.loop import JournalLoop
from saga.core.loop.scopes import note
from saga.errors import InvalidInput, StepFailed

if TYPE_CHECKING:
    from saga.core.declare.definitions import SagaDefinition, StepDefinition


async def call(
    loop: JournalLoop,
    definition: StepDefinition[..., Any] | SagaDefinition[..., Any],
    args: str,
) -> Any:
    """Ask for a step or a child saga; its typed result, or StepFailed."""
    journal = loop.journal
    undo = definition.undo
    future = journal.ask(
        definition.signature, args, None, definition.queue, None if undo is None else undo.stored
    )
    position = journal.last
    started = None
    if undo is not None or definition.pivot:
        started = note(definition, position, args, journal.applied, future)
    try:
        event = await future
    except asyncio.CancelledError:
        in_flight = journal.drop(position)
        if started is not None and future.cancelled():
            started.future = journal.linger(position) if in_flight else None
        raise
    if event.state == "succeeded":
        try:
            return definition.decode_result(event.payload or "null")
        except InvalidInput as exc:
            await journal.refuse(f"position {position}: {exc}")
    raise failure(definition.name, position, event)


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
    kind = error.get("type") or event.state.capitalize()
    return StepFailed(name, str(kind), str(error.get("message", "")), details, position)

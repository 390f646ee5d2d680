"""What a step can learn about itself while it runs."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from saga.errors import OutsideStep


@dataclass(frozen=True, slots=True)
class StepContext:
    """The running step: `current()` returns it."""

    saga_id: UUID
    position: int
    """The step's place in its saga: 1, 2, 3, ..."""
    attempt: int
    """1 at first."""
    idempotency_key: str
    """The same in every attempt: send it with every side effect."""
    saga_name: str
    step_name: str
    connection: Any = None
    """Of a `transactional` step only: what is written through it commits with the outcome."""
    tries: int = 1
    """Attempts that count, this one included: not those whose worker was lost."""


_running: contextvars.ContextVar[StepContext] = contextvars.ContextVar("saga_step")


def current() -> StepContext:
    """The step that runs here; OutsideStep if none does."""
    try:
        return _running.get()
    except LookupError:
        raise OutsideStep("current() is for code that runs inside a step") from None


def is_running() -> bool:
    """Whether a step runs here."""
    return _running.get(None) is not None


@contextlib.contextmanager
def running(context: StepContext) -> Generator[StepContext]:
    """For whoever runs a step: make `current()` return `context` inside the block."""
    token = _running.set(context)
    try:
        yield context
    finally:
        _running.reset(token)


def outside(step_name: str) -> StepContext:
    """A context for a step that is called as a plain function.

    A step called by another step works under that one's key with its own name added, so that two
    effects never share a key.
    """
    outer = _running.get(None)
    if outer is None:
        saga_id = uuid4()
        return StepContext(saga_id, 1, 1, idempotency_key(saga_id, 1), "", step_name)
    key = f"{outer.idempotency_key}/{step_name}"
    return dataclasses.replace(outer, step_name=step_name, idempotency_key=key)


def idempotency_key(saga_id: UUID, position: int, undo: bool = False) -> str:
    """The key of the step at a position, or of its undo."""
    return f"{saga_id}:{position}:undo" if undo else f"{saga_id}:{position}"

"""A step as decisions see it."""

from typing import NamedTuple
from uuid import UUID, uuid5

from saga.core.intent import Intent


class StepKey(NamedTuple):
    """A step, or the compensation of that step."""

    saga_id: UUID
    position: int
    undo: bool


class StepRow(NamedTuple):
    """A step with everything that undoing it needs. Payloads are JSON text."""

    saga_id: UUID
    position: int
    undo: bool
    intent: Intent
    state: str
    result: str | None
    error: str | None
    in_doubt: bool
    after: int
    event: int | None
    attempt: int

    @property
    def key(self) -> StepKey:
        return StepKey(self.saga_id, self.position, self.undo)


def child_id(parent: UUID, position: int) -> UUID:
    """The id of the child that a saga started at a position."""
    return uuid5(parent, f"child:{position}")

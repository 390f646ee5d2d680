"""What a saga wants done: the only output of its code besides its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from saga.core.intent import Intent


class Ask(NamedTuple):
    """The saga waits for something: it becomes a row."""

    position: int
    """1, 2, 3, ... in the order of creation on the loop; of an undo, its forward step's."""
    undo: bool
    intent: Intent
    due: float | None
    """Epoch seconds: when the timer fires, or the deadline of a signal or an approval."""
    after: int
    """The number of the last event applied when this was asked; 0 at the start."""
    again: bool = False
    """Its row is there: it failed or was cancelled, and that was taken back."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The code no longer waits for it: its task or timer was cancelled, or the body has ended."""

    position: int
    undo: bool


@dataclass(frozen=True, slots=True)
class Consume:
    """The wait for a signal at `position` is satisfied by the event of that number."""

    position: int
    event: int


Command: TypeAlias = Ask | Drop | Consume

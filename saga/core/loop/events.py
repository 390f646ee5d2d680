"""What the journal tells a saga: its only input."""

from __future__ import annotations

from typing import Literal, NamedTuple

EventKind = Literal["settled", "signal", "taken_back"]
Outcome = Literal["succeeded", "failed", "cancelled", "skipped", "blocked"]
"""How something settled. `skipped`: a person decided that it will not be done; `blocked`: a person
has to decide, which settles an undo for its scope and nothing else."""
AskKind = Literal["step", "timer", "signal", "approval", "child"]


class Event(NamedTuple):
    """One entry of a saga's journal that its code can see."""

    number: int
    """1, 2, 3, ... without gaps in each saga: the order in which the code sees them."""
    at: float
    """The database's clock, epoch seconds; it becomes the loop's time."""
    kind: EventKind
    position: int = 0
    """Of what settled; 0 for a signal. In the place of a failure that was taken back: what the code
    asks for from then on has positions from this one, 0: from where it is."""
    undo: bool = False
    """An undo that a scope asked for has settled."""
    state: Outcome = "succeeded"
    payload: str | None = None
    """JSON. The result; or the error object `{"type", "message", "details"?, "in_doubt"?}`; or the
    signal's payload; or the approval `{"approved", "by"?, "reason"?, "timed_out"?}`. It must be
    the same text each time that it is read: the code sees the order of an object's keys."""
    name: str = ""
    """The signal's name."""


class Recorded(NamedTuple):
    """A command that the journal already holds."""

    position: int
    undo: bool
    kind: AskKind
    name: str
    over: bool = False
    """It is settled, dropped or consumed: no Drop or Consume of it is due any more."""
    digest: int | None = None
    """Of its arguments; None: it was written by a release that kept none, or is an undo."""
    args: str | None = None
    """Its arguments as they are stored, where the digest is not enough to go by."""
    again: bool = False
    """It failed or was cancelled, and that was taken back: it runs only if it is asked for."""
    in_doubt: bool = False
    """It may have had its effect."""

    @property
    def is_open_to_change(self) -> bool:
        """Whether something else may be asked in its place: nothing of it has happened."""
        return self.again and not self.in_doubt and self.kind == "step"

"""What a saga asks for."""

from __future__ import annotations

from typing import NamedTuple

from saga.core.loop.events import AskKind

Signature = tuple[AskKind, str]
"""The kind and name of what was asked: by these a replay is held against the history."""


class Intent(NamedTuple):
    """What is stored when a saga asks for something: whoever decides later, without the saga's
    code, goes by this.

    The columns of `saga.step` have the names of these fields, and the statements are made from
    them. A tuple: it is made at each call of a step, and a frozen dataclass takes thrice as long.
    """

    kind: AskKind
    name: str
    """Of the step, compensation, signal, approval or child saga; "sleep" for a timer."""
    queue: str | None = None
    """A step's, an undo's or a child saga's."""
    args: str = "{}"
    """JSON: the arguments by parameter name; an approval's details; a child's
    `{"version", "input"}`."""
    compensation: str | None = None
    """The name of the step's undo."""
    undo_queue: str | None = None
    pivot: bool = False
    read_only: bool = False
    """It has no effect; of a child that completed: it began nothing that has an undo."""
    digest: int | None = None
    """Of the arguments that a replay is held to; None: of an undo, which is held to its step's."""

    @property
    def signature(self) -> Signature:
        return self.kind, self.name

    @property
    def has_undo(self) -> bool:
        """Whether its effect can be taken back; a child does that by its own compensations."""
        return self.compensation is not None or (self.kind == "child" and not self.read_only)

    def undone(self) -> Intent:
        """What to ask for to take its effect back."""
        name = self.name if self.kind == "child" else self.compensation or ""
        return Intent(self.kind, name, self.undo_queue or self.queue, self.args)

"""Which approval a decision is for: it must never answer one that its sender has not seen.

What a saga asks at a position never changes, so a position binds a decision to the exact details
that were shown. Without one, the saga must have asked only once: else a decision that is sent twice
would answer the next question.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from saga.errors import Conflict


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision on its way. None: any name, any position."""

    name: str | None
    position: int | None
    approved: bool
    by: str
    reason: str | None

    @property
    def action(self) -> str:
        return "approve" if self.approved else "reject"

    @property
    def stored(self) -> dict[str, Any]:
        """As the journal holds it."""
        return {"approved": self.approved, "by": self.by, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Asked:
    """An approval that a saga asked for. `result`: the stored answer, JSON text."""

    position: int
    name: str
    state: str
    result: str | None
    is_late: bool


def answered_before(answer: Answer, asked: Sequence[Asked], saga: str) -> int:
    """Why an answer found nothing open to answer. `asked`: all approvals of that saga, in order.

    Returns the position if this very answer has been given before: then it is sent again, and done.
    Raises Conflict for everything else.
    """
    fitting = [row for row in asked if answer.name in (None, row.name)]
    if answer.position is not None:
        fitting = [row for row in fitting if row.position == answer.position]
    if not fitting:
        raise Conflict(f"{saga} asks for no {_wanted(answer)}{_instead(asked)}")
    if len(fitting) > 1:
        known = ", ".join(f"{row.position} ({row.name}, {_fate(row)})" for row in fitting[-10:])
        raise Conflict(f"{saga} asked for more than one approval: say which position, of {known}")
    (row,) = fitting
    if row.result is not None and json.loads(row.result) == answer.stored:
        return row.position
    raise Conflict(f"{saga}: its approval {row.name!r} at position {row.position} {_text(row)}")


def _wanted(answer: Answer) -> str:
    name = f"approval {answer.name!r}" if answer.name else "approval"
    return name if answer.position is None else f"{name} at position {answer.position}"


def _instead(asked: Sequence[Asked]) -> str:
    open_ones = [f"{row.name!r} at position {row.position}" for row in asked if _is_open(row)]
    return f"; it asks for {', '.join(open_ones[:10])}" if open_ones else ""


def _is_open(row: Asked) -> bool:
    return row.state == "waiting" and not row.is_late


def _fate(row: Asked) -> str:
    if row.result is not None:
        given: dict[str, Any] = json.loads(row.result)
        return f"{'approved' if given.get('approved') else 'rejected'} by {given.get('by')}"
    if row.state == "waiting":
        return "too late" if row.is_late else "open"
    return "its time was up" if row.state == "failed" else "given up"


def _text(row: Asked) -> str:
    if row.result is not None:
        return f"was {_fate(row)} already"
    if _is_open(row):
        return "came up only now: look at it, and answer again"
    return (
        "waited until its time was up" if row.is_late or row.state == "failed" else "was given up"
    )

"""What people answer in a world, as soon as they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from saga.core import codec
from saga.core.verbs import Decision
from saga.errors import InvalidInput


class Answers:
    """By name of the approval or signal. A copy begins anew."""

    def __init__(self, given: Mapping[str, tuple[Any, ...]] | None = None) -> None:
        self.given: dict[str, tuple[Any, ...]] = dict(given or {})
        self._taken: dict[str, int] = {}

    def copy(self) -> Answers:
        return Answers(self.given)

    def decision(self, name: str) -> dict[str, Any] | None:
        """The next decision about an approval; the last one is given again and again."""
        answers = self.given.get(name)
        if not answers:
            return None
        number = self._next(name)
        answer = answers[min(number, len(answers) - 1)]
        if isinstance(answer, bool):
            answer = Decision(answer, by="world")
        if isinstance(answer, Decision):
            return {"approved": answer.approved, "by": answer.by, "reason": answer.reason}
        if isinstance(answer, Mapping):
            return dict(cast("Mapping[str, Any]", answer))
        raise InvalidInput(f"approval {name}: is answered with True, False or a Decision")

    def letter(self, name: str) -> str | None:
        """The next signal of a name as JSON; None when all were sent."""
        answers = self.given.get(name, ())
        number = self._next(name)
        return codec.encode(answers[number], f"signal {name}") if number < len(answers) else None

    def _next(self, name: str) -> int:
        number = self._taken.get(name, 0)
        self._taken[name] = number + 1
        return number

"""What the demo does to itself on the way, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Mishap:
    """Something that goes wrong once a share of the expected effects stands."""

    share: float
    what: str
    happen: Callable[[], object]


@dataclass(slots=True)
class Troublemaker:
    """Lets mishaps happen in order; `done` names those that have happened."""

    pending: list[Mishap]
    done: list[str] = field(default_factory=list[str])

    def look(self, share: float) -> str | None:
        """Let the next mishap happen if it is time; gives its name."""
        if not self.pending or share < self.pending[0].share:
            return None
        mishap = self.pending.pop(0)
        mishap.happen()
        self.done.append(mishap.what)
        return mishap.what

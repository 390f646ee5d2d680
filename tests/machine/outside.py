"""The world outside of the machine: effects by key, and what goes wrong with them."""

from collections import Counter
from dataclasses import dataclass, field

from saga import Permanent, Unknown, current


@dataclass(slots=True)
class Outside:
    """It deduplicates by key. A key that was undone before it was used is void."""

    trouble: str = ""
    """How the next attempt goes wrong: fail, give_up, unknown (after the effect), unknown_before;
    a probe only fails."""
    applied: list[str] = field(default_factory=list[str])
    undone: Counter[str] = field(default_factory=Counter[str])
    order: list[str] = field(default_factory=list[str])
    """Keys in the order in which they were undone."""
    void: set[str] = field(default_factory=set[str])
    acts: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    """Requests by step or undo, and attempt."""
    seen: set[str] = field(default_factory=set[str])
    """The keys of undos."""

    def clear(self) -> None:
        """A new world."""
        self.trouble = ""
        for kept in (self.applied, self.undone, self.order, self.void, self.acts, self.seen):
            kept.clear()

    def do(self) -> str:
        """The effect of the step that runs."""
        key = self._act()
        if key in self.void:
            raise Permanent("the key is void")
        if key not in self.applied:
            self.applied.append(key)
        self._after()
        return key

    def undo(self) -> None:
        """The undo of the step whose compensation runs."""
        key = self._act()
        ctx = current()
        forward = f"{ctx.saga_id}:{ctx.position}"
        if key not in self.seen:
            self.seen.add(key)
            if forward in self.applied:
                self.undone[forward] += 1
                self.order.append(forward)
            else:
                self.void.add(forward)
        self._after()

    def find(self) -> str | None:
        """The receipt of the step's effect."""
        if self.trouble == "fail":
            raise RuntimeError("the probe is out of order")
        key = current().idempotency_key
        return key if key in self.applied else None

    def look(self) -> None:
        """No effect, but it may go wrong."""
        self._before()
        self._after()

    def _act(self) -> str:
        ctx = current()
        undo = ":undo" if ":undo" in ctx.idempotency_key else ""
        self.acts[f"{ctx.saga_id}:{ctx.position}{undo}", ctx.attempt] += 1
        self._before()
        return ctx.idempotency_key

    def _before(self) -> None:
        match self.trouble:
            case "fail":
                raise RuntimeError("out of order")
            case "give_up":
                raise Permanent("never")
            case "unknown_before":
                raise Unknown("no connection")
            case _:
                pass

    def _after(self) -> None:
        if self.trouble == "unknown":
            raise Unknown("the connection was cut")


OUTSIDE = Outside()
TROUBLES = ("", "", "", "fail", "give_up", "unknown", "unknown_before")

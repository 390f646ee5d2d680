"""What goes wrong in a world, and when."""

from __future__ import annotations

from typing import Literal

from typing_extensions import override

from saga.testing.tables import Witness
from saga.wakeups.message import ADVANCE, WakeUp, step_of

Fate = Literal["once", "lost", "doubled", "late"]
When = Literal["before", "after"]


class Killed(BaseException):
    """A worker dies. No code of a step's or a saga's sees it."""


class Faults(Witness):
    """Counts writes and deliveries from 1 on, and says what becomes of each."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.deliveries: list[str] = []

    def before(self, what: str) -> None:
        self.writes.append(what)

    def after(self, what: str) -> None:
        del what

    def fate(self, message: WakeUp) -> Fate:
        """Of a message that is about to be delivered."""
        self.deliveries.append(_told(message))
        return "once"


class Calm(Faults):
    """Nothing goes wrong."""


class Kill(Faults):
    """The worker dies just before or just after its write of this number."""

    def __init__(self, number: int, when: When) -> None:
        super().__init__()
        self._number = number
        self._when = when

    def before(self, what: str) -> None:
        super().before(what)
        self._die("before")

    @override
    def after(self, what: str) -> None:
        self._die("after")

    def _die(self, when: When) -> None:
        if len(self.writes) == self._number and when == self._when:
            self._number = -1
            raise Killed


class Stray(Faults):
    """The message of this number is lost, doubled or late."""

    def __init__(self, number: int, fate: Fate) -> None:
        super().__init__()
        self._number = number
        self._fate: Fate = fate

    def fate(self, message: WakeUp) -> Fate:
        super().fate(message)
        return self._fate if len(self.deliveries) == self._number else "once"


def _told(message: WakeUp) -> str:
    if message.task == ADVANCE:
        return "the saga's wake-up"
    return f"the wake-up of {'undo ' if message.undo else ''}{step_of(message.task)}"

"""What the history says was asked for, and what the code asks in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from saga.core.digest import digest_of, told_wait
from saga.core.intent import Intent
from saga.core.loop.divergence import Line, arguments, difference
from saga.core.loop.events import AskKind, Recorded

Asked: TypeAlias = tuple[AskKind, str, int | None]
"""Kind, name and digest: by these a replay is held against the history."""

Counted = Callable[[str], str | None]
"""Stored arguments as the code of today would ask with them, as far as they count; None: it could
not.
"""


_NOT_AT_HAND = "other arguments"
_TRIED = """
It was tried with those of its history and may have had an effect: it is not asked with others
under the same idempotency key. Deploy code that asks with those, or stop the saga (saga cancel)"""


class History:
    """The items that no ask has met yet, and where the code has parted from them. A key is a
    position, or minus a position for a scope's undo of it.

    Where nothing but the digest differs, the arguments may still say the same to today's code (a
    parameter was added, with a default): that is in `doubt`, to be decided by the arguments as they
    are stored.
    """

    __slots__ = ("_arguments", "_resumed", "doubt", "highest", "items", "skipped", "wrong")

    def __init__(self) -> None:
        self.items: dict[int, Recorded] = {}
        self.skipped: dict[int, Recorded] = {}
        self.highest = 0
        self._resumed = 0
        self.wrong: int | None = None
        self.doubt: list[int] = []
        self._arguments: dict[int, tuple[str, str]] = {}

    def add(self, key: int, item: Recorded, asked: Asked | None) -> None:
        """Take in an item; `asked`: what the code has asked in its place already."""
        self.highest = max(self.highest, key)
        if asked is None:
            (self.skipped if 0 < key < self._resumed else self.items)[key] = item
        elif asked[:2] != (item.kind, item.name) or item.digest not in (None, asked[2]):
            self.items[key] = item
            self.part(key)

    def meet(self, key: int, intent: Intent, counted: Counted | None) -> Recorded | None:
        """The item that is what the code asks for, and is met with that. None: there is none, or
        another, and then they have parted.
        """
        item = self.items.get(key)
        if item is None:
            return None
        if not (item.is_open_to_change or self._fits(key, item, intent, counted)):
            self.part(key)
            return None
        return self.items.pop(key)

    def skip(self, resumed: int) -> None:
        """A failure was taken back, and what the code asks from now on comes at `resumed` or later:
        what it asked before, when it had seen the failure, is `skipped`.
        """
        self._resumed = max(self._resumed, resumed)
        for key in sorted(key for key in self.items if 0 < key < resumed):
            self.skipped[key] = self.items.pop(key)

    def adopt(self, intent: Intent, counted: Counted | None) -> int | None:
        """The position of what was skipped and is asked for again: it is not done twice. A timer
        is: it has no effect, and its time may be over. What a signal's wait got is still there.
        """
        if intent.kind in ("timer", "signal"):
            return None
        for key, item in sorted(self.skipped.items()):
            if self._is_same(key, item, intent, counted):
                self.items[key] = self.skipped.pop(key)
                return key
        return None

    @property
    def unmet(self) -> list[int]:
        """What the code did not ask for, and should have."""
        return [key for key, item in self.items.items() if not item.again]

    def part(self, key: int) -> None:
        if self.wrong is None:
            self.wrong = key

    def difference(self, asked: Mapping[int, Asked | None], anew: Callable[[int], bool]) -> str:
        """How they part; `anew`: whether what was asked is in no history."""
        assert self.wrong is not None
        lines: list[Line] = []
        for key in sorted({*asked, *self.items, self.wrong}, key=lambda key: (abs(key), key < 0)):
            item, code = self.items.get(key), asked.get(key)
            told = code and code[:2]
            held = (item.kind, item.name) if item else None if anew(key) else told
            if held or told:
                lines.append(Line(key, held, told, key in self._arguments))
        return difference(lines, self.wrong)

    @property
    def arguments(self) -> str:
        """How the arguments differ, where they do."""
        text = arguments(self._arguments)
        held = [item for key in self._arguments if (item := self.items.get(key)) and item.again]
        return text + (_TRIED if any(item.kind in ("step", "child") for item in held) else "")

    def _is_same(self, key: int, item: Recorded, intent: Intent, counted: Counted | None) -> bool:
        """Whether what was skipped is asked for again, as far as can be told."""
        if (item.kind, item.name) != intent.signature:
            return False
        if item.digest == intent.digest or (item.digest is None and item.args is None):
            return True
        if counted is None or item.kind == "approval":
            return False
        if item.args is not None:
            stored = counted(item.args)
            return stored is not None and digest_of(stored) == intent.digest
        self.doubt.append(key)
        self._arguments[key] = _NOT_AT_HAND, counted(intent.args) or intent.args
        return False

    def _fits(self, key: int, item: Recorded, intent: Intent, counted: Counted | None) -> bool:
        if (item.kind, item.name) != intent.signature:
            return False
        if item.digest == intent.digest or (item.digest is None and item.args is None):
            return True
        if counted is None:
            self._arguments[key] = told_wait(item.digest or 0), told_wait(intent.digest or 0)
            return False
        if item.args is None:
            self.doubt.append(key)
            self._arguments[key] = _NOT_AT_HAND, counted(intent.args) or intent.args
            return True
        stored = counted(item.args)
        # The digest of an approval is of its timeout, too, which is in no arguments.
        timed = item.kind == "approval" and item.digest is not None
        if stored is not None and digest_of(stored) == intent.digest and not timed:
            return True
        self._arguments[key] = stored or item.args, counted(intent.args) or intent.args
        return False

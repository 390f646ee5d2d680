"""What a saga has asked for, held against what its history says it asked for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from saga.core.intent import TIMER, Intent, Signature
from saga.core.loop.commands import Ask, Command, Consume, Drop
from saga.core.loop.divergence import Line, difference
from saga.core.loop.events import Event, Recorded
from saga.core.states import SETTLED

if TYPE_CHECKING:
    from saga.core.loop.callbacks import Alarm
    from saga.core.loop.loop import JournalLoop


class Journal:
    """The books of one run. A key is a position, or minus a position for a scope's undo of it."""

    __slots__ = (
        "_commands",
        "_deadlines",
        "_highest",
        "_history",
        "_loop",
        "_mailbox",
        "_over",
        "_waiting",
        "applied",
        "asked",
        "closed",
        "exposed",
        "misfit",
        "open",
        "saga_id",
        "undone",
        "wrong",
    )

    def __init__(self, saga_id: UUID, loop: JournalLoop) -> None:
        self.saga_id = saga_id
        self.applied = 0
        self.exposed: str | None = None
        self.closed = False
        self.wrong: int | None = None
        self.misfit: str | None = None
        self.asked: list[Signature] = []
        self.undone: dict[int, Signature] = {}
        self.open: dict[int, asyncio.Future[Event] | Alarm] = {}
        self._loop = loop
        self._history: dict[int, Recorded] = {}
        self._highest = 0
        self._over: frozenset[int] = frozenset()
        self._commands: dict[int | tuple[str, int], Command] = {}
        self._mailbox: dict[str, deque[Event]] | None = None
        self._waiting: dict[str, deque[int]] | None = None
        self._deadlines: dict[int, float] | None = None

    def overdue(self, now: float) -> list[tuple[int, float]]:
        """The open waits for signals whose deadlines have passed, with these."""
        waits = self._deadlines.items() if self._deadlines else ()
        return [(key, due) for key, due in waits if due <= now and key in self.open]

    @property
    def is_blank(self) -> bool:
        """Nothing was ever asked for."""
        return not self._history and not self.asked

    def record(self, recorded: Iterable[Recorded]) -> None:
        """Take in what the history holds, of the past or of what was asked here."""
        over: list[int] = []
        for item in recorded:
            key = -item.position if item.undo else item.position
            asked = self._asked(key)
            if item.over and key not in self._over:
                over.append(key)
            if asked is None:
                self._history[key] = item
            elif asked != (item.kind, item.name):
                self._history[key] = item
                self._diverge(key)
            self._highest = max(self._highest, key)
        if over:
            self._over = self._over.union(over)

    def ask(self, intent: Intent, due: float | None = None) -> asyncio.Future[Event]:
        """Ask for something at the next position, which `last` then tells."""
        future = self._future()
        self._open(intent, future, due)
        return future

    def ask_undo(self, position: int, intent: Intent) -> asyncio.Future[Event]:
        """Ask for the undo of the step or child at a position."""
        future = self._future()
        signature = self.undone[position] = intent.signature
        if self._is_fresh(-position, signature):
            self._commands[-position] = Ask(position, True, intent, None, self.applied)
        self.open[-position] = future
        return future

    def ask_timer(self, due: float, alarm: Alarm) -> int:
        """Ask for a timer; the position is needed to drop it."""
        self._open(TIMER, alarm, due)
        return len(self.asked)

    def ask_signal(self, name: str, due: float | None) -> asyncio.Future[Event]:
        """Ask for the next signal of a name: one that came before, or the next that comes."""
        future = self.ask(Intent("signal", name), due)
        position = len(self.asked)
        letters = self._mailbox.get(name) if self._mailbox else None
        if letters:
            self._deliver(position, letters.popleft())
        else:
            if self._waiting is None:
                self._waiting = {}
            self._waiting.setdefault(name, deque()).append(position)
            if due is not None:
                waits = self._deadlines.items() if self._deadlines else ()
                self._deadlines = {key: at for key, at in waits if key in self.open}
                self._deadlines[position] = due
        return future

    @property
    def last(self) -> int:
        """The position that was asked for last."""
        return len(self.asked)

    def drop(self, key: int) -> bool:
        """The code no longer waits for it. False if it has settled, or was never really asked."""
        if self.closed or self.open.pop(key, None) is None:
            return False
        if self._commands.pop(key, None) is not None:
            return False
        if key not in self._over:
            self._commands["drop", key] = Drop(abs(key), key < 0)
        return True

    def linger(self, position: int) -> asyncio.Future[Event]:
        """Watch what was dropped: its outcome still comes, and counts for an undo."""
        future = self._future()
        self.open[position] = future
        self._over = self._over.union((position,))
        return future

    def drop_all(self) -> None:
        """The body has ended: nothing is waited for, but an undo that was asked for stays."""
        for key in [key for key in self.open if key > 0]:
            self.drop(key)

    def settle(self, event: Event) -> None:
        """Apply an event about a position; one about a position that was dropped is ignored.

        An undo that is blocked has settled as far as its scope is concerned; a step has not.
        """
        if event.state not in SETTLED and not event.undo:
            return
        key = -event.position if event.undo else event.position
        waiter = self.open.pop(key, None)
        if waiter is None:
            if event.position > len(self.asked) and not event.undo:
                self._diverge(key)
        elif isinstance(waiter, asyncio.Future):
            if not waiter.done():
                waiter.set_result(event)
        else:
            self._loop.ring(waiter)

    def receive(self, event: Event) -> None:
        """Apply a signal: the earliest wait of its name takes it, or it is kept for the next."""
        queue = self._waiting.get(event.name) if self._waiting else None
        while queue:
            position = queue.popleft()
            if position in self.open:
                self._deliver(position, event)
                return
        if self._mailbox is None:
            self._mailbox = {}
        self._mailbox.setdefault(event.name, deque()).append(event)

    def take(self) -> tuple[Command, ...]:
        """The commands since the last call that the history does not hold."""
        commands = tuple(self._commands.values())
        self._commands = {}
        return commands

    @property
    def faulty(self) -> bool:
        """The code and the history have parted: nothing more may be applied."""
        return self.wrong is not None or self.misfit is not None

    def check(self) -> str | None:
        """How the code and the history have parted, or None if they have not."""
        if self.misfit is None and self.wrong is None:
            if self._history:
                self.wrong = min(self._history, key=abs)
            else:
                self.wrong = self._gap()
        if self.wrong is not None:
            return difference(self._lines(), self.wrong)
        return self.misfit

    def refuse(self, reason: str) -> asyncio.Future[Event]:
        """What is stored does not fit the code's types; returns what is never done."""
        self.misfit = f"the history no longer fits the types of the code: {reason}"
        return self._future()

    def close(self) -> None:
        """Forget everything; whoever asks from now on is told to go."""
        if self.closed:
            return
        self.closed = True
        del self._loop
        for waiter in self.open.values():
            waiter.cancel()  # lets go of the task that waits for it
        self.open.clear()
        self._commands.clear()
        self._history.clear()
        self._mailbox = self._waiting = None

    def _future(self) -> asyncio.Future[Event]:
        if self.closed:
            # The coroutine is being thrown away: its `finally` must not ask for anything.
            raise GeneratorExit
        return asyncio.Future(loop=self._loop)

    def _open(
        self, intent: Intent, waiter: asyncio.Future[Event] | Alarm, due: float | None
    ) -> None:
        signature = intent.signature
        self.asked.append(signature)
        position = len(self.asked)
        self.open[position] = waiter
        if not self._history or self._is_fresh(position, signature):
            self._commands[position] = Ask(position, False, intent, due, self.applied)

    def _is_fresh(self, key: int, signature: Signature) -> bool:
        item = self._history.get(key)
        if item is None:
            return True
        if (item.kind, item.name) == signature:
            del self._history[key]
        else:
            self._diverge(key)
        return False

    def _deliver(self, position: int, event: Event) -> None:
        waiter = self.open.pop(position)
        assert isinstance(waiter, asyncio.Future)
        if position not in self._over:
            self._commands["consume", position] = Consume(position, event.number)
        if not waiter.done():
            waiter.set_result(event)

    def _asked(self, key: int) -> Signature | None:
        if key < 0:
            return self.undone.get(-key)
        return self.asked[key - 1] if key <= len(self.asked) else None

    def _diverge(self, key: int) -> None:
        if self.wrong is None:
            self.wrong = key

    def _gap(self) -> int | None:
        """A position that is asked for anew although the history holds later ones."""
        for key in self._commands:
            if isinstance(key, int) and 0 < key < self._highest and self._is_anew(key):
                return key
        return None

    def _is_anew(self, key: int) -> bool:
        """Not so for a wait whose signal had come before: it is never written down."""
        return key in self._commands and ("consume", key) not in self._commands

    def _lines(self) -> Iterator[Line]:
        keys = {*range(1, len(self.asked) + 1), *(-place for place in self.undone)}
        keys.update(self._history, () if self.wrong is None else (self.wrong,))
        for key in sorted(keys, key=lambda key: (abs(key), key < 0)):
            asked = self._asked(key)
            item = self._history.get(key)
            held = (item.kind, item.name) if item else None if self._is_anew(key) else asked
            yield Line(key, held, asked)

"""What a saga has asked for, held against what its history says it asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from uuid import UUID

from saga.core.intent import Intent
from saga.core.loop.callbacks import Alarm
from saga.core.loop.commands import Ask, Command, Consume, Drop
from saga.core.loop.events import Event, Recorded
from saga.core.loop.history import Asked, Counted, History
from saga.core.loop.mailbox import Mailbox
from saga.core.states import SETTLED

MOST_TURNED_AWAY = 100
"""How often a coroutine that is thrown away may ask for something and be told to go."""


class _Nowhere:
    """The loop of what never comes."""

    def get_debug(self) -> bool:
        return False

    def call_soon(self, *_: object, **__: object) -> None:
        pass


class Journal:
    """The books of one run. A key is a position, or minus a position for a scope's undo of it."""

    __slots__ = (
        "_commands",
        "_deadlines",
        "_history",
        "_loop",
        "_mailbox",
        "_missed",
        "_over",
        "_ring",
        "_taken",
        "_turned_away",
        "applied",
        "asked",
        "attributes",
        "closed",
        "exposed",
        "last",
        "misfit",
        "open",
        "saga_id",
        "undone",
        "unwanted",
    )

    def __init__(
        self, saga_id: UUID, loop: asyncio.AbstractEventLoop, ring: Callable[[Alarm], None]
    ) -> None:
        """`ring` makes the callback of a timer ready."""
        self.saga_id = saga_id
        self.applied = 0
        self.exposed: str | None = None
        self.attributes: str | None = None
        self.closed = False
        self.misfit: str | None = None
        self.asked: list[Asked | None] = []
        self.last = 0
        """The position that was asked for last."""
        self.undone: dict[int, Asked] = {}
        self.open: dict[int, asyncio.Future[Event] | Alarm] = {}
        self.unwanted: frozenset[int] = frozenset()
        """Steps and children that were dropped and have not settled: they may still go on."""
        self._loop = loop
        self._ring = ring
        self._history = History()
        self._over: frozenset[int] = frozenset()
        self._commands: dict[int | tuple[str, int], Command] = {}
        self._taken: dict[int | tuple[str, int], Command] = {}
        self._mailbox: Mailbox | None = None
        self._missed: dict[int, Event] = {}
        self._deadlines: dict[int, float] | None = None
        self._turned_away = 0

    def overdue(self, now: float) -> list[tuple[int, float]]:
        """The open waits for signals whose deadlines have passed, with these."""
        waits = self._deadlines.items() if self._deadlines else ()
        return [(key, due) for key, due in waits if due <= now and key in self.open]

    @property
    def is_blank(self) -> bool:
        """Nothing was ever asked for."""
        return not self._history.items and not self.asked

    def record(self, recorded: Iterable[Recorded]) -> None:
        """Take in what the history holds, of the past or of what was asked here."""
        over: list[int] = []
        for item in recorded:
            key = -item.position if item.undo else item.position
            if item.over and key not in self._over:
                over.append(key)
            self._history.add(key, item, self._asked(key))
        if over:
            self._over = self._over.union(over)

    def ask(
        self, intent: Intent, due: float | None = None, counted: Counted | None = None
    ) -> asyncio.Future[Event]:
        """Ask for something at the next position, which `last` then tells."""
        future = self._future()
        self._open(intent, future, due, counted)
        return future

    def ask_undo(self, position: int, intent: Intent) -> asyncio.Future[Event]:
        """Ask for the undo of the step or child at a position."""
        future = self._future()
        self.undone[position] = *intent.signature, None
        if -position in self._history.items:
            self._history.meet(-position, intent, None)
        else:
            self._commands[-position] = Ask(position, True, intent, None, self.applied)
        self.open[-position] = future
        return future

    def ask_timer(self, intent: Intent, due: float, alarm: Alarm) -> int:
        """Ask for a timer; the position is needed to drop it."""
        self._open(intent, alarm, due, None)
        return self.last

    def ask_signal(self, intent: Intent, due: float | None) -> asyncio.Future[Event]:
        """Ask for the next signal of a name: one that came before, or the next that comes."""
        future = self.ask(intent, due)
        if self._mailbox is None:
            self._mailbox = Mailbox()
        letter = self._mailbox.take(intent.name, self.last)
        if letter is not None:
            self._deliver(self.last, letter)
        elif due is not None:
            waits = self._deadlines.items() if self._deadlines else ()
            self._deadlines = {key: at for key, at in waits if key in self.open}
            self._deadlines[self.last] = due
        return future

    def drop(self, key: int) -> bool:
        """The code no longer waits for it. False if it has settled, or was never really asked."""
        if self.closed or self.open.pop(key, None) is None:
            return False
        if self._commands.pop(key, None) is not None:
            return False
        if key not in self._over:
            self._commands["drop", key] = Drop(abs(key), key < 0)
            asked = self._asked(key)
            if key > 0 and asked is not None and asked[0] in ("step", "child"):
                self.unwanted = self.unwanted.union((key,))
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
        if key in self.unwanted:
            self.unwanted = self.unwanted.difference((key,))
        waiter = self.open.pop(key, None)
        if waiter is None:
            self._miss(key, event)
        elif isinstance(waiter, asyncio.Future):
            if not waiter.done():
                waiter.set_result(event)
        else:
            self._ring(waiter)

    def take_back(self, resumed: int) -> None:
        """In the place of a failure. What the code asks from here on has positions from `resumed`,
        or is what it had asked when it saw the failure, whose outcome it then gets.
        """
        self.asked.extend([None] * (resumed - 1 - len(self.asked)))
        self._history.skip(resumed)

    def receive(self, event: Event) -> None:
        """Apply a signal: the earliest wait of its name takes it, or it is kept for the next."""
        if self._mailbox is None:
            self._mailbox = Mailbox()
        position = self._mailbox.put(event, self.open)
        if position is not None:
            self._deliver(position, event)

    def take(self) -> tuple[Command, ...]:
        """The commands since the last call that the history does not hold."""
        self._taken, self._commands = self._commands, {}
        return tuple(self._taken.values())

    def put_back(self) -> None:
        """What was taken last has not been written: it is still to be."""
        self._commands = self._taken | self._commands
        self._taken = {}

    @property
    def faulty(self) -> bool:
        """The code and the history have parted: nothing more may be applied."""
        return self._history.wrong is not None or self.misfit is not None

    @property
    def doubt(self) -> list[int]:
        """Positions at which the stored arguments decide whether the code fits its history."""
        return self._history.doubt

    @property
    def arguments(self) -> str:
        """How arguments differ, where they do."""
        return self._history.arguments

    def check(self) -> str | None:
        """How the code and the history have parted, or None if they have not."""
        history = self._history
        if not self.faulty:
            left = history.doubt or history.unmet
            history.wrong = min(left, key=abs) if left else self._gap()
        if history.wrong is None:
            return self.misfit
        asked = {key: asked for key, asked in enumerate(self.asked, 1) if asked}
        asked.update((-position, undo) for position, undo in self.undone.items())
        return history.difference(asked, self._is_anew)

    def refuse(self, reason: str) -> asyncio.Future[Event]:
        """What is stored does not fit the code's types; returns what is never done."""
        self.misfit = f"the history no longer fits the types of the code: {reason}"
        return self._future()

    def close(self) -> None:
        """Forget everything; whoever asks from now on is told to go."""
        if self.closed:
            return
        self.closed = True
        del self._loop, self._ring
        for waiter in self.open.values():
            waiter.cancel()  # lets go of the task that waits for it
        self.open.clear()
        self._commands.clear()
        self._taken.clear()
        self._history = History()
        self._mailbox = None

    def _future(self) -> asyncio.Future[Event]:
        if self.closed:
            # The coroutine is being thrown away: its `finally` must not ask for anything. One that
            # takes no notice and asks again and again gets what never comes.
            self._turned_away += 1
            if self._turned_away > MOST_TURNED_AWAY:
                return asyncio.Future(loop=_Nowhere())  # type: ignore[arg-type]
            raise GeneratorExit
        return asyncio.Future(loop=self._loop)

    def _open(
        self,
        intent: Intent,
        waiter: asyncio.Future[Event] | Alarm,
        due: float | None,
        counted: Counted | None,
    ) -> None:
        asked: Asked = intent.kind, intent.name, intent.digest
        history = self._history
        adopted = history.adopt(intent, counted) if history.skipped else None
        if adopted is None:
            self.asked.append(asked)
            position = len(self.asked)
        else:
            self.asked[adopted - 1] = asked
            position = adopted
        self.last = position
        self.open[position] = waiter
        item = history.items.get(position) if history.items else None
        if item is None:
            self._commands[position] = Ask(position, False, intent, due, self.applied)
        elif history.meet(position, intent, counted) and item.again:
            self._commands[position] = Ask(position, False, intent, due, self.applied, again=True)
        if adopted in self._missed:
            self.settle(self._missed.pop(adopted))

    def _deliver(self, position: int, event: Event) -> None:
        waiter = self.open.pop(position)
        assert isinstance(waiter, asyncio.Future)
        if position not in self._over:
            self._commands["consume", position] = Consume(position, event.number)
        if not waiter.done():
            waiter.set_result(event)

    def _asked(self, key: int) -> Asked | None:
        if key < 0:
            return self.undone.get(-key)
        return self.asked[key - 1] if key <= len(self.asked) else None

    def _miss(self, key: int, event: Event) -> None:
        """Nobody waits for it: it was dropped, or it was skipped and may be adopted yet."""
        if key > len(self.asked):
            self._history.part(key)
        elif key > 0 and self.asked[key - 1] is None:
            self._missed[key] = event

    def _gap(self) -> int | None:
        """A position that is asked for anew although the history holds later ones."""
        for key in self._commands:
            if isinstance(key, int) and 0 < key < self._history.highest and self._is_anew(key):
                return key
        return None

    def _is_anew(self, key: int) -> bool:
        """Not so for a wait whose signal had come before: it is never written down."""
        command = self._commands.get(key)
        is_new = isinstance(command, Ask) and not command.again
        return is_new and ("consume", key) not in self._commands

"""A run that is checked: at each decision the code is run again, and must ask for the same.

It finds what a replay would find days later: clocks, chance and globals in a saga's code. It costs
a replay from the start each time and is for development and tests.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import sys
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, NamedTuple
from uuid import UUID

from saga.core.declare.definitions import SagaDefinition
from saga.core.intent import Intent
from saga.core.loop.audit import is_users, place
from saga.core.loop.events import Event, Recorded
from saga.core.loop.journal import Journal
from saga.core.loop.python_order import ORDERS, Order
from saga.core.replay import Decision, Run, Verdict
from saga.errors import Divergence

CHECK_REPLAYS = "SAGA_CHECK_REPLAYS"
"""The environment variable by which workers check; `saga dev` sets it for its own."""

CLOCKS = frozenset(
    getattr(time, name + unit)
    for name in ("time", "monotonic", "perf_counter", "process_time")
    for unit in ("", "_ns")
) | {time.localtime, time.gmtime, time.ctime}
_CHANCE: Any = getattr(random, "_inst")  # noqa: B009
VERBS = {"uuid": "uuid()", "random": "random()", "secrets": "random()", "os": "random()"}


class Told(NamedTuple):
    """One thing that was asked for, and the line."""

    key: int
    intent: Intent
    due: float | None
    place: str

    @property
    def asked(self) -> tuple[object, ...]:
        """What has to be the same."""
        return self.key, self.intent.signature, self.intent.digest, self.due

    def __str__(self) -> str:
        due = "" if self.due is None else f" until {self.due}"
        undo = "undo " if self.key < 0 else ""
        return f"{undo}{' '.join(self.intent.signature)} {self.intent.args[:400]}{due}"


class Seen(NamedTuple):
    """A call that gives something else each time."""

    asked_before: int
    call: str
    verb: str
    place: str


class _Journal(Journal):
    """It notes all that is asked for, with its line."""

    __slots__ = ("told",)

    def __init__(self, saga_id: UUID, loop: Any) -> None:
        super().__init__(saga_id, loop, loop.ring)
        self.told: list[Told] = []

    def _open(self, intent: Intent, *more: Any, **others: Any) -> None:
        due = next((one for one in more if isinstance(one, float)), others.get("due"))
        self._note(len(self.asked) + 1, intent, due)
        super()._open(intent, *more, **others)

    def ask_undo(self, position: int, intent: Intent) -> Any:
        self._note(-position, intent, None)
        return super().ask_undo(position, intent)

    def _note(self, key: int, intent: Intent, due: float | None) -> None:
        self.told.append(Told(key, intent, due, place(sys._getframe(2))))  # pyright: ignore[reportPrivateUsage]


class CheckedRun(Run):
    """A run whose decisions raise Divergence if the code, run again, asks for something else."""

    __slots__ = ("_again", "_done", "_told")

    def __init__(
        self,
        definition: SagaDefinition[..., Any],
        saga_id: UUID,
        input: str,  # noqa: A002
        started_at: float,
        recorded: Iterable[Recorded] = (),
        order: Order = ORDERS[0],
    ) -> None:
        super().__init__(definition, saga_id, input, started_at, (), order)
        held = tuple(recorded)
        self._again = definition, saga_id, input, started_at, held, order
        self._done: list[tuple[list[Event], list[Recorded]] | None] = []  # None: decided
        self._loop.journal = self._told = _Journal(saga_id, self._loop)
        self._told.record(held)

    def catch_up(self, events: Iterable[Event], recorded: Iterable[Recorded] = ()) -> None:
        happened, held = list(events), list(recorded)
        self._done.append((happened, held))
        super().catch_up(happened, held)

    def decide(self) -> Decision:
        decision = super().decide()
        again = CheckedRun(*self._again)
        try:
            seen = _watched(again.told, lambda: again.repeat(self._done))
            wrong = _difference(self, decision, again)
        finally:
            again.close()
        if wrong is not None:
            raise Divergence(f"{self.definition!r}: {wrong[1]}{_hint(seen, wrong[0])}")
        self._done.append(None)
        return decision

    def put_back(self) -> None:
        super().put_back()
        self._done.pop()

    def repeat(self, done: list[tuple[list[Event], list[Recorded]] | None]) -> None:
        """Do what another run did, without checking."""
        for part in done:
            if part is None:
                self._told.take()
            else:
                self.catch_up(*part)

    @property
    def told(self) -> list[Told]:
        """All that was asked for so far."""
        return self._told.told

    @property
    def verdict(self) -> Verdict:
        return self._verdict


def _difference(first: CheckedRun, decision: Decision, again: CheckedRun) -> tuple[int, str] | None:
    """The number of the ask before which the two parted, and how."""
    one, other = first.told, again.told
    for number, (told, anew) in enumerate(zip(one, other, strict=False), 1):
        if told.asked != anew.asked:
            return number, _parted(f"position {abs(told.key)}, {told.place}", told, anew)
    if len(one) != len(other):
        number = min(len(one), len(other)) + 1
        extra = max(one, other, key=len)[number - 1]
        return number, _parted(
            f"position {abs(extra.key)}, {extra.place}",
            extra if extra in one else "nothing",
            extra if extra in other else "nothing",
        )
    for what, then, now in (
        ("what it exposes", decision.exposed, again.exposed),
        ("its attributes", decision.attributes, again.attributes),
        ("its end", decision.verdict, again.verdict),
    ):
        if then != now:
            return len(one) + 1, _parted(what, then, now)
    return None


def _parted(where: str, first: object, then: object) -> str:
    return (
        f"its code, run again with the same journal, goes another way: {where}\n"
        f"  first  {first}\n  then   {then}"
    )


def _hint(seen: list[Seen], number: int) -> str:
    """The last thing before it that gives something else each time."""
    for one in reversed(seen):
        if one.asked_before < number:
            return f"\n{one.call} at {one.place} gives something else each time: use {one.verb}"
    return "\nnothing that a saga may use has changed in between: does it use a global?"


def _watched(told: list[Told], run: Callable[[], None]) -> list[Seen]:
    """Note the calls of the user's code that give something else in each run."""
    seen: list[Seen] = []

    def watch(frame: FrameType, event: str, called: Any) -> None:
        if event != "c_call" or not _varies(called):
            return
        name = _name(called)
        outer: FrameType | None = frame
        while outer is not None and not is_users(outer):
            name = f"{outer.f_globals.get('__name__')}.{outer.f_code.co_name}"
            outer = outer.f_back
        module = name.partition(".")[0]
        if outer is not None and module not in ("logging", "saga"):
            verb = VERBS.get(module, "now()")
            seen.append(Seen(len(told), f"{name}()", verb, place(frame)))

    before: Any = sys.getprofile()
    if not (before is None or callable(before)):
        run()  # a profiler written in C, which nobody else could put back
        return seen
    sys.setprofile(watch)
    try:
        run()
    finally:
        sys.setprofile(before)
    return seen


def _name(called: Any) -> str:
    if called is os.urandom:
        return "os.urandom"
    if getattr(called, "__self__", None) is _CHANCE:
        return f"random.{called.__name__}"
    return f"{called.__module__ or 'datetime'}.{called.__name__}"


def _varies(called: Any) -> bool:
    of = getattr(called, "__self__", None)
    if isinstance(of, type):
        return issubclass(of, dt.date) and called.__name__ in ("now", "utcnow", "today")
    return (
        of is _CHANCE
        or called is os.urandom
        or called in CLOCKS
        or (called.__name__ == "generate_time_safe")
    )

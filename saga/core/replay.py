"""One live saga: events in, commands and a verdict out."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from saga.core import failures
from saga.core.declare.definitions import SagaDefinition
from saga.core.loop.commands import Command
from saga.core.loop.events import Event, Recorded
from saga.core.loop.loop import JournalLoop
from saga.core.loop.python_order import ORDERS, Order
from saga.errors import Divergence, InvalidInput, NotDeterministic


@dataclass(frozen=True, slots=True)
class Waiting:
    """The saga waits for something that it asked for."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The body has returned."""

    result: str
    """JSON."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The body has raised."""

    error: str
    """JSON: `{"type", "message", "at"?, "step"?, "name"?}`, the last two of a step that failed."""
    traceback: str | None = field(default=None, compare=False)
    cause: BaseException | None = field(default=None, compare=False)


Verdict: TypeAlias = Waiting | Finished | Failed


class Decision(NamedTuple):
    """What a saga wants now."""

    commands: tuple[Command, ...]
    verdict: Verdict
    exposed: str | None
    """JSON of what `expose()` was last given."""
    attributes: str | None
    """JSON of all that the code has given to `attributes()`."""
    unwanted: frozenset[int]
    """Steps and children that the code has dropped and that have not settled, whenever that was: a
    step that ran may wait for its next attempt by now.
    """


class Doubt(Divergence):
    """Digests differ at these positions: a run that is given the arguments there as they are
    stored tells whether the code has parted from its history.
    """

    def __init__(self, diff: str, arguments: str, positions: Sequence[int]) -> None:
        super().__init__(diff, arguments)
        self.positions = tuple(positions)


WAITING = Waiting()
_STUCK = "the saga waits for something that no event can bring"


class Run:
    """One live saga coroutine; its only input is the journal.

    It may move between threads but not be used by two at once. Whoever makes one closes it.
    """

    __slots__ = ("__weakref__", "_ending", "_input", "_loop", "_main", "_verdict", "definition")

    def __init__(
        self,
        definition: SagaDefinition[..., Any],
        saga_id: UUID,
        input: str,  # noqa: A002 - it is what the whole of the package calls it
        started_at: float,
        recorded: Iterable[Recorded] = (),
        order: Order = ORDERS[0],
    ) -> None:
        self.definition = definition
        self._input: str | None = input
        self._loop = JournalLoop(saga_id, started_at, order)
        self._main: Any = None
        self._ending = False
        self._verdict: Verdict = WAITING
        self._loop.journal.record(recorded)

    @property
    def applied(self) -> int:
        """The number of the last event applied."""
        return self._loop.journal.applied

    @property
    def exposed(self) -> str | None:
        """JSON of what `expose()` was last given."""
        return self._loop.journal.exposed

    @property
    def attributes(self) -> str | None:
        """JSON of all that the code has given to `attributes()`."""
        return self._loop.journal.attributes

    @property
    def may_fit_otherwise(self) -> bool:
        """It does not fit its history, and might if asyncio ran things in another order."""
        return self._loop.order_matters and self._loop.journal.check() is not None

    def overdue(self, now: float) -> list[tuple[int, float]]:
        """Positions and deadlines of the waits for signals that nothing has come for by `now`."""
        return self._loop.journal.overdue(now)

    def catch_up(self, events: Iterable[Event], recorded: Iterable[Recorded] = ()) -> None:
        """Apply the events in order, letting the code run as far as it can after each.

        Events that were applied before are passed over; a gap in their numbers is a ValueError.
        """
        loop, journal = self._loop, self._loop.journal
        journal.record(recorded)
        news = [event for event in events if event.number > journal.applied]
        if not news and self._input is None:
            return
        before = loop.enter()
        try:
            self._start()
            for event in news:
                if journal.faulty:
                    break
                if event.number != journal.applied + 1:
                    raise ValueError(f"event {event.number} after {journal.applied}")
                journal.applied = event.number
                loop.now = max(loop.now, event.at)
                if event.kind == "settled":
                    journal.settle(event)
                elif event.kind == "signal":
                    journal.receive(event)
                else:
                    journal.take_back(event.position)
                self._turn()
        finally:
            loop.leave(before)

    def decide(self) -> Decision:
        """The commands that are new since the last call and not recorded, and the verdict.

        Raises Divergence if the code asked for something else than the history holds, or not for
        something that it holds; Doubt if nothing but digests of arguments says so.
        """
        if self._input is not None:
            self.catch_up(())
        journal = self._loop.journal
        diff = journal.check()
        if diff is not None:
            told = f"{self.definition!r}: {diff}", journal.arguments
            raise Doubt(*told, journal.doubt) if journal.doubt else Divergence(*told)
        return Decision(
            journal.take(), self._verdict, journal.exposed, journal.attributes, journal.unwanted
        )

    def put_back(self) -> None:
        """The last decision has not been written, and nobody else has decided since: its commands
        are part of the next one, which takes into account what has come meanwhile.
        """
        self._loop.journal.put_back()

    def close(self) -> None:
        """Throw the coroutine away. Its `finally` blocks run but can ask for nothing."""
        if not self._loop.journal.closed:
            self._loop.throw_away()
            self._main = None

    def __del__(self) -> None:
        if hasattr(self, "_loop"):
            self.close()

    def _start(self) -> None:
        text, self._input = self._input, None
        if text is None:
            return
        try:
            values = self.definition.decode_input(text)
        except InvalidInput as exc:
            if self._loop.journal.is_blank:
                self._conclude(_failed(exc))  # no code of ours ever took it
            else:
                self._loop.journal.refuse(f"the input: {exc}")
            return
        # A context of its own: what is set around the caller is not part of the history.
        self._main = self._loop.create_task(
            self.definition.call(values), name=self.definition.name, context=contextvars.Context()
        )
        self._turn()

    def _turn(self) -> None:
        if self._verdict is not WAITING:
            return
        journal = self._loop.journal
        try:
            self._loop.turn()
            if self._main.done():
                self._end()
        except NotDeterministic as exc:
            self._conclude(_failed(exc))
        if not journal.open and self._verdict is WAITING:
            self._conclude(_failed(NotDeterministic(_STUCK)))

    def _end(self) -> None:
        """As asyncio.run() does: cancel the tasks that are left, and wait until they have ended."""
        loop = self._loop
        if not self._ending:
            self._ending = True
            for task in loop.live_tasks():
                task.cancel()
            loop.turn()
        if not loop.live_tasks() or not loop.journal.open:
            self._conclude(self._outcome())

    def _conclude(self, verdict: Verdict) -> None:
        if not self._loop.journal.faulty:
            self._loop.journal.drop_all()
            self._verdict = verdict

    def _outcome(self) -> Verdict:
        main = self._main
        if main.cancelled():
            return _failed(_cancellation())
        error = main.exception()
        if error is not None:
            return _failed(error)
        try:
            return Finished(self.definition.encode_result(main.result()))
        except InvalidInput as exc:
            return _failed(exc)


def replay(
    definition: SagaDefinition[..., Any],
    saga_id: UUID,
    input: str,  # noqa: A002
    started_at: float,
    recorded: Iterable[Recorded],
    events: Iterable[Event],
    kind: type[Run] = Run,
) -> Run:
    """A run that has caught up with a history, in the order of asyncio in which it was written.

    If it fits none, the run is that in the order of today.
    """
    held, happened = tuple(recorded), tuple(events)
    runs: list[Run] = []
    try:
        for order in ORDERS:
            run = kind(definition, saga_id, input, started_at, held, order)
            runs.append(run)
            run.catch_up(happened)
            if not run.may_fit_otherwise:
                runs.remove(run)
                return run
        return runs.pop(0)
    finally:
        for run in runs:
            run.close()


def _failed(exc: BaseException) -> Failed:
    return Failed(failures.verdict(exc), failures.traceback_of(exc), exc)


def _cancellation() -> BaseException:
    return asyncio.CancelledError("the saga's own code cancelled it")

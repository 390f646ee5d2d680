"""What goes on in a world: messages are delivered, time passes, workers die."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from saga.core import codec
from saga.core.rows import StepKey, child_id
from saga.core.states import ACTIVE, CLAIMABLE, DECIDABLE, ENDED, SagaStatus, StepState
from saga.engine.advance.children import (
    compensate_children,
    recall_children,
    report_to_parents,
    start_child,
)
from saga.engine.attempt.catalog import Catalog
from saga.engine.sweep.overdue import end_of_wait, move_of, unknown, wakeup_of
from saga.errors import SagaError
from saga.storage.due import DueStep
from saga.testing.answers import Answers
from saga.testing.faults import Calm, Faults, Killed
from saga.testing.store import MemoryStore
from saga.testing.tables import Letter, Saga, Step, Tables
from saga.testing.worker import Broker, Worker
from saga.wakeups.message import ADVANCE, WakeUp

_WAITS = ("timer", "signal", "approval")
_MOST_ROUNDS = 10_000
_IN_VAIN = 3
_EVERY = 2.0  # seconds after which a wake-up is taken for lost, doubled each time


class Play:
    """One course of events from the start of a world on."""

    def __init__(
        self,
        catalog: Catalog,
        now: float,
        answers: Answers,
        *,
        faults: Faults | None = None,
        **options: Any,
    ) -> None:
        self._faults = faults or Calm()
        self.tables = Tables(now, self._faults)
        self.store = MemoryStore(self.tables)
        self._broker = Broker()
        self._late: list[WakeUp] = []
        self._answers = answers
        self._hire: Callable[[], Worker] = lambda: Worker(
            self.tables, self._broker, catalog, **options
        )
        self._worker = self._hire()

    def close(self) -> None:
        """Whatever still runs is thrown away."""
        self._worker.close()

    # -- what people do

    def start(self, name: str, version: int, queue: str, input_: str) -> UUID:
        """Starts a saga; its id is the same in each play."""
        saga_id = uuid5(NAMESPACE_URL, f"saga:world:{len(self.tables.sagas)}")
        self.store.start(saga_id, name, version, queue, input_)
        self._wake(self.tables.sagas[saga_id])
        return saga_id

    def signal(self, saga: Saga, name: str, payload: str) -> None:
        """The next event of a saga that takes signals."""
        saga.events += 1
        saga.letters.append(Letter(saga.events, self.tables.now, name, payload))
        saga.due_at, saga.wakes = self.tables.now + _EVERY, 0
        self._wake(saga)

    def answer(self, saga: Saga, approval: Step, given: dict[str, Any]) -> None:
        """An approval that is open is decided."""
        saga.move_step(approval, StepState.SUCCEEDED)
        saga.events += 1
        approval.result, approval.event = codec.encode(given, "approval"), saga.events
        approval.settled_at, approval.due_at = self.tables.now, None
        saga.due_at, saga.wakes = self.tables.now + _EVERY, 0
        self._wake(saga)

    def turn_round(self, saga: Saga, cause: str, error: str) -> None:
        """It is cancelled, or compensated by hand."""
        self.store.turn_round(saga, cause, saga.error or error)
        self._wake(saga)

    def _wake(self, saga: Saga) -> None:
        self._broker.publish([WakeUp(saga.queue, ADVANCE, saga.id)])

    # -- what happens

    def settle(self) -> None:
        """Until all that is left to wait for is people, and times that somebody has planned.

        Retries do not wait for anybody: the time that they need passes.
        """
        for _ in range(_MOST_ROUNDS):
            if not (
                self._deliver() or self._give_answers() or self._look_after() or self._catch_up()
            ):
                return
        raise SagaError(f"after {_MOST_ROUNDS} rounds the sagas of this world still go on")

    def skip(self, seconds: float) -> None:
        """Time passes, and what is due on the way happens at its time."""
        until = self.tables.now + seconds
        self.settle()
        while (due := min(self._planned(), default=until + 1)) <= until:
            self._pass_to(due)
            self.settle()
        self.tables.now = max(self.tables.now, until)

    def finish(self, saga_id: UUID) -> Saga:
        """Until a saga has ended, or waits for what no time brings."""
        self.settle()
        saga = self.tables.sagas[saga_id]
        for _ in range(_MOST_ROUNDS):
            due = min(self._planned(), default=None)
            if saga.status in ENDED or due is None:
                return saga
            self._pass_to(due)
            self.settle()
        raise SagaError(f"{saga.name} goes on for ever: start() it, and skip() the time")

    def _planned(self) -> Iterator[float]:
        """When timers and deadlines come."""
        for step in self.tables.steps():
            if step.intent.kind in _WAITS and step.due_at is not None:
                yield step.due_at

    # -- the rounds

    def _deliver(self) -> bool:
        messages = self._broker.messages
        if not messages:
            return False
        message = messages.pop(0)
        fate = self._faults.fate(message)
        if fate == "doubled":
            messages.append(message)
        if fate in ("late", "doubled"):
            self._late.append(message)
        if fate not in ("late", "lost"):
            self._guarded(lambda: self._worker.take(message))
        return True

    def _guarded(self, act: Callable[[], object]) -> None:
        try:
            act()
        except Killed:
            self._worker.close()
            self._take_over()
            self._worker = self._hire()

    def _take_over(self) -> None:
        """What a dead worker held."""
        for step in list(self.tables.steps()):
            if step.worker_id is not None and step.worker_id not in self.tables.workers:
                row = self._due(step)
                if self.store.record([unknown(row, "the worker is gone", "lost")]):
                    self._broker.publish([wakeup_of(row)])

    def _give_answers(self) -> bool:
        for saga in list(self.tables.sagas.values()):
            for step in [s for s in saga.steps.values() if s.state == StepState.WAITING]:
                if saga.status == SagaStatus.RUNNING and self._give_answer(saga, step):
                    return True
        return False

    def _give_answer(self, saga: Saga, step: Step) -> bool:
        kind, name = step.intent.signature
        if kind == "approval":
            decision = self._answers.decision(name)
            if decision is not None:
                self.answer(saga, step, decision)
            return decision is not None
        if kind != "signal" or any(x.name == name and not x.consumed_by for x in saga.letters):
            return False
        letter = self._answers.letter(name)
        if letter is not None:
            self.signal(saga, name, letter)
        return letter is not None

    def _look_after(self) -> bool:
        """Children whose start, end or undoing was lost with a process."""
        steps = [s for s in self.tables.steps() if s.intent.kind == "child"]
        waiting = [s for s in steps if s.state == StepState.WAITING]
        if not waiting:
            return False
        before = self.tables.writes, len(self._broker.messages)
        self._guarded(lambda: self._look_after_children([step.key for step in waiting]))
        return before != (self.tables.writes, len(self._broker.messages))

    def _look_after_children(self, keys: list[StepKey]) -> None:
        wanted = [(*key[:2], child_id(*key[:2])) for key in keys if not key.undo]
        ids = [child for _, _, child in wanted]
        for parent, position, intent in self.store.lost_children(wanted):
            start_child(parent, position, intent, self.store, self._broker)
        recall_children(ids, self.store, self._broker, parent_stops=True)
        report_to_parents(ids, self.store, self._broker)
        undone = [key[:2] for key in keys if key.undo]
        compensate_children(undone, self.store, self._broker)

    def _catch_up(self) -> bool:
        """Time passes up to what waits for nobody; first comes what was planned for before."""
        due = min(self._overdue(), default=None)
        if due is None:
            late, self._late = self._late, []
            self._broker.publish(late)
            return bool(late)
        self._pass_to(min([due, *self._planned()]))
        return True

    def _overdue(self) -> Iterator[float]:
        """When retries are due, and when wake-ups that were lost are sent again. What was woken in
        vain a few times waits for a person.
        """
        for saga in self.tables.sagas.values():
            is_on_its_way = saga.status in DECIDABLE and saga.wakes <= _IN_VAIN
            if saga.due_at is not None and is_on_its_way:
                yield saga.due_at
            for step in saga.steps.values():
                is_awake = step.intent.kind == "step" and step.wakes <= _IN_VAIN
                if step.due_at is not None and is_awake:
                    yield step.due_at

    def _pass_to(self, due: float) -> None:
        self.tables.now = max(self.tables.now, due)
        self._guarded(self._sweep)

    # -- what the sweeper does

    def _sweep(self) -> None:
        """What has been due for longest; the next round takes what comes then."""
        now = self.tables.now
        due = [step for step in self.tables.steps() if _is_due(step, now)]
        first = min(map(_turn, due), default=None)
        for step in due:
            if _turn(step) == first:
                self._sweep_step(step)
        for saga in self.tables.sagas.values():
            if saga.due_at is not None and saga.due_at <= now and saga.status in ACTIVE:
                saga.wakes, saga.due_at = saga.wakes + 1, now + _patience(saga.wakes)
                self._send(WakeUp(saga.queue, ADVANCE, saga.id))

    def _sweep_step(self, step: Step) -> None:
        row = self._due(step)
        if step.state in CLAIMABLE:
            step.due_at, step.wakes = self.tables.now + _patience(step.wakes), step.wakes + 1
            self._send(wakeup_of(row))
        elif step.intent.kind == "signal":
            if self._is_overtaken(step) or not self.store.record([end_of_wait(row)]):
                step.due_at, step.wakes = self.tables.now + _patience(step.wakes), step.wakes + 1
            self._send(wakeup_of(row))
        else:
            move = move_of(row)
            if move is not None and self.store.record([move]):
                self._send(wakeup_of(row))

    def _is_overtaken(self, step: Step) -> bool:
        """See `due.expire`."""
        letters = self.tables.sagas[step.key.saga_id].letters
        name = step.intent.name
        if any(x.event > step.after and x.name == name and not x.consumed_by for x in letters):
            return True
        return step.deadline is not None and step.deadline < step.asked_at + 1

    def _send(self, wakeup: WakeUp) -> None:
        if not self._broker.waits_for(wakeup):
            self._broker.publish([wakeup])

    def _due(self, step: Step) -> DueStep:
        intent, queue = step.intent, self.tables.sagas[step.key.saga_id].queue
        return DueStep(
            *step.key, intent.kind, intent.name, intent.queue, step.state, step.attempt, queue
        )


def _is_due(step: Step, now: float) -> bool:
    return step.intent.kind != "child" and step.due_at is not None and step.due_at <= now


def _turn(step: Step) -> tuple[float, int]:
    """What was planned at once for one time comes at once; else one comes after the other."""
    return step.due_at or 0.0, step.planned


def _patience(wakes: int) -> float:
    return _EVERY * 2 ** max(0, min(wakes, 10))

"""The hot statements on tables in memory: rows in, rows out, as `storage.hot.store` has them.

What decides is the engine's own; this is only what Postgres does for it. A test runs random sagas
on both and compares all that becomes of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from uuid import UUID

from typing_extensions import override

from saga.core.intent import Intent
from saga.core.rows import StepKey, StepRow, child_id
from saga.core.states import (
    ACTIVE,
    BEGUN,
    CLAIMABLE,
    ENDED,
    FORWARD,
    REOPENABLE,
    RESULTLESS,
    SETTLED,
    TURNED,
    SagaStatus,
    StepState,
)
from saga.core.undo.plan import Choice
from saga.storage.hot.rows import (
    Claimed,
    Known,
    Landed,
    Landing,
    Loaded,
    LoadedSignal,
    LoadedStep,
    Move,
    NewStep,
    Seen,
    Settled,
)
from saga.storage.hot.store import Moved, Store, idle_row
from saga.storage.turning.by_hand import Held
from saga.storage.turning.take_back import TAKEN_BACK
from saga.testing.tables import Letter, Note, Saga, Step, Tables

_LATER = 2.0  # seconds until the sweeper looks
_CANCELLED = '{"type": "Cancelled", "message": "its parent does not go on"}'


class MemoryStore(Store):
    """One for all: nothing else writes at the same time."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    # -- writing

    def land(self, landings: Sequence[Landing], worker_id: int | None) -> dict[UUID, Landed]:
        landed: dict[UUID, Landed] = {}
        for landing in landings:
            saga = self._tables.sagas.get(landing.saga_id)
            if saga is None or _seen(saga) != landing.seen:
                continue
            if landing.grants and worker_id not in self._tables.workers:
                continue
            with self._tables.write(_told(saga, landing)):
                self._write(saga, landing, worker_id)
            landed[saga.id] = Landed(True, saga.fence, saga.seq)
        return landed

    def _write(self, saga: Saga, landing: Landing, worker_id: int | None) -> None:
        before, now = saga.events, self._tables.now
        for end in landing.settled:
            self._settle(saga, end)
        for asked in landing.asked:
            self._ask(saga, asked, worker_id)
        saga.events = saga.applied = before + landing.new_events
        went_on = landing.status is not None and landing.status in FORWARD
        if went_on or (landing.seen.applied == saga.events and landing.transitions > 0):
            saga.fence += 1
        if landing.status is not None:
            saga.move(landing.status, landing.note)
        saga.result = landing.result or saga.result
        saga.error = landing.error or saga.error
        saga.exposed = landing.exposed or saga.exposed
        saga.undo_cause = landing.undo_cause or saga.undo_cause
        saga.note, saga.wakes = landing.note, 0
        saga.due_at = None if landing.due_in is None else now + landing.due_in
        for position, event in landing.consumed:
            next(one for one in saga.letters if one.event == event).consumed_by = position

    def _settle(self, saga: Saga, end: Settled) -> None:
        step = saga.steps[end.position, end.undo]
        saga.move_step(step, end.state, end.attempt, end.reason)
        step.result, step.error, step.in_doubt = end.result, end.error, end.in_doubt
        step.event = None if end.event is None else saga.events + end.event
        step.settled_at, step.worker_id, step.due_at, step.note = end.at, None, None, None
        self._note_undo(step)

    def _ask(self, saga: Saga, asked: NewStep, worker_id: int | None) -> None:
        now, due, intent = self._tables.now, asked.due, asked.intent
        if due is None and asked.due_in is not None:
            due = now + asked.due_in
        if asked.undo:  # it takes back what was asked for then
            intent = intent._replace(args=saga.steps[asked.position, False].intent.args)
        key = StepKey(saga.id, asked.position, asked.undo)
        step = Step(key, intent, asked.state, asked.after, now, asked.due, due)
        step.planned = self._tables.writes
        if asked.state == StepState.RUNNING:
            step.attempt, step.worker_id = 1, worker_id
        assert key[1:] not in saga.steps, "asked for twice"
        saga.steps[key[1:]] = step
        saga.tell(key, None, asked.state, step.attempt or None)

    def record(self, moves: Sequence[Move], apply_within: float = _LATER) -> Moved:
        landed: Moved = {}
        for move in sorted(moves, key=lambda move: move.key):
            step = self._tables.step(move.key)
            if step is None or step.state != move.before:
                continue
            if move.attempt is not None and move.attempt != step.attempt:
                continue
            with self._tables.write(f"{_name(step)} is {move.after}"):
                landed[move.key] = self._record(step, move, apply_within)
        return landed

    def _record(self, step: Step, move: Move, apply_within: float) -> int | None:
        saga, now = self._tables.sagas[move.key.saga_id], self._tables.now
        is_new = move.is_event and step.event is None
        fences = move.fences or (move.is_event and not is_new)
        saga.move_step(step, move.after, step.attempt, move.reason)
        saga.events += is_new
        saga.fence += fences
        if (is_new or fences) and saga.status in ACTIVE:
            saga.due_at, saga.wakes = now + apply_within, 0
        by_its_worker = move.worker_id is not None
        step.result = step.result if move.result is None else move.result
        step.error, step.note, step.worker_id = move.error, move.note, None
        step.in_doubt = step.in_doubt if move.in_doubt is None else move.in_doubt
        step.event = saga.events if is_new else step.event
        step.forgiven += 1 if move.void == "not begun" else step.lost if by_its_worker else 0
        step.lost = step.lost + 1 if move.void == "lost" else 0 if by_its_worker else step.lost
        step.wakes = -1 if by_its_worker and move.after == StepState.UNKNOWN else 0
        step.due_at = None if move.due_in is None else now + move.due_in
        step.planned = self._tables.writes
        is_over = move.after in SETTLED
        step.settled_at = (now if move.at is None else move.at) if is_over else None
        self._note_undo(step)
        return saga.events if is_new else None

    def _note_undo(self, step: Step) -> None:
        if step.key.undo and step.state == StepState.SUCCEEDED:
            self._tables.undone.append(step.key)

    def claim(
        self, wanted: Sequence[tuple[StepKey, float | None]], worker_id: int
    ) -> list[Claimed]:
        found: list[Claimed] = []
        for key, limit in wanted:
            saga, step = self._tables.sagas.get(key.saga_id), self._tables.step(key)
            if saga is None or step is None or not self._may_claim(saga, step, worker_id):
                continue
            with self._tables.write(f"{_name(step)} is taken up"):
                saga.move_step(step, StepState.RUNNING, step.attempt + 1)
                step.attempt += 1
                step.worker_id, step.wakes, step.note = worker_id, 0, None
                step.due_at = None if limit is None else self._tables.now + limit
            found.append(self._claimed(saga, step))
        return found

    def _may_claim(self, saga: Saga, step: Step, worker_id: int) -> bool:
        now = self._tables.now
        is_free = step.intent.kind == "step" and step.state in CLAIMABLE
        is_sent = step.wakes >= 0 or (step.due_at is not None and step.due_at <= now)
        is_wanted = step.key.undo or saga.status in FORWARD
        return is_free and is_sent and is_wanted and worker_id in self._tables.workers

    def _claimed(self, saga: Saga, step: Step) -> Claimed:
        forward = saga.steps.get((step.key.position, False))
        return Claimed(
            *step.key,
            step.intent,
            step.attempt,
            step.in_doubt,
            saga.name,
            saga.events,
            saga.applied,
            saga.fence,
            step.forgiven,
            step.lost,
            forward.result if step.key.undo and forward else None,
            None,
        )

    def note(self, key: StepKey, why: str) -> None:
        step = self._tables.step(key)
        if step is not None and step.state in CLAIMABLE:
            step.note = why

    def note_rejected(self, move: Move, reason: str) -> bool:
        saga = self._tables.sagas[move.key.saga_id]
        told = Note(*move.key[1:], "running", move.after, move.attempt)
        if any(one[:5] == told[:5] for one in saga.history):
            return False
        with self._tables.write(f"a late outcome of {move.key.position}"):
            saga.tell(move.key, None, "rejected", move.attempt, reason)
        return True

    # -- reading

    @override
    def load(
        self, wanted: Iterable[Known], worker_id: int, advancing: Sequence[UUID] = ()
    ) -> list[Loaded]:
        found = ((known, self._tables.sagas.get(known.saga_id)) for known in wanted)
        return [_loaded(saga, known) for known, saga in found if saga is not None]

    def arguments(self, saga_id: UUID, positions: Sequence[int]) -> dict[int, str]:
        steps = self._tables.sagas[saga_id].steps
        return {position: steps[position, False].intent.args for position in positions}

    @override
    def other_pythons(self, saga_id: UUID) -> str | None:
        return None

    def load_steps_of_each(self, saga_ids: Sequence[UUID]) -> dict[UUID, list[StepRow]]:
        idle = self.idle_children(saga_ids)
        return {
            saga_id: [
                idle_row(row) if row[:2] in idle else row
                for row in self._tables.sagas[saga_id].rows
            ]
            for saga_id in saga_ids
        }

    def stream_steps(self, saga_id: UUID) -> list[StepRow]:
        return self.load_steps(saga_id)

    def idle_children(self, parents: Sequence[UUID]) -> set[tuple[UUID, int]]:
        children = [saga for parent in parents for saga in self._children(parent)]
        return {
            (saga.parent, saga.parent_position)
            for saga in children
            if saga.parent is not None
            and saga.parent_position is not None
            and saga.status == SagaStatus.COMPLETED
            and not self._has_begun(saga)
        }

    def _has_begun(self, saga: Saga) -> bool:
        own = (step for step in saga.steps.values() if not step.key.undo)
        if any(step.intent.compensation is not None and step.attempt > 0 for step in own):
            return True
        return any(map(self._has_begun, self._children(saga.id)))

    def _children(self, saga_id: UUID) -> list[Saga]:
        return [saga for saga in self._tables.sagas.values() if saga.parent == saga_id]

    def load_some_steps(self, keys: Sequence[StepKey]) -> list[StepRow]:
        return [step.row for key in keys if (step := self._tables.step(key)) is not None]

    def results(self, keys: Sequence[StepKey]) -> dict[tuple[UUID, int], str | None]:
        rows = self.load_some_steps([key._replace(undo=False) for key in keys])
        return {(row.saga_id, row.position): row.result for row in rows}

    def choice(self, saga_id: UUID) -> Choice:
        saga = self._tables.sagas[saga_id]
        return Choice(saga.undo_only, saga.undo_from or 0)

    def states(self, keys: Sequence[StepKey]) -> dict[StepKey, tuple[str, int]]:
        return {row.key: (row.state, row.attempt) for row in self.load_some_steps(keys)}

    def held_by(self, worker_id: int) -> list[tuple[StepKey, int]]:
        steps = self._tables.steps()
        return [(step.key, step.attempt) for step in steps if step.worker_id == worker_id]

    def queues(self, saga_ids: Sequence[UUID]) -> list[tuple[UUID, str]]:
        return [(one, self._tables.sagas[one].queue) for one in saga_ids]

    @override
    def course(self, saga_id: UUID) -> list[tuple[float, str]]:
        return []

    # -- children

    def start_child(
        self, saga_id: UUID, version: int, queue: str, input_: str, parent: UUID, position: int
    ) -> bool:
        step = self._tables.step(StepKey(parent, position, False))
        if step is None or step.state != StepState.WAITING or saga_id in self._tables.sagas:
            return False
        with self._tables.write(f"child {step.intent.name} is started"):
            self.start(saga_id, step.intent.name, version, queue, input_, parent, position)
        return True

    def start(
        self,
        saga_id: UUID,
        name: str,
        version: int,
        queue: str,
        input_: str,
        parent: UUID | None = None,
        position: int | None = None,
    ) -> Saga:
        """Writes a new saga's rows."""
        now = self._tables.now
        saga = Saga(saga_id, name, version, queue, input_, now, now + _LATER, parent, position)
        saga.history.append(Note(None, False, None, SagaStatus.RUNNING))
        self._tables.sagas[saga_id] = saga
        return saga

    def lost_children(
        self, wanted: Sequence[tuple[UUID, int, UUID]]
    ) -> list[tuple[UUID, int, Intent]]:
        keys = [StepKey(parent, at, False) for parent, at, _ in wanted]
        rows = [row for row in self.load_some_steps(keys) if row.state == StepState.WAITING]
        return [
            (row.saga_id, row.position, row.intent)
            for row in rows
            if child_id(row.saga_id, row.position) not in self._tables.sagas
        ]

    def ends_of_children(
        self, saga_ids: Sequence[UUID]
    ) -> list[tuple[UUID, int, str, str, str | None, str | None, str | None]]:
        ends: list[tuple[UUID, int, str, str, str | None, str | None, str | None]] = []
        for saga in self._of(saga_ids):
            if saga.parent is None or saga.status not in ENDED:
                continue
            queue = self._tables.sagas[saga.parent].queue
            end = (saga.status, saga.undo_cause, saga.result, saga.error)
            ends.append((saga.parent, saga.parent_position or 0, queue, *end))
        return ends

    def recall_children(
        self, children: Sequence[UUID], *, parent_stops: bool = False
    ) -> list[tuple[UUID, str]]:
        turned: list[tuple[UUID, str]] = []
        for saga in self._of(children):
            if saga.status not in FORWARD or any(map(_holds, saga.steps.values())):
                continue
            parent = self._tables.sagas.get(saga.parent) if saga.parent else None
            if parent_stops and (parent is None or parent.status in FORWARD):
                continue
            turned += self.turn_round(saga, "cancel", error=_CANCELLED)
        return turned

    def compensate_children(self, children: Sequence[UUID]) -> list[tuple[UUID, str]]:
        turned: list[tuple[UUID, str]] = []
        for saga in self._of(children):
            left = saga.status == SagaStatus.PARTLY_COMPENSATED and saga.undo_cause != "parent"
            if saga.status == SagaStatus.COMPLETED or left:
                saga.undo_only, saga.undo_from = None, None
                turned += self.turn_round(saga, "parent")
        return turned

    def reopen(self, saga_ids: Sequence[UUID], reason: str | None) -> list[tuple[UUID, str]]:
        partly = [s for s in self._of(saga_ids) if s.status == SagaStatus.PARTLY_COMPENSATED]
        return [pair for saga in partly for pair in self.turn_round(saga, None, reason=reason)]

    def turn_round(
        self, saga: Saga, cause: str | None, error: str | None = None, reason: str | None = None
    ) -> list[tuple[UUID, str]]:
        """What was decided, or leased, before does not land after it."""
        with self._tables.write(f"{saga.name} turns round"):
            saga.move(SagaStatus.COMPENSATING, reason)
            saga.fence += 1
            saga.undo_cause = cause or saga.undo_cause
            saga.error = error or saga.error
            saga.note, saga.wakes, saga.due_at = None, 0, self._tables.now + _LATER
        return [(saga.id, saga.queue)]

    def _of(self, ids: Sequence[UUID]) -> list[Saga]:
        return [self._tables.sagas[one] for one in sorted(ids) if one in self._tables.sagas]

    # -- what is rare

    def block_failures(self, saga_id: UUID, seen: Seen, failures: Sequence[StepRow]) -> bool:
        saga = self._tables.sagas[saga_id]
        if _seen(saga) != seen:
            return False
        steps = [saga.steps[row.position, False] for row in failures]
        with self._tables.write(f"{', '.join(map(_name, steps))}: a person decides"):
            resumed: int | None = 1 + max(position for position, _ in saga.steps)
            for step in sorted(steps, key=_by_event):
                if step.state in REOPENABLE:
                    self._take_back(saga, step, resumed)
                    resumed = None
            saga.fence += 1
        return True

    def _take_back(self, saga: Saga, step: Step, resumed: int | None) -> None:
        if step.event is not None:
            error = step.error and json.loads(step.error)
            told = {"position": step.key.position, "state": step.state, "error": error}
            payload = json.dumps(told | {"resumed": resumed})
            saga.letters.append(Letter(step.event, step.settled_at or 0.0, TAKEN_BACK, payload))
        saga.move_step(step, StepState.BLOCKED, step.attempt)
        step.event = step.settled_at = step.due_at = step.note = None
        step.wakes = 0

    @override
    def ask_again(self, saga_id: UUID, seen: Seen, asked: Sequence[NewStep]) -> list[Held]:
        raise NotImplementedError("no saga of a world is retried by hand")

    def keep_effect(self, key: StepKey, result: str | None) -> tuple[UUID, str] | None:
        saga, step = self._tables.sagas[key.saga_id], self._tables.step(key)
        if step is None or step.result is not None or step.state not in RESULTLESS:
            return None
        undo = saga.steps.get((key.position, True))
        goes_on = saga.status not in TURNED and saga.status != SagaStatus.COMPENSATING
        with self._tables.write(f"a late effect of {_name(step)}"):
            step.result, step.in_doubt = result, True
            saga.fence += 1
            again = undo is not None and (
                undo.state == StepState.RUNNING
                or (undo.state == StepState.SUCCEEDED and undo.in_doubt)
            )
            if undo is not None and again:
                self._undo_again(saga, undo)
        if goes_on and undo is None:
            return None
        if not goes_on and (again or undo is None) and saga.status in TURNED:
            self.turn_round(saga, saga.undo_cause or "failure")
        saga.due_at = self._tables.now
        return saga.id, saga.queue

    def _undo_again(self, saga: Saga, undo: Step) -> None:
        was_running = undo.state == StepState.RUNNING
        saga.move_step(undo, StepState.UNKNOWN if was_running else StepState.READY, undo.attempt)
        undo.worker_id, undo.settled_at = None, None
        undo.wakes, undo.due_at, undo.forgiven, undo.lost = -1, self._tables.now, undo.attempt, 0


def _seen(saga: Saga) -> Seen:
    return Seen(saga.events, saga.applied, saga.fence)


def _holds(step: Step) -> bool:
    """A pivot that has passed, or is at it: a child ends first."""
    if not step.intent.pivot or step.key.undo:
        return False
    has_begun = step.state in (StepState.SUCCEEDED, *BEGUN)
    return has_begun or (step.in_doubt and step.state not in SETTLED)


def _loaded(saga: Saga, known: Known) -> Loaded:
    changed = set(saga.steps)
    if known.seq >= 0:
        notes = saga.history[known.seq :]
        changed = {(note.position, note.undo) for note in notes if note.position is not None}
    rows = sorted((saga.steps[key] for key in changed), key=_by_event)
    letters = sorted(saga.letters, key=lambda letter: letter.event)
    return Loaded(
        saga.id,
        saga.name,
        saga.version,
        saga.queue,
        saga.status,
        saga.input,
        _seen(saga),
        saga.seq,
        False,
        saga.created_at,
        saga.undo_cause,
        saga.due_at is not None,
        saga.parent,
        saga.exposed,
        None,
        0,
        [_entry(step) for step in rows],
        [
            LoadedSignal(letter.event, letter.at, letter.name, letter.payload)
            for letter in letters
            if letter.event > known.seen.events
        ],
    )


def _by_event(step: Step) -> tuple[bool, int, int]:
    return step.event is None, step.event or 0, step.key.position


def _entry(step: Step) -> LoadedStep:
    is_done = step.state == StepState.SUCCEEDED
    intent = step.intent
    return LoadedStep(
        step.key.position,
        step.key.undo,
        intent.kind,
        intent.name,
        step.state,  # pyright: ignore[reportArgumentType]
        step.event,
        step.settled_at,
        step.result if is_done else step.error,
        intent.digest,
        None,
        step.in_doubt,
    )


def _told(saga: Saga, landing: Landing) -> str:
    """What a landing writes, for people."""
    ended = [
        f"{_name(saga.steps[end.position, end.undo])} is {end.state}" for end in landing.settled
    ]
    asked = [f"{_named(a.intent.name, a.undo)} is {a.state}" for a in landing.asked]
    status = [f"{saga.name} is {landing.status}"] if landing.status else []
    return ", ".join([*ended, *asked, *status]) or "nothing new"


def _name(step: Step) -> str:
    return _named(step.intent.name, step.key.undo)


def _named(name: str, undo: bool) -> str:
    return f"undo {name}" if undo else name


__all__ = ["MemoryStore"]

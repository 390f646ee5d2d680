"""What must hold in the database and in the ledger after any fault."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from saga.core.states import ENDED, REOPENINGS, SETTLED, STEP_MOVES, StepState
from saga.storage.turning.stuck import MOST_LOSSES
from tests.faults.ledger import Ledger
from tests.faults.records import Records, Row

_GOES_ON = ("ready", "unknown", "retrying")
_REASONS_TO_TRY_AGAIN = ("unknown", "retrying", "ready", "failed", "blocked")


def violations(records: Records, ledger: Ledger) -> list[str]:
    """Everything that does not hold; empty is well."""
    found: list[str] = []
    sagas, *of_sagas, workers = records.queries(
        "SELECT * FROM saga.saga",
        "SELECT * FROM saga.history ORDER BY saga_id, seq",
        "SELECT * FROM saga.step ORDER BY saga_id, position, undo",
        "SELECT * FROM saga.signal ORDER BY saga_id, event",
        "SELECT id FROM saga.worker WHERE ended_at IS NULL",
    )
    histories, steps, signals = map(_by_saga, of_sagas)
    live = {row.id for row in workers}
    for saga in sagas:
        history, of_saga = histories[saga.id], steps[saga.id]
        checks = (
            _dense(saga, history),
            _folds(saga, history, of_saga),
            _one_outcome(history),
            _attempts_are_accounted_for(history),
            _journal(saga, of_saga, signals[saga.id]),
            _is_expected_by_somebody(saga, of_saga, live),
            _effects(saga, history, of_saga, ledger),
        )
        found += [f"{saga.name} {saga.id}: {text}" for check in checks for text in check]
    return found


def _by_saga(rows: Iterable[Any]) -> defaultdict[UUID, list[Any]]:
    grouped: defaultdict[UUID, list[Any]] = defaultdict(list)
    for row in rows:
        grouped[row.saga_id].append(row)
    return grouped


def _dense(saga: Any, history: list[Row]) -> Iterator[str]:
    numbers = [row.seq for row in history]
    if numbers != list(range(1, saga.seq + 1)):
        yield f"history is not dense: {numbers} of {saga.seq}"


def _folds(saga: Any, history: list[Row], steps: list[Any]) -> Iterator[str]:
    """The current state is a fold of the history, by legal moves only."""
    at: dict[tuple[int, bool] | None, str | None] = {}
    for row in history:
        if row.after == "rejected":
            continue
        key = None if row.position is None else (row.position, bool(row.undo))
        before = at.get(key)
        if before != row.before:
            yield f"history {row.seq}: {key} moved from {row.before}, but it was {before}"
        if key and not _is_legal(before, row.after):
            yield f"history {row.seq}: {key} moved from {before} to {row.after}"
        at[key] = row.after
    now: dict[tuple[int, bool] | None, str | None] = {(s.position, s.undo): s.state for s in steps}
    now[None] = saga.status
    if at != now:
        yield f"the history says {at}, the rows say {now}"


def _is_legal(before: str | None, after: str) -> bool:
    move = StepState(before) if before else None
    return after in STEP_MOVES[move] or (before, after) in REOPENINGS


def _one_outcome(history: list[Row]) -> Iterator[str]:
    """At a time: one that is reopened says who did that, or why."""
    ends: Counter[tuple[int, bool | None]] = Counter()
    for row in history:
        if row.position is None or row.after == "rejected":
            continue
        key = (row.position, row.undo)
        if row.before in SETTLED:
            ends[key] -= 1
            if row.reason is None:
                yield f"{key} was reopened without a reason"
        ends[key] += row.after in SETTLED
        if ends[key] > 1:
            yield f"{key} has {ends[key]} outcomes"


def _attempts_are_accounted_for(history: list[Row]) -> Iterator[str]:
    """A further attempt only after the one before ended otherwise than well."""
    last: dict[tuple[int, bool], Row] = {}
    attempt: dict[tuple[int, bool], int] = {}
    for row in history:
        if row.position is None or row.after == "rejected":
            continue
        key = (row.position, bool(row.undo))
        if row.after == "running":
            expected = attempt.get(key, 0) + 1
            if row.attempt != expected:
                yield f"{key} went from attempt {expected - 1} to {row.attempt}"
            if expected > 1 and last[key].after not in _REASONS_TO_TRY_AGAIN:
                yield f"{key} was tried again although it was {last[key].after}"
            attempt[key] = expected
        last[key] = row


def _journal(saga: Any, steps: list[Any], signals: list[Any]) -> Iterator[str]:
    events = sorted([s.event for s in steps if s.event] + [g.event for g in signals])
    if events != list(range(1, saga.events + 1)):
        yield f"the journal is not dense: {events} of {saga.events}"


def _is_expected_by_somebody(saga: Any, steps: list[Any], live: set[int]) -> Iterator[str]:
    """Whatever is open has a time at which it is looked at, or a living worker's lease."""
    for step in steps:
        wrong = _is_forgotten(step, live)
        if wrong:
            yield f"{step.name} at {step.position} (undo: {step.undo}) is {step.state} {wrong}"
    if saga.status in ENDED or saga.losses >= MOST_LOSSES:  # then for a person's retry
        return
    if saga.applied < saga.events and saga.due_at is None:
        yield "has news that nobody will look at"
    if saga.due_at is None and not any(s.state not in SETTLED for s in steps):
        yield f"is {saga.status} with nothing open"


def _is_forgotten(step: Any, live: set[int]) -> str | None:
    if step.state in _GOES_ON and step.due_at is None:
        return "and nobody will come"
    if step.state == "running" and step.worker_id not in live:
        return "in the hands of a dead worker"
    if step.state == "waiting" and step.kind in ("timer", "child") and step.due_at is None:
        return "for ever"
    if step.state in SETTLED and step.due_at is not None:
        return "and due"
    return None


def _effects(saga: Any, history: list[Row], steps: list[Any], ledger: Ledger) -> Iterator[str]:
    """What the engine says it did is what the outside world says."""
    effects = {s.position: s for s in steps if s.kind == "step" and not s.undo and s.compensation}
    undos = {s.position: s for s in steps if s.undo}
    for position, step in effects.items():
        key = f"{saga.id}:{position}"
        happened, undone = key in ledger.applied, key in ledger.undone
        if step.state == "succeeded" and not happened:
            yield f"{step.name} at {position} is done, and never happened"
        undo = undos.get(position)
        if undo is not None and undo.state == "succeeded" and happened and not undone:
            yield f"{step.name} at {position} is said to be undone, and stands"
        if saga.status == "completed" and undone and undo is None:
            yield f"{step.name} at {position} was undone by nobody"
        if saga.status in ("compensated", "cancelled", "failed") and happened and not undone:
            yield f"the saga is {saga.status}, and {step.name} at {position} stands"
    yield from _leases(saga, history, ledger)
    if not _took_more_than_one_go(history):
        yield from _reverse_order(saga, list(effects.values()), undos, ledger)


def _leases(saga: Any, history: list[Row], ledger: Ledger) -> Iterator[str]:
    """Each attempt acts once, and none acts that the history does not know."""
    granted = {
        (f"{saga.id}:{row.position}" + (":undo" if row.undo else ""), row.attempt)
        for row in history
        if row.after == "running"
    }
    acts = Counter(
        (entry.key, entry.attempt)
        for entry in list(ledger.entries)
        if entry.verb in ("do", "undo") and entry.key.startswith(str(saga.id))
    )
    for act, count in acts.items():
        if act not in granted:
            yield f"{act} acted without a lease"
        if count > 1:
            yield f"{act} acted {count} times"


def _took_more_than_one_go(history: list[Row]) -> bool:
    """A person came in between, and then what can be undone is."""
    turns = [row for row in history if row.position is None and row.after == "compensating"]
    return len(turns) > 1 or any(row.after == "blocked" for row in history)


def _reverse_order(
    saga: Any, effects: list[Any], undos: dict[int, Any], ledger: Ledger
) -> Iterator[str]:
    """What began after another had ended is undone before it, unless a scope had undone that."""
    order = {key: number for number, key in enumerate(ledger.undone)}
    for later in effects:
        for earlier in effects:
            if earlier.event is None or later.after < earlier.event:
                continue
            undo = undos.get(earlier.position)
            if undo is not None and undo.event is not None and undo.event <= later.after:
                continue
            first = order.get(f"{saga.id}:{later.position}")
            second = order.get(f"{saga.id}:{earlier.position}")
            if first is not None and second is not None and first > second:
                yield f"{earlier.position} was undone before {later.position}"

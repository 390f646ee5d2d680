"""What holds after every rule."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from saga.core.states import ENDED
from tests.faults import invariants
from tests.faults.records import Row
from tests.machine.outside import Outside


def broken(sagas: list[Any], histories: Any, steps: Any, signals: Any, live: set[int]) -> list[str]:
    """Of the engine's own tables: I1, I5, I7, I9."""
    found: list[str] = []
    for saga in sagas:
        history, of_saga = histories[saga.id], steps[saga.id]
        checks = (
            invariants._dense(saga, history),
            invariants._folds(saga, history, of_saga),
            invariants._one_outcome(history),
            invariants._attempts_are_accounted_for(history),
            invariants._journal(saga, of_saga, signals[saga.id]),
            invariants._is_expected_by_somebody(saga, of_saga, live),
            _fenced(history),
        )
        found += [f"{saga.name} {saga.id}: {text}" for check in checks for text in check]
    return found


def _fenced(history: list[Row]) -> Iterator[str]:
    """I5: what ends an attempt is of the attempt that holds the lease."""
    holder: dict[tuple[int | None, bool | None], int | None] = {}
    for row in history:
        key = (row.position, row.undo)
        if row.after == "running" and row.position is not None:
            holder[key] = row.attempt
        elif row.before == "running" and row.position is not None and row.attempt != holder[key]:
            yield f"history {row.seq}: attempt {row.attempt} ended, {holder[key]} had the lease"


def effects_at_work(outside: Outside, histories: Any) -> Iterator[str]:
    """I2 and half of I4, at any time: no act without a lease, none twice, no undo twice."""
    granted = {
        (f"{saga_id}:{row.position}" + (":undo" if row.undo else ""), row.attempt)
        for saga_id, history in histories.items()
        for row in history
        if row.after == "running"
    }
    for act, count in outside.acts.items():
        if act not in granted:
            yield f"{act} acted without a lease"
        if count > 1:
            yield f"{act} acted {count} times"
    for key, count in outside.undone.items():
        if count > 1:
            yield f"{key} was undone {count} times"


def effects_at_rest(outside: Outside, sagas: list[Any], steps: Any) -> Iterator[str]:
    """I4, when nobody is at work any more: what stands is what the rows say."""
    for saga in sagas:
        undos = {s.position: s for s in steps[saga.id] if s.undo}
        for step in steps[saga.id]:
            if step.undo or step.kind != "step" or not step.compensation:
                continue
            key = f"{saga.id}:{step.position}"
            happened, undone = key in outside.applied, outside.undone[key] > 0
            undo = undos.get(step.position)
            said_undone = undo is not None and undo.state == "succeeded"
            all_undone = saga.status in ("compensated", "cancelled", "failed")
            wrong = {
                "is done, and never happened": step.state == "succeeded" and not happened,
                "was undone by nobody": undone and undo is None,
                "is said to be undone, and stands": said_undone and happened and not undone,
                "stands": all_undone and happened and not undone,
                "was undone, and never happened": undone and not happened,
            }
            where = f"{saga.name} {saga.id} is {saga.status}: {step.name} at {step.position}"
            yield from (f"{where} {what}" for what, is_so in wrong.items() if is_so)


def order_of_undos(outside: Outside, sagas: list[Any], histories: Any, steps: Any) -> Iterator[str]:
    """I4: what began after another had ended is undone before it, unless a person came between."""
    position = {key: number for number, key in enumerate(outside.order)}
    for saga in sagas:
        if saga.status not in ENDED or invariants._took_more_than_one_go(histories[saga.id]):
            continue
        effects = [s for s in steps[saga.id] if s.kind == "step" and not s.undo and s.compensation]
        undone_at = {s.position: s.event for s in steps[saga.id] if s.undo and s.event}
        for later in effects:
            for earlier in effects:
                if earlier.event is None or later.after < earlier.event:
                    continue
                if undone_at.get(earlier.position, later.after + 1) <= later.after:
                    continue  # by a scope, before the later one began
                first = position.get(f"{saga.id}:{later.position}")
                second = position.get(f"{saga.id}:{earlier.position}")
                if first is not None and second is not None and first > second:
                    yield f"{saga.name} {saga.id}: {earlier.position} before {later.position}"


def letters_in_order(sagas: list[Any], sent: dict[UUID, list[Any]]) -> Iterator[str]:
    """I7: each accepted signal is taken once, in order."""
    for saga in sagas:
        if saga.name != "letters" or saga.status != "completed":
            continue
        taken, accepted = saga.result, sent[saga.id]
        if taken != accepted[: len(taken)]:
            yield f"letters {saga.id} took {taken} of {accepted}"

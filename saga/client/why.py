"""Where a saga stands, in sentences; and what one of its steps waits for.

The text holds names and errors of others as they are: whoever shows it makes it safe first.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

from saga.client.units import between, clock, counted, duration, listed
from saga.core.states import SagaStatus, StepState
from saga.storage.queries import SagaDetail, StepDetail

_UNFINISHED = (StepState.READY, StepState.RUNNING, StepState.RETRYING, StepState.UNKNOWN)


def verdict(saga: SagaDetail) -> list[str]:
    """One or more lines that make plain how the saga ended, or what it waits for."""
    lines = _VERDICTS[saga.status](saga)
    doubtful = [step for step in saga.forward if step.in_doubt and not _is_undone(saga, step)]
    if doubtful and saga.ended_at is not None:
        what = listed(name_of(step) for step in doubtful)
        lines.append(f"Nobody knows whether {what} had an effect.")
    blind = [undo for undo in saga.undos if undo.in_doubt and undo.state is StepState.SUCCEEDED]
    if blind:
        lines.append(f"{listed(map(name_of, blind))}: done without knowing the step's result.")
    return lines


def name_of(step: StepDetail) -> str:
    """A step as people call it: `step 3 create_ticket`, `undo of step 3`."""
    if step.undo:
        return f"undo of step {step.position} ({step.name})"
    kind = "step" if step.kind == "step" else step.kind
    return f"{kind} {step.position}" + ("" if step.kind == "timer" else f" {step.name}")


def error_text(error: Any) -> str:
    """A stored error as `Type: message at shop.py:31 in charge`; empty for None."""
    if not isinstance(error, Mapping):
        return "" if error is None else str(error)
    found = cast("Mapping[str, Any]", error)
    kind, message = found.get("type", "Error"), found.get("message", "")
    text = f"{kind}: {message}" if message else str(kind)
    return f"{text} at {found['at']}" if found.get("at") else text


def waits_for(step: StepDetail, now: datetime) -> str:
    """What a step that is not settled waits for; empty when it runs or has ended."""
    match step.state:
        case StepState.READY:
            return f"waits {between(step.asked_at, now)} for a worker on queue {step.queue}"
        case StepState.RETRYING:
            return f"next attempt {when(step.due_at, now)}"
        case StepState.UNKNOWN:
            return "its outcome is unknown; it is looked into " + when(step.due_at, now)
        case StepState.BLOCKED:
            return "a person must decide: see `saga blocked`"
        case StepState.WAITING:
            return _waiting(step)
        case _:
            return ""


def _waiting(step: StepDetail) -> str:
    until = step.deadline or step.due_at
    if step.kind == "timer":
        return f"sleeps until {clock(until)}" if until else "sleeps"
    if step.kind == "child":
        child = step.child
        return f"waits for its child {child.id} ({child.status})" if child else "its child starts"
    what = "an answer" if step.kind == "approval" else "a signal"
    return f"waits for {what}" + (f" until {clock(until)}" if until else "")


def when(due: datetime | None, now: datetime) -> str:
    """`in 3 min`, or `now` for what is due."""
    seconds = (due - now).total_seconds() if due else 0
    return f"in {duration(seconds)}" if seconds > 0 else "now"


# -- how it ended -------------------------------------------------------------------------------


def _completed(saga: SagaDetail) -> list[str]:
    return [f"Completed after {_took(saga)}: every step that it waited for succeeded."]


def _failed(saga: SagaDetail) -> list[str]:
    return [f"Failed: {_cause(saga)}. There was nothing to undo.", *_standing(saga)]


def _compensated(saga: SagaDetail) -> list[str]:
    return _with_what_stands(saga, f"Compensated: {_cause(saga)}. {_undone(saga)}", ", ")


def _partly(saga: SagaDetail) -> list[str]:
    lines = [f"Partly compensated: {_cause(saga)}. {_undone(saga)}; what follows still stands:"]
    for undo in saga.undos:
        if undo.state is not StepState.SUCCEEDED:
            why = error_text(undo.error) or (undo.last.reason if undo.last else "") or ""
            step = next((s for s in saga.forward if s.position == undo.position), None)
            what = f"{name_of(step)}: its undo {undo.name}" if step else name_of(undo)
            lines.append(f"- {what} is {undo.state}" + (f": {why}" if why else ""))
    return lines + _standing(saga)


def _with_what_stands(saga: SagaDetail, text: str, comma: str) -> list[str]:
    standing = _standing(saga)
    return [f"{text}.", *standing] if standing else [f"{text}{comma}nothing of it stands."]


def _standing(saga: SagaDetail) -> list[str]:
    return [f"- {name_of(step)} {why}" for step in saga.forward if (why := _left(saga, step))]


def _left(saga: SagaDetail, step: StepDetail) -> str:
    """Why a step that has no undo stands all the same; empty if that is no question."""
    if step.state is StepState.BLOCKED:
        return "is blocked: nobody knows whether it happened"
    may_stand = step.state is StepState.SUCCEEDED or (step.in_doubt and step.has_ended)
    has_effect = step.kind in ("step", "child") and not step.read_only
    has_undo = any(undo.position == step.position for undo in saga.undos)
    if not (may_stand and has_effect) or has_undo:
        return ""
    if step.compensation is None and step.kind == "step":
        return "stands: it has no compensation"
    pivots = [s for s in saga.forward if s.pivot and s.state is StepState.SUCCEEDED]
    if any(pivot.position > step.position for pivot in pivots):
        return "came before a pivot"
    return "was not among those chosen" if saga.undo_cause == "operator" else ""


def _cancelled(saga: SagaDetail) -> list[str]:
    undone = _undone(saga) if saga.undos else "There was nothing to undo"
    return _with_what_stands(saga, f"Cancelled: {_cause(saga)}. {undone}", "; ")


# -- what it waits for --------------------------------------------------------------------------


def _running(saga: SagaDetail) -> list[str]:
    open_steps = [step for step in saga.steps if not step.has_ended]
    if not open_steps:
        waiting = f"Running: a worker on queue {saga.queue} decides what comes next."
        return [waiting + (f" {saga.note}" if saga.note else "")]
    shown = [_doing(step, saga.now) for step in open_steps[:5]]
    more = len(open_steps) - len(shown)
    return [f"Running: {listed(shown)}{f', and {more} more' if more else ''}."]


def _doing(step: StepDetail, now: datetime) -> str:
    if step.state is StepState.RUNNING:
        since = f" for {between(step.started_at, now)}" if step.started_at else ""
        return f"{name_of(step)} runs{since}"
    return f"{name_of(step)} {waits_for(step, now)}"


def _compensating(saga: SagaDetail) -> list[str]:
    done = [undo for undo in saga.undos if undo.state is StepState.SUCCEEDED]
    going = [undo for undo in saga.undos if undo.state in _UNFINISHED]
    stuck = [undo for undo in saga.undos if undo.state is StepState.BLOCKED]
    running = [s for s in saga.forward if s.state is StepState.RUNNING]
    parts = [f"{counted(len(done), 'undo')} done"]
    parts += [_doing(step, saga.now) for step in [*going, *running]]
    parts += [f"{name_of(undo)} is blocked" for undo in stuck]
    return [f"Compensating: {_cause(saga)}. {listed(parts)}."]


def _parked(saga: SagaDetail) -> list[str]:
    first = (
        "Parked: the saga's code does not fit its history. Nothing is lost: it goes on when a "
        "worker's code fits again, which workers try by themselves."
    )
    return [first, *(saga.note or "").splitlines()]


_VERDICTS: dict[SagaStatus, Callable[[SagaDetail], list[str]]] = {
    SagaStatus.COMPLETED: _completed,
    SagaStatus.FAILED: _failed,
    SagaStatus.COMPENSATED: _compensated,
    SagaStatus.PARTLY_COMPENSATED: _partly,
    SagaStatus.CANCELLED: _cancelled,
    SagaStatus.RUNNING: _running,
    SagaStatus.COMPENSATING: _compensating,
    SagaStatus.PARKED: _parked,
}

# -- parts of sentences -------------------------------------------------------------------------


def _cause(saga: SagaDetail) -> str:
    """Why it did not complete."""
    error = error_text(saga.error)
    if saga.undo_cause in ("operator", "parent") and _fields(saga.error).get("type") in (
        None,
        "Compensated",
    ):
        return f"by hand ({_message(saga.error)})" if error else _BY_OTHERS[saga.undo_cause]
    if saga.undo_cause == "cancel":
        return f"on request ({_message(saga.error)})"
    return f"{_culprit(saga)} failed ({error})" if error else f"{_culprit(saga)} failed"


_BY_OTHERS = {"operator": "undone by hand", "parent": "its parent was undone"}


def _culprit(saga: SagaDetail) -> str:
    """The step that the saga's error comes from, as far as it can be told."""
    position = _fields(saga.error).get("step")
    for step in saga.forward:
        if step.position == position:
            return name_of(step)
    return "its code"


def _fields(error: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", error) if isinstance(error, Mapping) else {}


def _message(error: Any) -> str:
    return str(_fields(error).get("message") or "no reason given")


def _undone(saga: SagaDetail) -> str:
    done = [undo for undo in saga.undos if undo.state is StepState.SUCCEEDED]
    what = listed(f"{undo.position}" for undo in done)
    if not done:
        return "Nothing was undone"
    return f"{counted(len(done), 'step')} {'was' if len(done) == 1 else 'were'} undone ({what})"


def _is_undone(saga: SagaDetail, step: StepDetail) -> bool:
    return any(
        undo.position == step.position and undo.state is StepState.SUCCEEDED for undo in saga.undos
    )


def _took(saga: SagaDetail) -> str:
    return between(saga.created_at, saga.ended_at or saga.now)

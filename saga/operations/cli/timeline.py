"""The steps of a saga as a timeline."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from rich.console import Console
from rich.text import Text

from saga.client.units import between, clock, counted
from saga.client.why import error_text, waits_for
from saga.core.states import SagaStatus, StepState
from saga.operations.cli.output import show_table
from saga.operations.cli.safe import compact, safe, safe_lines
from saga.operations.cli.styles import state_text, status_text
from saga.operations.next_commands import next_commands
from saga.storage.queries import Attempt, SagaDetail, SignalRow, StepDetail, TracebackRow

_LONGEST = 300  # characters of somebody's error or payload on one line
_DETAILS = 120

_MOODS = {
    SagaStatus.COMPLETED: "bold green",
    SagaStatus.PARTLY_COMPENSATED: "bold red",
    SagaStatus.PARKED: "bold red",
    SagaStatus.FAILED: "bold red",
}


def render(screen: Console, saga: SagaDetail, verdict: Sequence[str], *, payloads: bool) -> None:
    """Print head, timeline, signals, verdict, and the commands that fit."""
    screen.print(_head(saga))
    for label, value in _facts(saga):
        screen.print(Text(f"  {label:<11}", "dim").append(value))
    if saga.steps:
        screen.print()
        _show_steps(screen, saga, payloads=payloads)
    if saga.signals:
        screen.print()
        _show_signals(screen, saga)
    screen.print()
    first, *rest = verdict
    screen.print(Text(safe(first), _MOODS.get(saga.status, "bold")))
    for line in rest:
        screen.print(Text(safe(line)))
    show_commands(screen, next_commands(saga))


def show_commands(screen: Console, commands: Sequence[str]) -> None:
    """One a line, and nothing else on it."""
    screen.print()
    for line in commands:
        screen.print(Text(f"  {safe(line)}", "dim"), soft_wrap=True)


def show_traceback(screen: Console, row: TracebackRow) -> None:
    """Print one, under a line that says whose it is."""
    screen.print()
    what = f"the code of {row.name}" if row.position is None else f"{row.position} {row.name}"
    undo = "undo of " if row.undo else ""
    attempt = f", attempt {row.attempt}" if row.attempt else ""
    title = f"{undo}{what}{attempt}: {row.outcome}, saga {row.saga_id}, {row.at:%Y-%m-%d %H:%M:%S}"
    screen.print(Text(safe(title), "bold"))
    for line in safe_lines(row.text.rstrip()):
        screen.print(Text(line))


def _head(saga: SagaDetail) -> Text:
    head = Text(f"{safe(saga.name)} v{saga.version}  ", "bold")
    head.append(str(saga.id)).append("  ").append_text(status_text(saga.status))
    took = between(saga.created_at, saga.ended_at or saga.now)
    return head.append(f"  {'after' if saga.ended_at else 'for'} {took}", "dim")


def _facts(saga: SagaDetail) -> list[tuple[str, str]]:
    facts = [("started", clock(saga.created_at)), ("queue", safe(saga.queue))]
    if saga.key is not None:
        facts.append(("key", safe(saga.key)))
    facts.append(("input", compact(saga.input, _LONGEST)))
    if saga.attributes is not None:
        facts.append(("attributes", compact(saga.attributes, _LONGEST)))
    if saga.parent is not None:
        parent = saga.parent
        facts.append(("child of", f"{safe(parent.name)} {parent.id} ({parent.status})"))
    if saga.exposed is not None:
        facts.append(("shows", compact(saga.exposed, _LONGEST)))
    if saga.result is not None:
        facts.append(("result", compact(saga.result, _LONGEST)))
    return facts


def _show_steps(screen: Console, saga: SagaDetail, *, payloads: bool) -> None:
    rows: list[Sequence[str | Text]] = []
    for step in saga.steps:
        rows.append(_step(step, saga))
        rows += [[Text(note, "dim")] for note in _notes(step, payloads)]
    titles = ["#", "AT", "STEP", "STATE", "TRIES", "TOOK", "WORKER", ""]
    show_table(screen, titles, rows, right="# AT TRIES TOOK")


def _step(step: StepDetail, saga: SagaDetail) -> list[str | Text]:
    name = safe(step.name)
    if step.undo:
        name = f"undo: {name}"
    elif step.kind != "step":
        name = step.kind if step.kind == "timer" else f"{step.kind}: {name}"
    if step.pivot:
        name += " (pivot)"
    return [
        str(step.position),
        f"+{between(saga.created_at, step.asked_at)}",
        Text(name, "yellow" if step.undo else ""),
        state_text(step.state),
        str(step.attempt or ""),
        _took(step, saga.now),
        safe(_worker(step)),
        Text(safe(_remark(step, saga.now), _LONGEST)),
    ]


def _took(step: StepDetail, now: datetime) -> str:
    """Of the last attempt; of what never has attempts, from asking to the end."""
    start = step.started_at if step.kind == "step" else step.asked_at
    if start is None:
        return ""
    if step.settled_at is None and step.state is not StepState.RUNNING and step.kind == "step":
        last = step.attempts[-1] if step.attempts else None
        return between(last.started_at, last.ended_at) if last and last.ended_at else ""
    return between(start, step.settled_at or now)


def _worker(step: StepDetail) -> str:
    last = step.attempts[-1].worker if step.attempts else None
    return step.worker or last or ""


def _remark(step: StepDetail, now: datetime) -> str:
    """Error, what it waits for, who decided; and whether its outcome is known."""
    parts: list[str] = []
    if step.state is not StepState.SUCCEEDED:
        parts.append(error_text(step.error))
    parts += [_answer(step), waits_for(step, now)]
    if step.in_doubt and step.state is not StepState.UNKNOWN:
        blind = step.undo and step.state is StepState.SUCCEEDED
        parts.append("without the step's result" if blind else "outcome unknown")
    last = step.last
    if last is not None and last.actor:
        parts.append(f"by {last.actor}" + (f": {last.reason}" if last.reason else ""))
    elif step.state is StepState.SUCCEEDED and last is not None and last.reason:
        parts.append(last.reason)
    if step.note:
        parts.append(step.note)
    if step.wakes and not step.has_ended:
        parts.append(f"{counted(step.wakes, 'wake-up')} in vain")
    return "; ".join(part for part in parts if part)


def _answer(step: StepDetail) -> str:
    """What is to be approved, or how it was answered."""
    if step.kind != "approval":
        return ""
    if not step.has_ended:
        return compact(step.args, _DETAILS)
    if not isinstance(step.result, dict):
        return ""
    return "approved" if cast("dict[str, Any]", step.result).get("approved") else "rejected"


def _notes(step: StepDetail, payloads: bool) -> list[str]:
    """Lines below a step: attempts that did not settle it, payloads if asked for."""
    lines = [_attempt(attempt) for attempt in step.attempts if _is_telling(attempt, step)]
    if payloads:
        lines.append(f"args {compact(step.args, _LONGEST)}")
        if step.result is not None:
            lines.append(f"result {compact(step.result, _LONGEST)}")
    return lines


def _is_telling(attempt: Attempt, step: StepDetail) -> bool:
    """The last attempt's end is the step's own line already."""
    return attempt.rejected is not None or (
        attempt.outcome is not None and attempt.number < step.attempt
    )


def _attempt(attempt: Attempt) -> str:
    took = f" after {between(attempt.started_at, attempt.ended_at)}" if attempt.ended_at else ""
    where = f" on {attempt.worker}" if attempt.worker else ""
    why = f": {attempt.reason}" if attempt.reason else ""
    late = f" ({attempt.rejected}: not taken)" if attempt.rejected else ""
    text = f"attempt {attempt.number}{where}: {attempt.outcome or 'open'}{took}{why}{late}"
    return safe(text, _LONGEST)


def _fate(row: SignalRow) -> str:
    if row.consumed_by is not None:
        return f"taken by {row.consumed_by}"
    return "unread" if row.unread else ""


def _show_signals(screen: Console, saga: SagaDetail) -> None:
    show_table(
        screen,
        ["SIGNAL", "AT", "FROM", "PAYLOAD", ""],
        [
            [
                row.name,
                f"+{between(saga.created_at, row.received_at)}",
                row.sender or "",
                compact(row.payload, _LONGEST),
                _fate(row),
            ]
            for row in saga.signals
        ],
        right="AT",
    )

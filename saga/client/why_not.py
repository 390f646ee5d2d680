"""Why a saga is not running: each reason in a sentence, the most telling one first.

The text holds names and errors of others as they are: whoever shows it makes it safe first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from saga.client.units import between, clock, counted, listed
from saga.client.why import error_text, name_of, verdict, when
from saga.core.states import ENDED, SagaStatus, StepState
from saga.storage.queries import Crew, SagaDetail, Standstill, StepDetail

# The most telling first: what needs somebody, then what needs nobody.
KINDS = (
    "ended",
    "parked",
    "no_worker",
    "no_version",
    "no_code",
    "blocked",
    "approval",
    "signal",
    "child",
    "unknown",
    "retry",
    "slot",
    "deciding",
    "lease",
    "timer",
)
_WAITING = {"approval": "approval", "signal": "signal", "timer": "timer", "child": "child"}


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason. `kind` is one of `KINDS`; `until`: when it is over by itself."""

    kind: str
    text: str
    position: int | None = None
    undo: bool = False
    name: str | None = None
    queue: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    child: UUID | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Why a saga is not running. `answer` is the text of the first of the reasons."""

    id: UUID
    status: SagaStatus
    answer: str
    reasons: tuple[Reason, ...]


def why_not(found: Standstill) -> Answer:
    """One plain answer, and what else is true."""
    reasons = sorted(_reasons(found), key=lambda reason: KINDS.index(reason.kind))
    return Answer(found.saga.id, found.saga.status, reasons[0].text, tuple(reasons))


def _reasons(found: Standstill) -> Iterator[Reason]:
    saga = found.saga
    if saga.status in ENDED:
        yield Reason("ended", f"It has ended. {' '.join(verdict(saga))}", since=saga.ended_at)
        yield from (_blocked(step) for step in saga.steps if step.state is StepState.BLOCKED)
        return
    if saga.status is SagaStatus.PARKED:
        yield _parked(found)
    else:
        yield from _of_code(found)
    for step in saga.steps:
        if not step.has_ended:
            yield from _of_step(found, step)


def _parked(found: Standstill) -> Reason:
    note = " ".join((found.saga.note or "nobody wrote down why").split("\n"))
    return Reason("parked", f"It is parked: {note}.", since=found.saga.updated_at)


def _of_code(found: Standstill) -> Iterator[Reason]:
    """Whether anybody can decide what comes next; that is asked for now, or will be."""
    saga, crew = found.saga, found.deciders
    again = _reopened(saga)
    what = f"version {saga.version} of {saga.name}"
    if not crew.serving and (found.undecided or not crew.elsewhere):
        text = f"No live worker serves queue {saga.queue}, on which its code runs.{again}"
        yield Reason("no_worker", text, queue=saga.queue, since=saga.updated_at)
    elif not crew.able and saga.status is SagaStatus.RUNNING:  # to undo takes no code of it
        others = listed(str(version) for version in found.versions)
        has = f"they have {others}" if found.versions else "they do not know this saga"
        workers = counted(crew.serving, "live worker")
        text = (
            f"{what[0].upper()}{what[1:]} has no worker: of {workers} on queue {saga.queue}, {has}."
        )
        if crew.elsewhere:
            text += f" {counted(crew.elsewhere, 'worker')} with it do not serve this queue."
        yield Reason("no_version", text + again, queue=saga.queue)
    elif found.undecided:
        note = f" ({saga.note})" if saga.note else ""
        text = (
            f"A worker on queue {saga.queue} is to decide what comes next, since "
            f"{clock(saga.updated_at)}: {counted(crew.able, 'live worker')} can{note}.{again}"
        )
        yield Reason("deciding", text, queue=saga.queue, since=saga.updated_at)


def _reopened(saga: SagaDetail) -> str:
    """Of one that had ended and whose code was not asked again since; else empty."""
    last = saga.last
    if last is None or last.before not in ENDED or saga.updated_at > last.at:
        return ""
    by = f"{last.actor} let it go on" if last.actor else "it was let go on"
    return f" It was {last.before}, {by} at {clock(last.at)}, and its code was not asked since."


def _of_step(found: Standstill, step: StepDetail) -> Iterator[Reason]:
    match step.state:
        case StepState.RUNNING:
            yield _running(found, step)
        case StepState.BLOCKED:
            yield _blocked(step)
        case StepState.RETRYING:
            last = step.last.reason if step.last else None
            after = error_text(step.error) or last or "an error"
            text = (
                f"{_capital(name_of(step))} is tried again at {_time(step.due_at)} "
                f"({when(step.due_at, found.saga.now)}), "
                f"after attempt {step.attempt} failed: {after}."
            )
            yield _reason("retry", step, text, until=step.due_at)
        case StepState.READY | StepState.UNKNOWN:
            yield _ready(found, step, found.crews[step.position, step.undo])
        case StepState.WAITING:
            yield _waiting(found, step)
        case _:
            pass


def _running(found: Standstill, step: StepDetail) -> Reason:
    since = step.started_at or step.asked_at
    lease = found.leases.get(step.worker or "")
    text = (
        f"{_capital(name_of(step))} runs: worker {step.worker} holds its lease since "
        f"{clock(since)} (attempt {step.attempt})"
    )
    if lease is None or lease < found.saga.now:
        text += "; that worker gives no sign of life, so another one takes over within seconds"
    return _reason("lease", step, f"{text}.", since=since)


def _blocked(step: StepDetail) -> Reason:
    error = error_text(step.error)
    reason = (step.last.reason if step.last else None) or ""
    why = error or ", ".join(filter(None, (reason.removesuffix(": a person decides"), doubt(step))))
    why = f" ({why})" if why else ""
    text = f"{_capital(name_of(step))} is blocked{why}: a person must decide."
    return _reason("blocked", step, text)


def doubt(step: StepDetail) -> str:
    """Why nobody knows how an attempt ended; empty if there was none such."""
    reasons = [one.reason for one in step.attempts if one.outcome == "unknown" and one.reason]
    return reasons[-1] if reasons else ""


def _ready(found: Standstill, step: StepDetail, crew: Crew) -> Reason:
    what, queue = _capital(name_of(step)), step.queue
    since = step.last.at if step.last else step.asked_at
    for_so_long = f"for {between(since, found.saga.now)}"
    if not crew.serving:
        text = f"{what} waits {for_so_long}, and no live worker serves queue {queue}."
        return _reason("no_worker", step, text, since=since)
    if not crew.able:
        workers = counted(crew.serving, "live worker")
        note = f" ({step.note})" if step.note else ""
        text = f"{what} waits {for_so_long}: none of {workers} on queue {queue} has its code{note}."
        return _reason("no_code", step, text, since=since)
    if step.state is StepState.UNKNOWN:
        why = f" ({told})" if (told := error_text(step.error) or doubt(step)) else ""
        text = f"The outcome of {name_of(step)} is unknown{why}; it is looked into"
        text += f" {when(step.due_at, found.saga.now)}."
        return _reason("unknown", step, text, until=step.due_at)
    text = (
        f"{what} waits {for_so_long} for a free slot on queue {queue}, which "
        f"{counted(crew.able, 'live worker')} serve{'s' if crew.able == 1 else ''}."
    )
    return _reason("slot", step, text, since=since)


def _waiting(found: Standstill, step: StepDetail) -> Reason:
    until = step.deadline or step.due_at
    late = f" until {clock(until)}" if until else ", without a deadline"
    if step.kind == "timer":
        text = f"It sleeps until {_time(until)} ({when(until, found.saga.now)})."
        return _reason("timer", step, text, until=until)
    if step.kind == "child":
        return _child(found, step)
    article = "an" if step.kind == "approval" else "a"
    whose = "the undo of its child" if step.undo else f"{article} {step.kind}"
    text = f"It waits for {whose}: {step.name} (position {step.position}){late}."
    return _reason(_WAITING.get(step.kind, "signal"), step, text, until=until)


def _child(found: Standstill, step: StepDetail) -> Reason:
    child = step.child
    if child is None:
        return _reason("child", step, f"Its child {step.name} (position {step.position}) starts.")
    does = "is undone" if step.undo else "runs"
    text = f"Its child {child.name} {child.id} {does} ({child.status})."
    inner = found.children.get(step.position)
    if inner is not None:
        text = f"{text[:-1]}: {why_not(inner).answer}"
    return _reason("child", step, text, child=child.id)


def _reason(
    kind: str,
    step: StepDetail,
    text: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    child: UUID | None = None,
) -> Reason:
    return Reason(
        kind,
        text,
        step.position,
        step.undo,
        step.name,
        step.queue,
        since or step.asked_at,
        until,
        child,
    )


def _time(moment: datetime | None) -> str:
    return clock(moment) if moment else "an unknown time"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

"""The states of sagas and steps, and every legal move between them.

These two tables are the only source: the database's triggers (migrations/versions), the
guards in SQL and the diagram in the README are made from them, and tests hold all three to it.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import LiteralString, cast


class StepState(StrEnum):
    """Where a step or a compensation stands. Each comment says who moves it on after a crash."""

    READY = "ready"  # may run now; its wake-up may be lost: the sweeper sends another
    RUNNING = "running"  # leased to one attempt on one worker; a dead worker's move to UNKNOWN
    RETRYING = (
        "retrying"  # an attempt failed, the next one is due later; the sweeper makes it READY
    )
    UNKNOWN = (
        "unknown"  # the attempt may or may not have had its effect; claimed like READY, probe first
    )
    WAITING = (
        "waiting"  # a timer, signal, approval or child: moved by what it waits for, or its deadline
    )
    BLOCKED = "blocked"  # a person must decide: retry, skip or mark as done
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # no attempts left, or a permanent error
    CANCELLED = "cancelled"  # no longer wanted, and known to have had no effect
    SKIPPED = "skipped"  # a person decided to go on without it


class SagaStatus(StrEnum):
    """Where a saga stands as a whole."""

    RUNNING = "running"
    PARKED = "parked"  # its code does not fit its history; goes on when a worker's code does
    COMPENSATING = "compensating"
    COMPLETED = "completed"
    FAILED = "failed"  # nothing had to be undone
    COMPENSATED = "compensated"  # every effect undone, also by hand after another end
    PARTLY_COMPENSATED = "partly_compensated"  # an undo is blocked, was skipped or not asked for
    CANCELLED = "cancelled"  # ended by request, with nothing left standing


STEP_MOVES: dict[StepState | None, frozenset[StepState]] = {
    None: frozenset({StepState.READY, StepState.RUNNING, StepState.WAITING}),
    StepState.READY: frozenset({StepState.RUNNING, StepState.CANCELLED, StepState.FAILED}),
    StepState.RUNNING: frozenset(
        {
            StepState.SUCCEEDED,
            StepState.FAILED,
            StepState.RETRYING,
            StepState.UNKNOWN,
            StepState.BLOCKED,
            StepState.READY,
        }
    ),
    StepState.RETRYING: frozenset({StepState.READY, StepState.CANCELLED, StepState.FAILED}),
    StepState.UNKNOWN: frozenset({StepState.RUNNING, StepState.BLOCKED, StepState.FAILED}),
    StepState.WAITING: frozenset(
        {
            StepState.SUCCEEDED,
            StepState.FAILED,
            StepState.CANCELLED,
            StepState.BLOCKED,  # the undo of a child that could not undo itself entirely
        }
    ),
    StepState.BLOCKED: frozenset(
        {
            StepState.READY,
            StepState.WAITING,  # the undo of a child, tried again
            StepState.SUCCEEDED,
            StepState.SKIPPED,
            StepState.FAILED,
            StepState.CANCELLED,
        }
    ),
    StepState.SUCCEEDED: frozenset(),
    StepState.FAILED: frozenset(
        {
            StepState.READY,  # only by an operator's retry
            StepState.WAITING,  # the same, of a child
            StepState.BLOCKED,  # past a pivot, where a failure must not turn the saga round
        }
    ),
    # Only by an operator's retry of the saga whose failure cancelled them.
    StepState.CANCELLED: frozenset({StepState.READY, StepState.WAITING}),
    StepState.SKIPPED: frozenset(),
}

REOPENINGS: dict[tuple[StepState, StepState], str] = {
    # An undo that ran without its step's result, which has come to light since.
    (StepState.SUCCEEDED, StepState.READY): "OLD.undo AND OLD.in_doubt",
}
"""Moves out of a final state that are legal on a condition only (SQL, on the row as it was)."""

SAGA_MOVES: dict[SagaStatus | None, frozenset[SagaStatus]] = {
    None: frozenset({SagaStatus.RUNNING}),
    SagaStatus.RUNNING: frozenset(
        {
            SagaStatus.COMPLETED,
            SagaStatus.FAILED,
            SagaStatus.COMPENSATING,
            SagaStatus.COMPENSATED,  # its scopes had undone everything
            SagaStatus.PARTLY_COMPENSATED,
            SagaStatus.CANCELLED,
            SagaStatus.PARKED,
        }
    ),
    SagaStatus.PARKED: frozenset(
        {
            SagaStatus.RUNNING,
            SagaStatus.COMPLETED,
            SagaStatus.FAILED,
            SagaStatus.COMPENSATING,
            SagaStatus.COMPENSATED,
            SagaStatus.PARTLY_COMPENSATED,
            SagaStatus.CANCELLED,
        }
    ),
    SagaStatus.COMPENSATING: frozenset(
        {
            SagaStatus.COMPENSATED,
            SagaStatus.PARTLY_COMPENSATED,
            SagaStatus.CANCELLED,
            SagaStatus.FAILED,
        }
    ),
    SagaStatus.COMPLETED: frozenset({SagaStatus.COMPENSATING}),  # by hand
    SagaStatus.PARTLY_COMPENSATED: frozenset(
        {SagaStatus.COMPENSATING}
    ),  # a blocked undo was resolved
    SagaStatus.FAILED: frozenset(
        {
            SagaStatus.RUNNING,  # an operator's retry
            SagaStatus.COMPENSATING,  # an effect has come to light that was taken for none
        }
    ),
    SagaStatus.COMPENSATED: frozenset({SagaStatus.COMPENSATING}),  # the same
    SagaStatus.CANCELLED: frozenset({SagaStatus.COMPENSATING}),  # the same
}

CLAIMABLE = (StepState.READY, StepState.UNKNOWN)
"""A worker may take its lease."""
BEGUN = (StepState.RUNNING, StepState.UNKNOWN)
"""An attempt is at it, or was: it may have its effect already."""
SETTLED = (StepState.SUCCEEDED, StepState.FAILED, StepState.CANCELLED, StepState.SKIPPED)
"""It has its event in the journal, and moves again only by a person's hand."""
RESULTLESS = (StepState.FAILED, StepState.CANCELLED, StepState.SKIPPED)
"""Settled otherwise than by success; its effect may stand all the same (`in_doubt`)."""
REOPENABLE = (StepState.FAILED, StepState.CANCELLED)
"""What a retry of the saga, or a pivot, opens again."""
OPEN = frozenset(state for state in StepState if state not in SETTLED)
"""It may still run, or waits for something."""

FORWARD = (SagaStatus.RUNNING, SagaStatus.PARKED)
"""Its code decides; parked: once it fits again."""
DECIDABLE = (SagaStatus.RUNNING, SagaStatus.COMPENSATING)
"""What comes in can be decided upon."""
ACTIVE = (*FORWARD, SagaStatus.COMPENSATING)
"""It has not ended."""
ENDED = tuple(status for status in SagaStatus if status not in ACTIVE)
"""Nothing goes on by itself; some are turned round later (SAGA_MOVES)."""
TURNED = (
    SagaStatus.FAILED,
    SagaStatus.COMPENSATED,
    SagaStatus.CANCELLED,
    SagaStatus.PARTLY_COMPENSATED,
)
"""It has ended otherwise than by completing: nothing of it is wanted any more."""


def sql(states: StrEnum | Iterable[StrEnum]) -> LiteralString:
    """`'ready'` for a state, `('ready', 'unknown')` for several: for constants of statements."""
    if isinstance(states, StrEnum):
        return cast("LiteralString", f"'{states}'")
    return f"({', '.join(map(sql, states))})"


def illegal_move_condition(
    column: str,
    moves: dict[StepState | None, frozenset[StepState]]
    | dict[SagaStatus | None, frozenset[SagaStatus]],
) -> str:
    """The SQL condition that is true for an UPDATE whose move of `column` is in no table row.

    One comparison with an array: Postgres reads a trigger's condition anew for each statement, and
    a list of pairs cost as much as a third of a landing.
    """
    legal = [f"{a}>{b}" for a, targets in moves.items() if a for b in sorted(targets)]
    conditional = "".join(
        f" AND NOT (OLD.{column} = '{a}' AND NEW.{column} = '{b}' AND {condition})"
        for (a, b), condition in (REOPENINGS.items() if column == "state" else ())
    )
    return (
        f"OLD.{column} IS DISTINCT FROM NEW.{column} "
        f"AND OLD.{column} || '>' || NEW.{column} <> ALL ('{{{','.join(legal)}}}'){conditional}"
    )

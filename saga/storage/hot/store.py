"""The hot statements as methods: rows in, rows out, one round trip each."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import psycopg

from saga.core.intent import Intent
from saga.core.rows import StepKey, StepRow
from saga.core.undo.plan import Choice
from saga.storage.hot import statements
from saga.storage.hot.landing_json import batch_of
from saga.storage.hot.rows import (
    Claimed,
    Landed,
    Landing,
    Loaded,
    LoadedSignal,
    LoadedStep,
    Move,
    Seen,
)

T = TypeVar("T")

MOST_ARGUMENTS = 16 << 20
"""Bytes of arguments that are read to compare them."""

_REST = 3 + len(Intent._fields)


class Store:
    """The hot statements on one connection; not safe for use by two threads at once.

    A connection error says nothing about whether the statement was committed: read the rows again.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def land(self, landings: Sequence[Landing], worker_id: int | None) -> dict[UUID, Landed]:
        """Writes decisions. Returns the sagas that landed."""
        parameters = {
            "batch": batch_of(landings),
            "worker": worker_id,
            "grants": any(landing.grants for landing in landings),
        }
        taken = [(one.saga_id, *pair) for one in landings for pair in one.consumed]
        if not taken:
            return self._land(parameters)
        with self.connection.transaction():
            landed = self._land(parameters)
            self._note_consumed([row for row in taken if row[0] in landed])
        return landed

    def _land(self, parameters: dict[str, Any]) -> dict[UUID, Landed]:
        rows = self.connection.execute(statements.LAND, parameters)
        return {saga_id: Landed(awaited, fence) for saga_id, awaited, fence in rows}

    def record(self, moves: Sequence[Move], apply_within: float = 2.0) -> dict[StepKey, int | None]:
        """Moves steps without a decision. Returns those that moved, with their journal number."""
        parameters = {**statements.MOVED.parameters(moves), "apply_within": apply_within}
        rows = self.connection.execute(statements.RECORD, parameters).fetchall()
        return {StepKey(*row[:3]): row[3] for row in rows}

    def record_each(self, moves: Sequence[Move]) -> dict[StepKey, int | None]:
        """Like `record`, but what is locked is left out instead of failing the rest."""
        return each(self.record, moves)

    def claim(
        self, wanted: Sequence[tuple[StepKey, float | None]], worker_id: int
    ) -> list[Claimed]:
        """Takes leases; `wanted` holds each step's time limit in seconds. What is not returned was
        not to be had.
        """
        parameters = _columns([(*key, limit) for key, limit in wanted], "id position undo due_in")
        parameters["worker"] = worker_id
        rows = self.connection.execute(statements.CLAIM, parameters)
        return [_with_intent(Claimed, row) for row in rows]

    def load(self, wanted: Iterable[tuple[UUID, int, int]]) -> list[Loaded]:
        """Sagas beyond the (last event, last position) of the caller; (id, -1, -1): all."""
        parameters = _columns(list(wanted), "id events position")
        return [_loaded(row) for row in self.connection.execute(statements.LOAD, parameters)]

    def arguments(self, saga_id: UUID, positions: Sequence[int]) -> dict[int, str]:
        """What these steps were asked for with, as long as it is not too much to be held."""
        parameters = {"id": saga_id, "position": list(positions), "size": MOST_ARGUMENTS}
        return dict(self.connection.execute(statements.ARGUMENTS, parameters).fetchall())

    def load_steps(self, saga_ids: Sequence[UUID]) -> dict[UUID, list[StepRow]]:
        """All steps of these sagas, with what undoing them needs, in order of position. A child of
        which there is nothing to undo is `read_only`.
        """
        ids = {"id": list(saga_ids)}
        loaded = self.connection.execute(statements.LOAD_STEPS, ids)
        rows = [_with_intent(StepRow, row) for row in loaded]
        if any(row.intent.kind == "child" for row in rows):
            idle = set(self.connection.execute(statements.IDLE_CHILDREN, ids).fetchall())
            rows = [_idle(row) if row[:2] in idle else row for row in rows]
        found: dict[UUID, list[StepRow]] = {saga_id: [] for saga_id in saga_ids}
        for row in rows:
            found[row.saga_id].append(row)
        return found

    def results(self, keys: Sequence[StepKey]) -> dict[tuple[UUID, int], str | None]:
        """What the forward steps of these undos returned, by saga and position."""
        parameters = _columns([key[:2] for key in keys], "id position")
        rows = self.connection.execute(statements.RESULTS, parameters)
        return {(row[0], row[1]): row[2] for row in rows}

    def choices(self, saga_ids: Sequence[UUID]) -> dict[UUID, Choice]:
        """Which steps an operator wants undone."""
        rows = self.connection.execute(statements.CHOICES, {"id": list(saga_ids)})
        return {
            row[0]: Choice(None if row[1] is None else frozenset(row[1]), row[2] or 0)
            for row in rows
        }

    def states(self, keys: Sequence[StepKey]) -> dict[StepKey, tuple[str, int]]:
        """State and attempt of steps."""
        rows = self.connection.execute(statements.STATES, _columns(keys, "id position undo"))
        return {StepKey(*row[:3]): (row[3], row[4]) for row in rows}

    def held_by(self, worker_id: int) -> list[tuple[StepKey, int]]:
        """The leases of a worker, with their attempts."""
        rows = self.connection.execute(statements.HELD_BY, {"worker": worker_id})
        return [(StepKey(*row[:3]), row[3]) for row in rows]

    def note(self, key: StepKey, why: str) -> None:
        """Writes beside a waiting step why it does not go on."""
        self.connection.execute(statements.NOTE, {**key._asdict(), "note": why})

    def _note_consumed(self, taken: Sequence[tuple[UUID, int, int]]) -> None:
        """Writes beside signals, given by saga, position and event, who took them."""
        self.connection.execute(statements.NOTE_CONSUMED, _columns(taken, "id position event"))

    def note_rejected(self, move: Move, reason: str) -> bool:
        """Keeps a late result in the history; nothing else changes. False: it came twice, and was
        not late the first time.
        """
        noted = self.connection.execute(
            statements.NOTE_REJECTED,
            {
                "id": move.key.saga_id,
                "position": move.key.position,
                "undo": move.key.undo,
                "after": move.after,
                "attempt": move.attempt,
                "worker_id": move.worker_id,
                "reason": reason,
            },
        )
        return noted.rowcount > 0

    def queues(self, saga_ids: Sequence[UUID]) -> list[tuple[UUID, str]]:
        """Where the code of these sagas is."""
        return self.connection.execute(statements.QUEUES, {"id": list(saga_ids)}).fetchall()

    def course(self, saga_id: UUID) -> list[tuple[float, str]]:
        """When the saga itself moved (epoch seconds), and to which status, in order."""
        return self.connection.execute(statements.COURSE, {"id": saga_id}).fetchall()

    def start_child(
        self,
        saga_id: UUID,
        version: int,
        queue: str,
        input_: str,
        parent: UUID,
        position: int,
    ) -> bool:
        """Starts a child that its parent waits for, unless it is there already; whether it was
        started now.
        """
        cursor = self.connection.execute(
            statements.START_CHILD,
            {
                "id": saga_id,
                "version": version,
                "queue": queue,
                "input": input_,
                "parent": parent,
                "position": position,
            },
        )
        return cursor.rowcount > 0

    def lost_children(
        self, wanted: Sequence[tuple[UUID, int, UUID]]
    ) -> list[tuple[UUID, int, Intent]]:
        """Those of these children, given as parent, position and id, that are not there."""
        rows = self.connection.execute(
            statements.LOST_CHILDREN, _columns(wanted, "id position child")
        )
        return [(row[0], row[1], Intent(*row[2:])) for row in rows]

    def ends_of_children(
        self, saga_ids: Sequence[UUID]
    ) -> list[tuple[UUID, int, str, str, str | None, str | None, str | None]]:
        """Of those that have ended: parent, position, the parent's queue, status, why it
        compensated, result, error.
        """
        return self.connection.execute(
            statements.ENDS_OF_CHILDREN, {"id": list(saga_ids)}
        ).fetchall()


Moved = dict[StepKey, int | None]


def each(record: Callable[[Sequence[Move]], Moved], moves: Sequence[Move]) -> Moved:
    """All at once; one by one if any of them is locked, which is then left out."""
    try:
        return record(moves) if moves else {}
    except psycopg.errors.LockNotAvailable:
        if len(moves) == 1:
            return {}
    landed: Moved = {}
    for move in moves:
        landed |= each(record, [move])
    return landed


def _with_intent(of: Callable[..., T], row: tuple[Any, ...]) -> T:
    """A row of a step: its key, its intent, the rest."""
    return of(*row[:3], Intent(*row[3:_REST]), *row[_REST:])


def _idle(row: StepRow) -> StepRow:
    return row._replace(intent=row.intent._replace(read_only=True))


def _loaded(row: tuple[Any, ...]) -> Loaded:
    (
        saga_id,
        name,
        version,
        queue,
        status,
        input_,
        events,
        applied,
        fence,
        created,
        cause,
        due,
        parent,
        exposed,
        traceparent,
        steps,
        signals,
    ) = row
    return Loaded(
        saga_id,
        name,
        version,
        queue,
        status,
        input_,
        Seen(events, applied, fence),
        created,
        cause,
        due,
        parent,
        exposed,
        traceparent,
        [LoadedStep(*step) for step in steps or ()],
        [LoadedSignal(*signal) for signal in signals or ()],
    )


def _columns(rows: Sequence[tuple[Any, ...]], names: str) -> dict[str, Any]:
    if not rows:
        return {name: [] for name in names.split()}
    return {
        name: list(column)
        for name, column in zip(names.split(), zip(*rows, strict=True), strict=True)
    }

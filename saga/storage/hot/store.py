"""The hot statements as methods: rows in, rows out, one round trip each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, LiteralString, TypeVar
from uuid import UUID

import psycopg

from saga.core.intent import Intent
from saga.core.rows import StepKey, StepRow
from saga.core.undo.plan import Choice
from saga.storage import workers
from saga.storage.hot import statements
from saga.storage.hot.landing_json import batch_of
from saga.storage.hot.rows import (
    LARGE,
    MANY,
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
)
from saga.storage.turning import ask_again as asking_again
from saga.storage.turning import children as child_rows
from saga.storage.turning import late_effects, take_back
from saga.storage.turning.by_hand import Held

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
        """Writes decisions; what is not returned did not land."""
        parameters = {"batch": batch_of(landings), "worker": worker_id}
        taken = [(one.saga_id, *pair) for one in landings for pair in one.consumed]
        if not taken:
            return self._land(parameters)
        with self.connection.transaction():
            landed = self._land(parameters)
            self._note_consumed([row for row in taken if row[0] in landed])
        return landed

    def _land(self, parameters: dict[str, Any]) -> dict[UUID, Landed]:
        rows = self.connection.execute(statements.LAND, parameters)
        return {row[0]: Landed(*row[1:]) for row in rows}

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

    def load(
        self, wanted: Iterable[Known], worker_id: int, advancing: Sequence[UUID] = ()
    ) -> list[Loaded]:
        """Sagas beyond what the caller knows of them; of large ones only that they are.

        `advancing`: whose code the worker is running, or about to run without knowing it; empty:
        what it said last still holds.
        """
        parameters = _columns([(k.saga_id, k.seq, k.seen.events) for k in wanted], "id seq events")
        parameters |= {"many": MANY, "large": LARGE}
        parameters |= {"worker": worker_id, "advancing": list(advancing)}
        return [_loaded(row) for row in self.connection.execute(statements.LOAD, parameters)]

    def arguments(self, saga_id: UUID, positions: Sequence[int]) -> dict[int, str]:
        """What these steps were asked for with, as long as it is not too much to be held."""
        parameters = {"id": saga_id, "position": list(positions), "size": MOST_ARGUMENTS}
        return dict(self.connection.execute(statements.ARGUMENTS, parameters).fetchall())

    def other_pythons(self, saga_id: UUID) -> str | None:
        """Versions of Python, other than this one, on which workers took the saga forward."""
        parameters = {"id": saga_id, "own": workers.PYTHON}
        row = self.connection.execute(statements.OTHER_PYTHONS, parameters).fetchone()
        return row[0] if row else None

    def load_large(self, known: Known) -> Loaded | None:
        """A saga of any size: its rows are read one by one, of one snapshot."""
        wanted = {"id": known.saga_id, "seq": known.seq, "events": known.seen.events}
        with self.connection.transaction():
            self.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            head = self.connection.execute(statements.LOAD_HEAD, wanted).fetchone()
            if head is None:
                return None
            entries = list(self._stream(statements.LOAD_ENTRIES, wanted))
            letters = list(self._stream(statements.LOAD_LETTERS, wanted))
        return _loaded((*head, False, entries, letters))

    def load_steps(self, saga_id: UUID) -> list[StepRow]:
        """All steps of a saga, with what undoing them needs, in order of position. A child of which
        there is nothing to undo is `read_only`.
        """
        return self.load_steps_of_each([saga_id])[saga_id]

    def load_steps_of_each(self, saga_ids: Sequence[UUID]) -> dict[UUID, list[StepRow]]:
        """The same of several sagas."""
        found = self.connection.execute(statements.LOAD_STEPS_OF_EACH, {"id": list(saga_ids)})
        steps: dict[UUID, list[StepRow]] = {saga_id: [] for saga_id in saga_ids}
        for row in self._without_idle([_with_intent(StepRow, row) for row in found]):
            steps[row.saga_id].append(row)
        return steps

    def stream_steps(self, saga_id: UUID) -> list[StepRow]:
        """The same of a saga of any size."""
        with self.connection.transaction():
            found = self._stream(statements.LOAD_STEPS, {"id": saga_id})
            return self._without_idle([_with_intent(StepRow, row) for row in found])

    def _without_idle(self, rows: list[StepRow]) -> list[StepRow]:
        parents = {row.saga_id for row in rows if row.intent.kind == "child"}
        if not parents:
            return rows
        idle = self.idle_children(list(parents))
        return [idle_row(row) if row[:2] in idle else row for row in rows]

    def idle_children(self, parents: Sequence[UUID]) -> set[tuple[UUID, int]]:
        """Children that completed and began nothing that has an undo, as parent and position."""
        rows = self.connection.execute(statements.IDLE_CHILDREN, {"id": list(parents)})
        return set(rows.fetchall())

    def load_some_steps(self, keys: Sequence[StepKey]) -> list[StepRow]:
        """Some steps, of whatever sagas."""
        found = self.connection.execute(
            statements.LOAD_SOME_STEPS, _columns(keys, "id position undo")
        )
        return [_with_intent(StepRow, row) for row in found]

    def _stream(self, statement: LiteralString, wanted: dict[str, Any]) -> Iterator[Any]:
        """Rows as they come: a result of a gibibyte does not fit in one answer."""
        with self.connection.cursor(name="stream") as cursor:
            cursor.itersize = MANY
            cursor.execute(statement, wanted)
            yield from cursor

    def results(self, keys: Sequence[StepKey]) -> dict[tuple[UUID, int], str | None]:
        """What the forward steps of these undos returned, by saga and position."""
        parameters = _columns([key[:2] for key in keys], "id position")
        rows = self.connection.execute(statements.RESULTS, parameters)
        return {(row[0], row[1]): row[2] for row in rows}

    def choice(self, saga_id: UUID) -> Choice:
        """Which steps an operator wants undone."""
        row = self.connection.execute(statements.CHOICE, {"id": saga_id}).fetchone()
        only, since = row or (None, None)
        return Choice(None if only is None else frozenset(only), since or 0)

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

    def recall_children(
        self, children: Sequence[UUID], *, parent_stops: bool = False
    ) -> list[tuple[UUID, str]]:
        """See `turning.children.recall`."""
        return child_rows.recall(self.connection, children, parent_stops=parent_stops)

    def compensate_children(self, children: Sequence[UUID]) -> list[tuple[UUID, str]]:
        """See `turning.children.compensate`."""
        return child_rows.compensate(self.connection, children)

    def reopen(self, saga_ids: Sequence[UUID], reason: str | None) -> list[tuple[UUID, str]]:
        """See `turning.children.reopen`."""
        return child_rows.reopen(self.connection, saga_ids, reason=reason)

    def block_failures(self, saga_id: UUID, seen: Seen, failures: Sequence[StepRow]) -> bool:
        """See `turning.take_back.block_failures`."""
        return take_back.block_failures(self.connection, saga_id, seen, failures)

    def ask_again(self, saga_id: UUID, seen: Seen, asked: Sequence[NewStep]) -> list[Held]:
        """See `turning.ask_again`."""
        return asking_again.ask_again(self.connection, saga_id, seen, asked)

    def keep_effect(self, key: StepKey, result: str | None) -> tuple[UUID, str] | None:
        """See `turning.late_effects.keep_effect`."""
        return late_effects.keep_effect(self.connection, key, result)

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


def idle_row(row: StepRow) -> StepRow:
    """A child of which there is nothing to undo."""
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
        seq,
        created,
        cause,
        due,
        parent,
        exposed,
        traceparent,
        losses,
        is_large,
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
        seq,
        is_large,
        created,
        cause,
        due,
        parent,
        exposed,
        traceparent,
        losses,
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

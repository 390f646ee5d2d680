"""Starting sagas and talking to them: one statement each, to fit the caller's transaction."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol
from uuid import UUID

from saga.core.states import ACTIVE, sql
from saga.errors import KeyConflict, UnknownSaga
from saga.storage import payloads


class Executor(Protocol):
    """Whatever runs a statement with named parameters and gives its rows: see
    `saga.storage.callers`.
    """

    def __call__(self, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True, slots=True)
class Start:
    """A saga to be started. `version` and `queue` None: the newest that a live worker has, or else
    the newest that any had.
    """

    id: UUID
    name: str
    version: int | None
    queue: str | None
    key: str | None
    input: str
    attributes: str | None
    callback: str | None = None
    traceparent: str | None = None
    given: str | None = None
    """The input without defaults, if it has a key; None: the input is what was given."""


@dataclass(frozen=True, slots=True)
class Started:
    """A saga that was asked for. `is_new` False: the same key had started it before."""

    id: UUID
    queue: str
    is_new: bool


_START = """
SELECT * FROM saga.accept_starts(
  %(id)s::uuid[], %(name)s::text[], %(version)s::int[], %(queue)s::text[], %(key)s::text[],
  %(input)s::text[], %(attributes)s::text[], %(callback)s::text[], %(traceparent)s::text[],
  %(actor)s::text, %(due_in)s::float8, %(given)s::text[])
"""
_EXISTING = """
SELECT * FROM saga.earlier_start(
  %(name)s::text, %(key)s::text, %(version)s::int, %(input)s::text, %(given)s::text)
"""
_IDENTITY = ("name", "key", "version", "input", "given")
_NAMES = "SELECT DISTINCT name FROM saga.definition"


def start(
    execute: Executor, wanted: list[Start], due_in: float | None, actor: str | None = None
) -> list[Started]:
    """Starts sagas. `due_in` None: nobody else sends their wake-ups, the sweeper does at once.

    Raises UnknownSaga for a name that no worker has announced and KeyConflict for a key that was
    used with another input; then the caller's transaction is to be rolled back.
    """
    columns = [field.name for field in fields(Start)]
    parameters: dict[str, Any] = {c: [getattr(x, c) for x in wanted] for c in columns}
    rows = execute(_START, {**parameters, "due_in": due_in, "actor": actor})
    return [
        _started(execute, asked, fresh, queue)
        for asked, (fresh, queue) in zip(wanted, rows, strict=True)
    ]


def _started(execute: Executor, asked: Start, fresh: bool, queue: str | None) -> Started:
    if queue is None:
        known = [row[0] for row in execute(_NAMES, {})]
        raise UnknownSaga(asked.name, known, _unannounced(asked, known))
    if fresh:
        return Started(asked.id, queue, is_new=True)
    rows = execute(_EXISTING, {c: getattr(asked, c) for c in _IDENTITY})
    what = f"a saga {asked.name!r} with key {asked.key!r}"
    if not rows:
        raise KeyConflict(f"{what} is being started elsewhere: try again")
    saga_id, is_same = rows[0]
    if not is_same:
        raise KeyConflict(f"{what} was started before with another input: it is {saga_id}")
    return Started(saga_id, queue, is_new=False)


def _unannounced(asked: Start, known: list[str]) -> str:
    which = f"{asked.name!r}" + (f" version {asked.version}" if asked.version else "")
    near = difflib.get_close_matches(asked.name, known, n=3)
    if asked.name in known or not known:
        hint = ""
    elif near:
        hint = f"; did you mean {', '.join(near)}?"
    else:
        hint = f"; announced are {', '.join(sorted(known)[:20])}"
    return f"no worker has announced saga {which}{hint}"


_FIND = "SELECT saga.find(%(name)s::text, %(key)s::text)"


def find(execute: Executor, name: str, key: str) -> UUID | None:
    """The saga that was started with this key."""
    return execute(_FIND, {"name": name, "key": key})[0][0]


_THERE = """
SELECT w.id, w.name, w.key
  FROM unnest(%(ids)s::text[], %(names)s::text[], %(keys)s::text[]) AS w(id, name, key)
 WHERE EXISTS (SELECT FROM saga.saga s WHERE s.id = w.id::uuid)
    OR EXISTS (SELECT FROM saga.saga s WHERE s.name = w.name AND s.key = w.key)
"""
Wanted = tuple[str | None, str | None, str | None]
"""A saga by its id, or by the name and the key of its start."""


def there(execute: Executor, wanted: Sequence[Wanted]) -> set[Wanted]:
    """Those that exist. The ids are UUIDs."""
    ids, names, keys = (
        (list(column) for column in zip(*wanted, strict=True)) if wanted else ([],) * 3
    )
    return set(execute(_THERE, {"ids": ids, "names": names, "keys": keys}))  # type: ignore[arg-type]


_SIGNAL = """
SELECT * FROM saga.accept_signal(
  %(id)s::uuid, %(name)s::text, %(payload)s::text, %(dedup_id)s::text, %(sender)s::text,
  %(due_in)s::float8, %(actor)s::text)
"""


@dataclass(frozen=True, slots=True)
class Signalled:
    """What came of a signal. Neither known nor accepted: the saga takes none any more."""

    status: str
    queue: str
    known: bool
    accepted: bool


def signal(
    execute: Executor,
    saga_id: UUID,
    name: str,
    payload: str,
    dedup_id: str | None,
    sender: str | None,
    due_in: float | None,
    actor: str | None = None,
) -> Signalled | None:
    """Stores a signal as the next event; None: there is no such saga. `actor` is who stands in the
    audit trail, if not the sender.
    """
    rows = execute(
        _SIGNAL,
        {
            "id": saga_id,
            "name": name,
            "payload": payload,
            "dedup_id": dedup_id,
            "sender": sender,
            "due_in": due_in,
            "actor": actor,
        },
    )
    return Signalled(*rows[0]) if rows else None


_STATUS = f"""
SELECT status, {payloads.read("result")}, {payloads.read("error")}, name, version, {payloads.read("exposed")}
  FROM saga.saga WHERE id = %(id)s
"""


# Only a hint: it must not hold the saga's row until the disk has it.
_AWAIT = f"""
WITH hint AS (SELECT set_config('synchronous_commit', 'off', true))
UPDATE saga.saga SET awaited = true FROM hint
 WHERE id = %(id)s AND status IN {sql(ACTIVE)} RETURNING 1
"""


def await_end(execute: Executor, saga_id: UUID) -> bool:
    """Asks for the saga's end to be announced; False if it has ended, or is not there."""
    return bool(execute(_AWAIT, {"id": saga_id}))


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a saga stands. Payloads are JSON text."""

    status: str
    result: str | None
    error: str | None
    name: str
    version: int
    exposed: str | None


def standing(execute: Executor, saga_id: UUID) -> Standing | None:
    """Where a saga stands now; None if there is none of this id."""
    rows = execute(_STATUS, {"id": saga_id})
    return Standing(*rows[0]) if rows else None

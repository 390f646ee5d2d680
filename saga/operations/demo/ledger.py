"""What one service has been asked and what it has done, in a SQLite file of its own.

The engine cannot write here. Every request is recorded, also refused and repeated ones; every
applied effect is recorded once more. "Lost" and "doubled" are counted from these rows alone.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from saga.operations.demo.web import BadRequestError, Reply, Request

SCHEMA = """
CREATE TABLE IF NOT EXISTS request (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
    key TEXT, reference TEXT, status INTEGER NOT NULL, repeated INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS effect (
    number INTEGER PRIMARY KEY, at REAL NOT NULL, key TEXT NOT NULL,
    operation TEXT NOT NULL, reference TEXT NOT NULL, subject TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answer (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL);
"""

ANSWER = "SELECT fingerprint, status, body FROM answer WHERE key = ?"
KEEP_ANSWER = "INSERT INTO answer (key, fingerprint, status, body) VALUES (?, ?, ?, ?)"
VOID = "*"  # fingerprint of a key that was voided before any request used it
ADD_EFFECT = "INSERT INTO effect (at, key, operation, reference, subject) VALUES (?, ?, ?, ?, ?)"
ADD_REQUEST = (
    "INSERT INTO request (at, method, path, key, reference, status, repeated)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, slots=True)
class Effect:
    """A change in the outside world: which operation, for which case, on what."""

    operation: str
    reference: str
    subject: str


Outcome = tuple[Reply, Effect | None]
"""What a service answers, and what it changed, if it changed anything."""


class Ledger:
    """One service's file. Not shared between threads; other processes may read it meanwhile."""

    def __init__(self, path: Path, schema: str = "") -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        # WAL lets the driver count while the service writes; what is committed survives kill -9.
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")
        self.connection.executescript(SCHEMA + schema)

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def apply(self, request: Request, reference: str, change: Callable[[], Outcome]) -> Reply:
        """Run `change` at most once under the request's key, in one transaction with its record.

        The same key with the same request gets the first answer again; with another request it is
        refused with 422. Without a key the request is refused with 400.
        """
        if request.key is None:
            return self.note(
                request, reference, _error(400, "the Idempotency-Key header is missing")
            )
        fingerprint = _fingerprint(request)
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            reply = self._repeat(request, reference, fingerprint)
            if reply is None:
                reply = self._first(request, request.key, reference, fingerprint, change)
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        return reply

    def void(self, key: str) -> None:
        """Refuse (410) every later request under `key`: its undo came first."""
        gone = _error(410, "this Idempotency-Key was voided")
        self.connection.execute(KEEP_ANSWER, (key, VOID, gone.status, gone.body))

    def note(
        self, request: Request, reference: str, reply: Reply, *, repeated: bool = False
    ) -> Reply:
        """Record a request that changes nothing; gives the reply back."""
        row = (time.time(), request.method, request.path, request.key, reference, reply.status)
        self.connection.execute(ADD_REQUEST, (*row, repeated))
        return reply

    def seen(self, key: str) -> bool:
        """Whether a request under `key` has been answered."""
        return self.connection.execute(ANSWER, (key,)).fetchone() is not None

    def _repeat(self, request: Request, reference: str, fingerprint: str) -> Reply | None:
        row = self.connection.execute(ANSWER, (request.key,)).fetchone()
        if row is None:
            return None
        known, status, body = row
        if known not in {fingerprint, VOID}:
            conflict = _error(422, "this Idempotency-Key was used for another request")
            return self.note(request, reference, conflict)
        replay = Reply(status, body, {"idempotent-replayed": "true"})
        return self.note(request, reference, replay, repeated=True)

    def _first(
        self,
        request: Request,
        key: str,
        reference: str,
        fingerprint: str,
        change: Callable[[], Outcome],
    ) -> Reply:
        reply, effect = change()
        self.connection.execute(KEEP_ANSWER, (key, fingerprint, reply.status, reply.body))
        if effect is not None:
            row = (time.time(), key, effect.operation, effect.reference, effect.subject)
            self.connection.execute(ADD_EFFECT, row)
        return self.note(request, reference, reply)


def text(body: dict[str, object], name: str) -> str:
    """The field `name` of a request's body, which must be a string that is not empty."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequestError(400, f"{name} must be a string that is not empty")
    return value


def _error(status: int, message: str) -> Reply:
    return Reply.of(status, {"error": {"message": message}})


def _fingerprint(request: Request) -> str:
    content = b"\0".join([request.method.encode(), request.path.encode(), request.body])
    return hashlib.sha256(content).hexdigest()

"""The demo's ticket desk: opens and closes tickets, once per idempotency key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from saga.operations.demo.ledger import Effect, Ledger, Outcome, text
from saga.operations.demo.web import Reply, Request

SCHEMA = """
CREATE TABLE IF NOT EXISTS ticket (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, reference TEXT NOT NULL,
    customer TEXT NOT NULL, category TEXT NOT NULL, text TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'closed')));
CREATE INDEX IF NOT EXISTS ticket_key ON ticket (key);
"""
OPEN = (
    "INSERT INTO ticket (key, reference, customer, category, text, state)"
    " VALUES (?, ?, ?, ?, ?, 'open')"
)
FIND = "SELECT number, reference, state FROM ticket WHERE key = ?"
CLOSE = "UPDATE ticket SET state = 'closed' WHERE number = ?"


class Tickets:
    """`POST /tickets`, `GET /tickets?key=…` (did that key open one?), `POST /tickets/close`."""

    def __init__(self, directory: Path) -> None:
        self.ledger = Ledger(directory / "tickets.db", SCHEMA)

    async def handle(self, request: Request) -> Reply:
        """Answer one request."""
        match request.method, request.path:
            case "POST", "/tickets":
                body = request.json()
                reference = text(body, "reference")
                return self.ledger.apply(request, reference, lambda: self._open(request, body))
            case "POST", "/tickets/close":
                key = text(request.json(), "opened_by")
                reference = text(request.json(), "reference")
                return self.ledger.apply(request, reference, lambda: self._close(key, reference))
            case "GET", "/tickets":
                return self.ledger.note(request, "", self._find(request.query.get("key", "")))
            case _:
                nothing = Reply.of(404, {"error": {"message": f"no such page: {request.path}"}})
                return self.ledger.note(request, "", nothing)

    def _open(self, request: Request, body: dict[str, Any]) -> Outcome:
        fields = ("reference", "customer", "category", "text")
        values = [text(body, name) for name in fields]
        number = self.ledger.connection.execute(OPEN, (request.key, *values)).lastrowid
        effect = Effect("ticket.open", values[0], f"T-{number:06d}")
        return Reply.of(201, {"id": f"T-{number:06d}", "state": "open"}), effect

    def _close(self, key: str, reference: str) -> Outcome:
        row = self.ledger.connection.execute(FIND, (key,)).fetchone()
        if row is None:
            if not self.ledger.seen(key):
                self.ledger.void(key)
            return Reply.of(200, {"id": None, "state": "never opened"}), None
        self.ledger.connection.execute(CLOSE, (row[0],))
        effect = Effect("ticket.close", reference, f"T-{row[0]:06d}")
        return Reply.of(200, {"id": f"T-{row[0]:06d}", "state": "closed"}), effect

    def _find(self, key: str) -> Reply:
        row = self.ledger.connection.execute(FIND, (key,)).fetchone()
        if row is None:
            return Reply.of(404, {"error": {"message": "no ticket was opened under this key"}})
        return Reply.of(200, {"id": f"T-{row[0]:06d}", "state": row[2]})

"""The demo's payments: a refund budget, holds on it, and refunds. Amounts are in cents.

Budget, held and paid always sum to the same number. Refunds to every eleventh customer are
declined for good (their account is closed), which is what makes a saga undo its ticket and hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from saga.operations.demo.ledger import Effect, Ledger, Outcome, text
from saga.operations.demo.web import BadRequestError, Reply, Request

SCHEMA = """
CREATE TABLE IF NOT EXISTS account (
    name TEXT PRIMARY KEY, cents INTEGER NOT NULL CHECK (cents >= 0));
INSERT INTO account VALUES ('budget', 100000000), ('held', 0), ('paid', 0) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS hold (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, customer TEXT NOT NULL, cents INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('held', 'released', 'paid')));
CREATE INDEX IF NOT EXISTS hold_key ON hold (key);
CREATE TABLE IF NOT EXISTS refund (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, hold INTEGER NOT NULL, cents INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS refund_key ON refund (key);
"""
MOVE = "UPDATE account SET cents = cents + ? WHERE name = ?"
BALANCES = "SELECT name, cents FROM account"
ADD_HOLD = "INSERT INTO hold (key, customer, cents, state) VALUES (?, ?, ?, 'held')"
HOLD_OF_KEY = "SELECT number, cents, state FROM hold WHERE key = ?"
HOLD = "SELECT customer, cents, state FROM hold WHERE number = ?"
SET_HOLD = "UPDATE hold SET state = ? WHERE number = ?"
ADD_REFUND = "INSERT INTO refund (key, hold, cents) VALUES (?, ?, ?)"
REFUND_OF_KEY = "SELECT number, cents FROM refund WHERE key = ?"


def account_is_closed(customer: str) -> bool:
    """Whether refunds to this customer are declined."""
    digits = customer.rpartition("-")[2]
    return digits.isdecimal() and int(digits) % 11 == 3


class Payments:
    """`POST /holds`, `/holds/release`, `/refunds`.

    `GET /holds?key=…` and `/refunds?key=…` say what a key has done, `/balance` what is where.
    """

    def __init__(self, directory: Path) -> None:
        self.ledger = Ledger(directory / "payments.db", SCHEMA)

    async def handle(self, request: Request) -> Reply:
        """Answer one request."""
        if request.method == "POST":
            return self._post(request)
        key = request.query.get("key", "")
        match request.path:
            case "/holds":
                reply = self._find_hold(key)
            case "/refunds":
                reply = self._find_refund(key)
            case "/balance":
                reply = Reply.of(200, dict(self.ledger.connection.execute(BALANCES).fetchall()))
            case _:
                reply = _error(404, f"no such page: {request.path}")
        return self.ledger.note(request, "", reply)

    def _post(self, request: Request) -> Reply:
        body = request.json()
        reference = text(body, "reference")

        def change() -> Outcome:
            key = request.key or ""
            match request.path:
                case "/holds":
                    return self._hold(key, reference, body)
                case "/holds/release":
                    return self._release(reference, text(body, "made_by"))
                case "/refunds":
                    return self._refund(key, reference, body)
                case _:
                    return _error(404, f"no such page: {request.path}"), None

        return self.ledger.apply(request, reference, change)

    def _hold(self, key: str, reference: str, body: dict[str, Any]) -> Outcome:
        customer, cents = text(body, "customer"), _cents(body)
        if dict(self.ledger.connection.execute(BALANCES).fetchall())["budget"] < cents:
            return _error(402, "the refund budget is used up"), None
        self._move("budget", "held", cents)
        number = self.ledger.connection.execute(ADD_HOLD, (key, customer, cents)).lastrowid
        effect = Effect("funds.hold", reference, f"H-{number:06d}")
        return Reply.of(201, {"id": f"H-{number:06d}", "cents": cents}), effect

    def _release(self, reference: str, key: str) -> Outcome:
        row = self.ledger.connection.execute(HOLD_OF_KEY, (key,)).fetchone()
        if row is None:
            if not self.ledger.seen(key):
                self.ledger.void(key)
            return Reply.of(200, {"id": None, "state": "never held"}), None
        number, cents, state = row
        if state == "paid":
            return _error(409, f"H-{number:06d} was paid out and cannot be released"), None
        if state == "held":
            self._move("held", "budget", cents)
            self.ledger.connection.execute(SET_HOLD, ("released", number))
        effect = Effect("funds.release", reference, f"H-{number:06d}")
        return Reply.of(200, {"id": f"H-{number:06d}", "state": "released"}), effect

    def _refund(self, key: str, reference: str, body: dict[str, Any]) -> Outcome:
        digits = text(body, "hold").removeprefix("H-")
        number = int(digits) if digits.isdecimal() else 0
        row = self.ledger.connection.execute(HOLD, (number,)).fetchone()
        if row is None:
            return _error(404, "no such hold"), None
        customer, cents, state = row
        if account_is_closed(customer):
            return _error(402, f"declined: the account of {customer} is closed"), None
        if state != "held":
            return _error(422, f"H-{number:06d} is {state}"), None
        self._move("held", "paid", cents)
        self.ledger.connection.execute(SET_HOLD, ("paid", number))
        paid = self.ledger.connection.execute(ADD_REFUND, (key, number, cents)).lastrowid
        effect = Effect("refund.pay", reference, f"R-{paid:06d}")
        return Reply.of(201, {"id": f"R-{paid:06d}", "cents": cents}), effect

    def _move(self, source: str, target: str, cents: int) -> None:
        self.ledger.connection.execute(MOVE, (-cents, source))
        self.ledger.connection.execute(MOVE, (cents, target))

    def _find_hold(self, key: str) -> Reply:
        row = self.ledger.connection.execute(HOLD_OF_KEY, (key,)).fetchone()
        if row is None:
            return _error(404, "nothing was held under this key")
        return Reply.of(200, {"id": f"H-{row[0]:06d}", "cents": row[1]})

    def _find_refund(self, key: str) -> Reply:
        row = self.ledger.connection.execute(REFUND_OF_KEY, (key,)).fetchone()
        if row is None:
            return _error(404, "nothing was refunded under this key")
        return Reply.of(200, {"id": f"R-{row[0]:06d}", "cents": row[1]})


def _cents(body: dict[str, Any]) -> int:
    value = body.get("cents")
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise BadRequestError(400, "cents must be a whole number above 0")
    return value


def _error(status: int, message: str) -> Reply:
    return Reply.of(status, {"error": {"message": message}})

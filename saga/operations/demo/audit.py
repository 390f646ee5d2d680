"""What the services' ledgers say: is anything lost, was anything done twice?

Nothing here asks the engine. Which end a case should have is read from the payments as well: a
case whose refund was declined has to be undone, every other one has to be done.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEDGERS = ("tickets.db", "payments.db", "mail.db")
EFFECTS = "SELECT reference, operation, count(*) FROM effect GROUP BY reference, operation"
COUNT = "SELECT count(*) FROM effect"
DECLINED = "SELECT DISTINCT reference FROM request WHERE path = '/refunds' AND status = 402"
REQUESTS = "SELECT count(*), coalesce(sum(repeated), 0) FROM request"
BALANCES = "SELECT sum(cents), sum(cents) FILTER (WHERE name = 'held') FROM account"

NOTHING: frozenset[str] = frozenset()
STARTED = frozenset({"ticket.open", "funds.hold", "mail.confirm"})
DONE = STARTED | {"refund.pay"}
UNDONE = STARTED | {"mail.correct", "funds.release", "ticket.close"}
BUDGET = 100_000_000


@dataclass(frozen=True, slots=True)
class Audit:
    """The count over all ledgers."""

    done: int
    undone: int
    lost: tuple[str, ...]
    effects: int
    duplicate_effects: int
    requests: int
    repeated_requests: int
    money_is_conserved: bool


def effects_so_far(directory: Path) -> int:
    """How many effects the ledgers hold; cheap enough to ask while the services run."""
    return sum(count for (count,) in _ask(directory, COUNT))


def audit(directory: Path, references: Iterable[str]) -> Audit:
    """Compare what each case should have left behind with what stands in the ledgers."""
    counts: dict[tuple[str, str], int] = {}
    standing: dict[str, frozenset[str]] = {}
    for reference, operation, count in _ask(directory, EFFECTS):
        counts[reference, operation] = count
        standing[reference] = standing.get(reference, NOTHING) | {operation}
    payments = directory / "payments.db"
    declined = {reference for (reference,) in _query(payments, DECLINED)}
    started = set(references)
    # Whatever stands for a case that nobody started is as wrong as what a case lacks.
    lost = (standing.keys() - started) | {
        reference
        for reference in started
        if standing.get(reference, NOTHING) != (UNDONE if reference in declined else DONE)
    }
    requests = list(_ask(directory, REQUESTS))
    ((cents, held),) = _query(payments, BALANCES)
    return Audit(
        done=sum(effects == DONE for effects in standing.values()),
        undone=sum(effects == UNDONE for effects in standing.values()),
        lost=tuple(sorted(lost)),
        effects=sum(counts.values()),
        duplicate_effects=sum(counts.values()) - len(counts),
        requests=sum(count for count, _ in requests),
        repeated_requests=sum(repeated for _, repeated in requests),
        money_is_conserved=cents == BUDGET and held == 0,
    )


def _ask(directory: Path, statement: str) -> list[Any]:
    return [row for name in LEDGERS for row in _query(directory / name, statement)]


def _query(path: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(statement).fetchall()

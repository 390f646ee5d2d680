"""A market: three services with ledgers of their own in SQLite, and the saga that buys.

Each service deduplicates by key, and voids a key that is undone before it was used. What goes wrong
follows from the seed, the key and the attempt.
"""

import os
import random
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from saga import Permanent, Retry, current, saga, step

FOLDER = "MARKET_FOLDER"
SEED = "MARKET_SEED"
CUSTOMERS = 20
MONEY = 1_000
STOCK = 1_200
OFTEN = Retry(
    max_attempts=12,
    first=timedelta(seconds=0.05),
    maximum=timedelta(seconds=0.4),
    max_losses=100,  # more than any storm of killed workers takes
)

_TABLES = """
CREATE TABLE account (name TEXT PRIMARY KEY, amount INTEGER NOT NULL CHECK (amount >= 0));
CREATE TABLE entry (
  key TEXT PRIMARY KEY, source TEXT, target TEXT, amount INTEGER, void INTEGER NOT NULL DEFAULT 0,
  at REAL NOT NULL, undone_at REAL);
CREATE TABLE request (key TEXT NOT NULL, attempt INTEGER NOT NULL);
"""


class Service:
    """One service: accounts, and entries that move an amount from one to another."""

    def __init__(self, name: str, folder: str | None = None) -> None:
        self.path = Path(folder or os.environ[FOLDER]) / f"{name}.sqlite"

    def open(self, **accounts: int) -> None:
        """A new service with what is in its accounts."""
        with self.transaction() as db:
            for statement in _TABLES.split(";"):
                db.execute(statement)
            db.executemany("INSERT INTO account VALUES (?, ?)", accounts.items())

    def move(self, source: str, target: str, amount: int) -> str:
        """Under the step's key, at most once. Raises Permanent when there is not enough."""
        ctx = current()
        key = ctx.idempotency_key
        with self.transaction() as db:
            db.execute("INSERT INTO request VALUES (?, ?)", (key, ctx.attempt))
            known = db.execute("SELECT void FROM entry WHERE key = ?", (key,)).fetchone()
            if known is None:
                _transfer(db, source, target, amount)
                row = (key, source, target, amount, time.time())
                db.execute("INSERT INTO entry VALUES (?, ?, ?, ?, 0, ?, NULL)", row)
        if known is not None and known[0]:
            raise Permanent("the key is void")
        return key

    def undo(self) -> None:
        """What the step has moved is moved back; if it has not, it never will."""
        ctx = current()
        key = f"{ctx.saga_id}:{ctx.position}"
        with self.transaction() as db:
            db.execute("INSERT INTO request VALUES (?, ?)", (ctx.idempotency_key, ctx.attempt))
            entry = db.execute(
                "SELECT source, target, amount, undone_at FROM entry WHERE key = ?", (key,)
            ).fetchone()
            now = time.time()
            if entry is None:
                db.execute("INSERT INTO entry VALUES (?, '', '', 0, 1, ?, ?)", (key, now, now))
            elif entry[3] is None:
                source, target, amount, _ = entry
                _transfer(db, target, source, amount)
                db.execute("UPDATE entry SET undone_at = ? WHERE key = ?", (now, key))

    def find(self) -> str | None:
        """The key of the step, if it was used."""
        key = current().idempotency_key
        with self.transaction() as db:
            found = db.execute("SELECT 1 FROM entry WHERE key = ? AND NOT void", (key,)).fetchone()
        return key if found else None

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """What a test wants to know."""
        with self.transaction() as db:
            return db.execute(sql).fetchall()

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous = OFF")  # the machine does not crash, processes do
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        finally:
            db.close()


def _transfer(db: sqlite3.Connection, source: str, target: str, amount: int) -> None:
    have = db.execute("SELECT amount FROM account WHERE name = ?", (source,)).fetchone()[0]
    if have < amount:
        raise Permanent(f"{source} has only {have}")
    change = "UPDATE account SET amount = amount + ? WHERE name = ?"
    db.executemany(change, [(-amount, source), (amount, target)])


def _luck() -> random.Random:
    ctx = current()
    return random.Random(f"{os.environ[SEED]} {ctx.idempotency_key} {ctx.attempt}")


def _before(luck: random.Random) -> None:
    if luck.random() < 0.1:
        raise RuntimeError("out of order")


def _after(luck: random.Random) -> None:
    time.sleep(luck.random() * 0.1)
    if luck.random() < 0.1:
        raise ConnectionResetError("the reply is lost")


@step(retry=OFTEN)
def reserve(amount: int) -> str:
    luck = _luck()
    _before(luck)
    receipt = Service("store").move("shelf", "sold", amount)
    _after(luck)
    return receipt


@reserve.compensation(retry=OFTEN)
def put_back(receipt: str | None, amount: int) -> None:
    luck = _luck()
    _before(luck)
    Service("store").undo()
    _after(luck)


@step(retry=OFTEN)
def pay(customer: str, price: int) -> str:
    luck = _luck()
    _before(luck)
    receipt = Service("bank").move(customer, "paid", price)
    _after(luck)
    return receipt


@pay.probe
def find_payment(customer: str, price: int) -> str | None:
    _before(_luck())
    return Service("bank").find()


@pay.compensation(retry=OFTEN)
def pay_back(receipt: str | None, customer: str, price: int) -> None:
    luck = _luck()
    _before(luck)
    Service("bank").undo()
    _after(luck)


@step(retry=OFTEN, queue="docks")
def send(price: int) -> str:
    """The carrier is paid for; one in five has no room at all."""
    luck = _luck()
    _before(luck)
    if random.Random(f"{os.environ[SEED]} {current().saga_id}").random() < 0.2:
        raise Permanent("no room")
    receipt = Service("carrier").move("room", "sent", price)
    _after(luck)
    return receipt


@send.compensation(retry=OFTEN)
def call_back(receipt: str | None, price: int) -> None:
    Service("carrier").undo()


@saga
async def purchase(customer: str, amount: int, price: int) -> str:
    """Goods, money and room, or nothing of that."""
    await reserve(amount)
    await pay(customer, price)
    return await send(amount)

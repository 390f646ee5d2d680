"""Nothing is made and nothing is lost, whatever happens (I16)."""

import random
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from saga import StartRequest
from saga.core.declare.registry import registry
from saga.core.states import ENDED
from tests.faults.arena import Arena
from tests.faults.invariants import violations
from tests.faults.ledger import Ledger
from tests.faults.nursery import Nursery
from tests.faults.storm import storm

with registry.sandbox():
    from tests.faults import market
    from tests.faults.market import CUSTOMERS, MONEY, STOCK, Service

SAGAS = 500
AT_ONCE = 50
PATIENCE = 120.0


@pytest.fixture
def services(tmp_path: Path) -> dict[str, Service]:
    """Bank, store and carrier, as they open in the morning."""
    folder = str(tmp_path)
    found = {name: Service(name, folder) for name in ("bank", "store", "carrier")}
    found["bank"].open(paid=0, **{f"customer {n}": MONEY for n in range(CUSTOMERS)})
    found["store"].open(shelf=STOCK, sold=0)
    found["carrier"].open(room=STOCK, sent=0)
    return found


def test_money_and_stock(
    database_url: str,
    broker_url: str,
    nursery: Nursery,
    ledger: Ledger,
    services: dict[str, Service],
    tmp_path: Path,
) -> None:
    seed = random.randrange(2**32)
    print("seed:", seed)  # noqa: T201 - shown with a failure, to repeat it
    luck = random.Random(seed)
    arena = Arena(database_url, broker_url, ledger, tmp_path, nursery)
    environment = {market.FOLDER: str(tmp_path), market.SEED: str(seed)}
    options: dict[str, Any] = {
        "environment": environment,
        "modules": ["tests.faults.market"],
        "concurrency": 8,
    }
    try:
        for _ in range(2):
            arena.worker(**options)
        arena.ready()
        wanted = [
            StartRequest(
                market.purchase,
                {
                    "customer": f"customer {luck.randrange(CUSTOMERS)}",
                    "amount": luck.randint(1, 3),
                    "price": luck.randint(10, 90),
                },
                key=str(number),
            )
            for number in range(SAGAS)
        ]
        with (
            storm(lambda _: arena.replace_a_worker(**options), pause=1.0, seed=seed) as killing,
            storm(lambda _: arena.lose_messages(), pause=1.0, seed=seed) as flushing,
        ):
            for first in range(0, SAGAS, AT_ONCE):
                arena.client.start_many(wanted[first : first + AT_ONCE])
                arena.until(
                    lambda: len(arena.records.open()) < AT_ONCE // 2, "they keep up", PATIENCE
                )
            assert killing.strikes >= 3
            assert flushing.strikes >= 3
        ends = arena.until_over(timeout=PATIENCE)
        _check(arena, services, ends)
    finally:
        arena.close()


def _check(arena: Arena, services: dict[str, Service], ends: dict[UUID, str]) -> None:
    assert len(ends) == SAGAS
    assert set(ends.values()) == {"completed", "compensated"}, Counter(ends.values())
    assert arena.records.takeovers() > 0, "no lease was lost: the faults did nothing"
    for name, whole in (("bank", CUSTOMERS * MONEY), ("store", STOCK), ("carrier", STOCK)):
        assert services[name].rows("SELECT sum(amount) FROM account") == [(whole,)]
    _check_the_books(services, ends, arena)
    world = _as_ledger(services)
    arena.until(lambda: not _restless(arena), "the workers have nothing more to do")
    found = violations(arena.records, world)
    assert not found, "\n".join(found[:20])


def _check_the_books(services: dict[str, Service], ends: dict[UUID, str], arena: Arena) -> None:
    """What was sold, paid and sent is what the completed sagas say."""
    inputs = {row.id: row.input for row in arena.records.query("SELECT id, input FROM saga.saga")}
    completed = [inputs[one] for one, end in ends.items() if end == "completed"]
    sold = sum(one["amount"] for one in completed)
    assert services["store"].rows("SELECT amount FROM account WHERE name = 'sold'") == [(sold,)]
    assert services["carrier"].rows("SELECT amount FROM account WHERE name = 'sent'") == [(sold,)]
    paid = sum(one["price"] for one in completed)
    assert services["bank"].rows("SELECT amount FROM account WHERE name = 'paid'") == [(paid,)]
    again = "SELECT count(*) FROM request WHERE attempt > 1"
    assert sum(int(str(s.rows(again)[0][0])) for s in services.values()) > 0


def _as_ledger(services: dict[str, Service]) -> Ledger:
    """The three books as one."""
    world = Ledger()
    applied = [
        row
        for service in services.values()
        for row in service.rows("SELECT at, key, undone_at FROM entry WHERE NOT void")
    ]
    world.applied = [str(key) for _, key, _ in sorted(applied, key=lambda row: float(str(row[0])))]
    undone = [(float(str(at)), str(key)) for _, key, at in applied if at is not None]
    world.undone = [key for _, key in sorted(undone)]
    return world


def _restless(arena: Arena) -> bool:
    ended = ", ".join(f"'{status}'" for status in ENDED)
    sql = (
        "SELECT 1 FROM saga.step t JOIN saga.saga s ON s.id = t.saga_id "
        f"WHERE s.status IN ({ended}) AND t.state IN ('ready', 'running', 'retrying', 'unknown')"
    )
    return bool(arena.records.query(sql))

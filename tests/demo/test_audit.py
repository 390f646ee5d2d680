"""The audit finds what is missing, what is too much and what is doubled."""

from pathlib import Path

import pytest

from saga.operations.demo.audit import DONE, LEDGERS, UNDONE, audit, effects_so_far
from saga.operations.demo.ledger import Ledger
from saga.operations.demo.payments import SCHEMA

EFFECT = (
    "INSERT INTO effect (at, key, operation, reference, subject)"
    " VALUES (0, hex(randomblob(8)), ?, ?, '')"
)
DECLINE = (
    "INSERT INTO request (at, method, path, key, reference, status, repeated)"
    " VALUES (0, 'POST', '/refunds', 'k', ?, 402, 0)"
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """One ledger of the three, into which the tests write everything."""
    for name in LEDGERS:
        Ledger(tmp_path / name, SCHEMA if name == "payments.db" else "").close()
    return Ledger(tmp_path / "payments.db")


def fill(ledger: Ledger, reference: str, operations: frozenset[str]) -> None:
    ledger.connection.executemany(EFFECT, [(operation, reference) for operation in operations])


def test_done_and_undone_as_it_should_be(ledger: Ledger, tmp_path: Path) -> None:
    fill(ledger, "done", DONE)
    fill(ledger, "undone", UNDONE)
    ledger.connection.execute(DECLINE, ("undone",))
    found = audit(tmp_path, ["done", "undone"])
    assert (found.done, found.undone, found.lost, found.duplicate_effects) == (1, 1, (), 0)
    assert found.effects == effects_so_far(tmp_path) == 10


@pytest.mark.parametrize("missing", sorted(DONE))
def test_a_lost_effect(ledger: Ledger, tmp_path: Path, missing: str) -> None:
    fill(ledger, "a", DONE - {missing})
    assert audit(tmp_path, ["a"]).lost == ("a",)


@pytest.mark.parametrize("missing", sorted(UNDONE))
def test_a_lost_undo(ledger: Ledger, tmp_path: Path, missing: str) -> None:
    fill(ledger, "a", UNDONE - {missing})
    ledger.connection.execute(DECLINE, ("a",))
    assert audit(tmp_path, ["a"]).lost == ("a",)


@pytest.mark.parametrize("extra", sorted(UNDONE - DONE))
def test_an_undo_that_nobody_needed(ledger: Ledger, tmp_path: Path, extra: str) -> None:
    fill(ledger, "a", DONE | {extra})
    assert audit(tmp_path, ["a"]).lost == ("a",)


def test_a_case_that_left_nothing_and_one_that_nobody_started(
    ledger: Ledger, tmp_path: Path
) -> None:
    fill(ledger, "stranger", DONE)
    assert audit(tmp_path, ["nothing"]).lost == ("nothing", "stranger")


def test_the_same_operation_twice_under_two_keys(ledger: Ledger, tmp_path: Path) -> None:
    fill(ledger, "a", DONE)
    fill(ledger, "a", frozenset({"refund.pay"}))
    found = audit(tmp_path, ["a"])
    assert (found.lost, found.duplicate_effects) == ((), 1)

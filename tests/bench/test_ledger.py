"""The ledger of the bodies."""

from pathlib import Path

import pytest

from bench import ledger


def test_a_body_that_ended_twice_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ledger.VARIABLE, str(tmp_path / "ledger"))
    for key, step in (("a", 1), ("a", 2), ("b", 1), ("a", 1)):
        ledger.note(key, step)
    book = ledger.Ledger(tmp_path / "ledger")
    assert [(entry.key, entry.step) for entry in book.entries()] == [
        ("a", 1),
        ("a", 2),
        ("b", 1),
        ("a", 1),
    ]
    assert book.doubled() == 1


def test_no_body_has_ended_yet(tmp_path: Path) -> None:
    assert ledger.Ledger(tmp_path / "ledger").entries() == []

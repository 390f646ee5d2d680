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


def test_a_line_that_is_being_written_is_none_yet(tmp_path: Path) -> None:
    book = ledger.Ledger(tmp_path / "ledger")
    book.path.write_text("a 1 1.0\nb")
    assert [entry.key for entry in book.entries()] == ["a"]
    book.path.write_text("a 1 1.0\nb 1 2.0\n")
    assert [entry.key for entry in book.entries()] == ["a", "b"]


def test_no_body_has_ended_yet(tmp_path: Path) -> None:
    assert ledger.Ledger(tmp_path / "ledger").entries() == []

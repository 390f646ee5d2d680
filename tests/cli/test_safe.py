"""Nothing that others wrote reaches a terminal raw."""

import sys
import unicodedata
from io import StringIO

import pytest
from rich.console import Console
from rich.text import Text

from saga.operations.cli.output import show_table, to_json
from saga.operations.cli.safe import compact, safe, safe_lines

NASTY = "a\x1b[2Jb\r\nc\u202ed\u2028e\x9bf\x00g\u200bh\ufeffi\x7fj"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Grüße, 東京 🙂", "Grüße, 東京 🙂"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\r\nlines\ttab", "two\\r\\nlines\\ttab"),
        ("pay \u202e001 to me", "pay \\u202e001 to me"),
        ("\x9b2J", "\\x9b2J"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_text_is_spelled_out(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_no_character_at_all_gets_through() -> None:
    for number in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(number))
        if category in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            shown = safe(chr(number))
            assert shown.isascii(), hex(number)
            assert shown.isprintable(), hex(number)


def test_long_text_is_cut() -> None:
    assert safe("x" * 100, 10) == "xxxxxxx..."
    assert len(safe("\x1b" * 100, 10)) == 10


def test_lines_stay_lines() -> None:
    assert safe_lines("one\ntwo\x1b") == ["one", "two\\x1b"]


def test_json_values_are_readable_and_safe() -> None:
    assert compact({"ü": ["\x1b", "\u202e"]}) == '{"ü": ["\\u001b", "\\u202e"]}'


def test_json_output_is_ascii() -> None:
    assert to_json({NASTY: [NASTY]}).isascii()
    assert to_json({NASTY: [NASTY]}).isprintable()


@pytest.mark.parametrize("terminal", [True, False])
def test_tables(terminal: bool) -> None:
    output = StringIO()
    width = 60 if terminal else 10_000
    screen = Console(file=output, force_terminal=terminal, color_system=None, width=width)
    rows = [["1", NASTY], [Text("a note")], ["[bold]22", "x" * 200]]
    show_table(screen, ["N", "WHAT"], rows, right="N")
    printed = output.getvalue()
    assert "\x1b" not in printed
    head, first, note, last = printed.splitlines()[:4]
    assert head == "       N  WHAT"
    assert first.startswith("       1  a\\x1b[2Jb\\r\\nc\\u202ed")
    assert note == "      a note"
    assert last.startswith("[bold]22  xxx")
    assert len(last) == (60 if terminal else 210)

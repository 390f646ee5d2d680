"""Where the code and the history part, for people to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import NamedTuple

BEFORE = 3
AFTER = 8
MOST = 3
"""The most positions whose arguments are shown."""
LONGEST = 400
"""The most characters of arguments that are shown; of longer ones, those where they part."""
_LEAD = 60


class Line(NamedTuple):
    """One position (negative: the undo of it): what the history holds and what the code asked, and
    whether their arguments differ.
    """

    key: int
    history: tuple[str, str] | None
    code: tuple[str, str] | None
    differ: bool = False


def difference(lines: Iterable[Line], wrong: int) -> str:
    """A table around the key where they part, the history on the left and the code on the right."""
    table = list(lines)
    place = next((i for i, line in enumerate(table) if line.key == wrong), 0)
    shown = table[max(0, place - BEFORE) : place + AFTER]
    rows = [
        (_mark(line, wrong), _label(line.key), _text(line.history), _text(line.code))
        for line in shown
    ]
    left = max([len("position"), *(len(row[1]) for row in rows)])
    middle = max([len("history"), *(len(row[2]) for row in rows)])
    text = [f"the code no longer fits its history, from position {abs(wrong)} on"]
    text.append(f"  {'position':>{left}}  {'history':<{middle}}  code")
    for mark, label, history, code in rows:
        text.append(f"{mark} {label:>{left}}  {history:<{middle}}  {code}")
    if place + AFTER < len(table):
        text.append(f"  ... and {len(table) - place - AFTER} more")
    return "\n".join(text)


def arguments(pairs: Mapping[int, tuple[str, str]]) -> str:
    """The first few arguments that differ, by key: those in the history and those of the code."""
    text = ""
    for key, pair in list(pairs.items())[:MOST]:
        both = zip(*pair, strict=False)
        same = sum(1 for _ in takewhile(lambda letters: letters[0] == letters[1], both))
        history, code = (_cut(arguments, same) for arguments in pair)
        text += f"\nat {_label(key)} its history has {history}\n  and the code asks with {code}"
    return text


def _cut(text: str, same: int) -> str:
    """The part around the first `same` characters, which are common to both."""
    start = max(0, same - _LEAD) if len(text) > LONGEST else 0
    end = start + LONGEST
    return f"{'...' if start else ''}{text[start:end]}{'...' if end < len(text) else ''}"


def _mark(line: Line, wrong: int) -> str:
    return ">" if line.key == wrong or line.history != line.code or line.differ else " "


def _label(key: int) -> str:
    return f"undo {-key}" if key < 0 else str(key)


def _text(asked: tuple[str, str] | None) -> str:
    if asked is None:
        return "-"
    kind, name = asked
    return kind if kind == "timer" else f"{kind} {name}"

"""Text of others made fit for a terminal.

Names, errors and payloads come from anywhere. Raw, an escape sequence in them repaints the screen,
a line break forges a row, and a right-to-left override reverses what is read.
"""

import json
import unicodedata
from typing import Any

_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def safe(text: str, longest: int | None = None) -> str:
    """The text on one line, with control, format and bidirectional characters spelled out."""
    shown = text
    if not (text.isascii() and text.isprintable()):
        shown = "".join(c if unicodedata.category(c) not in _UNSAFE else _spelled(c) for c in text)
    if longest is not None and len(shown) > longest:
        return shown[: longest - 3] + "..."
    return shown


def safe_lines(text: str) -> list[str]:
    """The text as lines, each of them safe."""
    return [safe(line) for line in text.split("\n")]


def compact(value: Any, longest: int | None = None) -> str:
    """A JSON value on one line, safe and readable: letters of all scripts as they are."""
    return safe(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")), longest)


def _spelled(character: str) -> str:
    return (
        character.encode("ascii", "backslashreplace").decode()
        if ord(character) > 0x7F
        else repr(character)[1:-1]
    )

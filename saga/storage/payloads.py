"""The seam of what is stored: JSON and error texts are written and read by way of this only.

The statements move them as text that they do not look into. So a text may be sealed before it is
bound, by whoever has the key, and opened when it has been read, as long as what is stored is JSON.
"""

from typing import Final, LiteralString

COLUMNS: Final = frozenset({"args", "error", "exposed", "input", "payload", "result"})


def written(text: LiteralString) -> LiteralString:
    """SQL: a text as the column keeps it."""
    return f"{text}::json"


def canonical(column: LiteralString) -> LiteralString:
    """SQL: what the column keeps as text, the same for values that are equal."""
    return f"{column}::jsonb::text"


def read(column: LiteralString) -> LiteralString:
    """SQL: what the column keeps, as text."""
    return f"{column}::text"

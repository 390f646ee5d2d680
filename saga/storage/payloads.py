"""The seam of what is stored: JSON and error texts are written and read by way of this only.

The statements move them as opaque text and do not look inside.
"""

from typing import Final, LiteralString

COLUMNS: Final = frozenset({"args", "attributes", "error", "exposed", "input", "payload", "result"})


def written(text: LiteralString) -> LiteralString:
    """SQL: a text as the column keeps it."""
    return f"{text}::json"


def read(column: LiteralString) -> LiteralString:
    """SQL: what the column keeps, as text."""
    return f"{column}::text"

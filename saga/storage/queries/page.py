"""Pages that stay right while rows are added: each begins after the last row of the one before."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Select

from saga.errors import InvalidInput

T = TypeVar("T")

LONGEST = 1000
UNREAD = "unread"
"""Of a statement: its JSON comes as `Unread`. See `snapshot.reader`."""

_MOST_AT_ONCE = 64  # rows


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row that was seen. `position` orders rows of one saga."""

    at: datetime
    saga_id: UUID
    position: int = 0

    def __str__(self) -> str:
        text = f"{self.at.isoformat()}|{self.saga_id}|{self.position}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """The inverse of `str`; raises InvalidInput."""
        try:
            padded = text + "=" * (-len(text) % 4)
            at, saga_id, position = base64.urlsafe_b64decode(padded).decode().split("|")
            moment = datetime.fromisoformat(at).astimezone(UTC)
            return cls(moment, UUID(saga_id), int(position))
        except (ValueError, OverflowError, binascii.Error):
            raise InvalidInput("cursor: not one that a page ended with") from None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows, and where the next page begins; None on the last one."""

    rows: tuple[T, ...]
    next: Cursor | None


def limited(limit: int) -> int:
    """Raises InvalidInput for a page that nobody should ask for."""
    if not 1 <= limit <= LONGEST:
        raise InvalidInput(f"limit: 1 to {LONGEST}, not {limit}")
    return limit


class Unread:
    """JSON as it is stored. A few bytes of it may be ten times as much once they are parsed."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text


def take(
    connection: Connection, query: Select[*tuple[Any, ...]], limit: int, size: int | None = None
) -> tuple[list[Any], bool]:
    """The first rows of a query, at most `limit`, and whether there are more.

    With `size` they also end before the row that would make them more than so many bytes, but not
    before the first, and their JSON is `Unread`. No more than a few large rows are here at once.
    """
    query = query.limit(limit + 1)
    if size is None:
        rows = list(connection.execute(query))
        return rows[:limit], len(rows) > limit
    found: list[Any] = []
    left = size
    batch = 2
    with connection.execute(query, execution_options={"stream_results": True, UNREAD: True}) as it:
        while rows := it.fetchmany(batch):
            before = left
            for row in rows:
                left -= size_of(row)
                if found and (left < 0 or len(found) == limit):
                    return found, True
                found.append(row)
            batch = max(1, min(2 * batch, _MOST_AT_ONCE, batch * left // max(1, before - left)))
    return found, False


def size_of(row: Sequence[Any]) -> int:
    """Bytes of its texts and its JSON."""
    return sum(
        len(value.text)
        if isinstance(value, Unread)
        else len(value)
        if isinstance(value, str)
        else 8
        for value in row
    )

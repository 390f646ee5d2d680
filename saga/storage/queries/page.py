"""Pages that stay right while rows are added: each begins after the last row of the one before."""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar
from uuid import UUID

from saga.errors import InvalidInput

T = TypeVar("T")

LONGEST = 1000


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

"""Types of parameters and of fields in bodies."""

from typing import Annotated

from fastapi import Header, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from saga.client.requests import check_words
from saga.storage.queries import Cursor

LARGEST = 2**31 - 1  # Postgres' integer
DEEPEST = 2**63 - 1


class Body(BaseModel):
    """A body: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid")


def _words(text: str) -> str:
    check_words(text, "text")
    return text


Words = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_words)]
"""A short text."""

Position = Annotated[int, Path(ge=1, le=LARGEST, description="A step's place in its saga.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Rows a page.")]
CursorText = Annotated[str | None, Query(max_length=500, description="`next` of the page before.")]
Version = Annotated[int, Field(ge=1, le=LARGEST)]
Moment = Annotated[str, Field(min_length=1, max_length=60)]
"""How long ago, or when."""
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=500,
        description="The same key has the effect once, and the same answer each time.",
    ),
]


def cursor(text: str | None) -> Cursor | None:
    """Raises InvalidInput."""
    return Cursor.parse(text) if text else None

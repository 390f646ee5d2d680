"""How far sagas have come, for those who watch them."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from saga.storage.starts import Executor

_LOOK = """
SELECT id, seq, status, extract(epoch FROM updated_at)::float8
  FROM saga.saga WHERE id = ANY(%(ids)s::uuid[])
"""


class Progress(NamedTuple):
    """A saga's last number in its history, its status, and when it was decided upon.

    What it exposes may change without a number of its own.
    """

    id: UUID
    seq: int
    status: str
    updated_at: float


def look(execute: Executor, ids: Sequence[UUID]) -> list[Progress]:
    """Where these sagas are now; those that do not exist are missing."""
    return [Progress(*row) for row in execute(_LOOK, {"ids": list(ids)})]

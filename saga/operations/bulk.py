"""One action on many sagas: one after the other, and no further once something is wrong."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection

from saga.errors import SagaError
from saga.storage.queries import Cursor, SagaFilter, list_sagas

_PAGE = 200


@dataclass(frozen=True, slots=True)
class Refusal:
    """A saga that the action was refused for, or that did not end as it should."""

    id: UUID
    type: str
    message: str


@dataclass(slots=True)
class BulkResult:
    """What came of it. `stopped`: there were more sagas, which were left alone."""

    done: list[UUID] = field(default_factory=list[UUID])
    refused: list[Refusal] = field(default_factory=list[Refusal])
    stopped: bool = False


def on_each(
    saga_ids: Iterable[UUID], act: Callable[[UUID], None], *, keep_going: bool = False
) -> BulkResult:
    """Acts on each saga; the first one that is refused is the last, unless told to keep going."""
    result = BulkResult()
    waiting = iter(saga_ids)
    for saga_id in waiting:
        try:
            act(saga_id)
        except (SagaError, TimeoutError) as error:
            result.refused.append(Refusal(saga_id, type(error).__name__, str(error)))
            if not keep_going:
                result.stopped = next(waiting, None) is not None
                break
        else:
            result.done.append(saga_id)
    return result


def matching(connection: Connection, wanted: SagaFilter, most: int | None) -> Iterator[UUID]:
    """The ids of the sagas that a filter names, newest first, so many at most."""
    after: Cursor | None = None
    left = most
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        page = list_sagas(connection, wanted, limit=size, after=after)
        yield from (row.id for row in page.rows)
        if page.next is None:
            return
        after = page.next
        left = None if left is None else left - len(page.rows)

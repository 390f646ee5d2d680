"""One action on many sagas: one after the other, and no further once something is wrong."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from saga.core.saga_filter import SagaFilter
from saga.core.states import ACTIVE, SagaStatus
from saga.errors import SagaError
from saga.storage.queries import (
    ApprovalFilter,
    Cursor,
    Page,
    approvals,
    blocked,
    list_sagas,
)

T = TypeVar("T")

_PAGE = 200


@dataclass(frozen=True, slots=True)
class Target:
    """What is acted on: a saga, or its step, undo or approval `what` at a position. `details`: what
    an approval is about, or the error of what is blocked.
    """

    id: UUID
    name: str | None = None
    status: SagaStatus | None = None
    key: str | None = None
    position: int | None = None
    undo: bool = False
    what: str | None = None
    details: Any = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the action was refused for, or what did not end as it should."""

    id: UUID
    type: str
    message: str
    position: int | None = None


@dataclass(slots=True)
class BulkResult:
    """What came of it. `stopped`: there were more, which were left alone."""

    done: list[Target] = field(default_factory=list[Target])
    refused: list[Refusal] = field(default_factory=list[Refusal])
    stopped: bool = False


def on_each(
    targets: Iterable[Target],
    act: Callable[[Target], object],
    *,
    keep_going: bool = False,
    within: timedelta | None = None,
) -> BulkResult:
    """Acts on each; the first one that is refused is the last, unless told to keep going. None is
    begun after `within`.
    """
    result = BulkResult()
    waiting = iter(targets)
    until = None if within is None else monotonic() + within.total_seconds()
    for target in waiting:
        if until is not None and monotonic() > until:
            result.stopped = True
            break
        try:
            act(target)
        except (SagaError, TimeoutError) as error:
            result.refused.append(
                Refusal(target.id, type(error).__name__, str(error), target.position)
            )
            if not keep_going:
                result.stopped = next(waiting, None) is not None
                break
        else:
            result.done.append(target)
    return result


def sagas_of(connection: Connection, wanted: SagaFilter, most: int | None) -> Iterator[Target]:
    """The sagas that a filter names, newest first, so many at most."""

    def page(size: int, after: Cursor | None) -> Page[Any]:
        return list_sagas(connection, wanted, limit=size, after=after)

    for row in _all(page, most):
        yield Target(row.id, row.name, row.status, row.key)


def to_retry(wanted: SagaFilter) -> SagaFilter:
    """A filter as `retry` means it: without a status, of those that failed; if it says what they
    wait for, of those on their way. A child that failed goes on with its parent, and is left out.
    """
    if not wanted.statuses and wanted.waits_for is not None:
        return wanted.of(ACTIVE)
    found = wanted.of([SagaStatus.FAILED])
    return replace(found, roots=found.roots or set(found.statuses) == {SagaStatus.FAILED})


def blocked_of(
    connection: Connection, wanted: SagaFilter, undo: bool | None, most: int | None
) -> Iterator[Target]:
    """What is blocked in these sagas, longest first: steps, undos or (None) both."""

    def page(size: int, after: Cursor | None) -> Page[Any]:
        return blocked(connection, None, wanted, limit=size, after=after)

    left = most
    for row in _all(page, None):
        if left == 0:
            return
        if undo in (None, row.undo):
            left = None if left is None else left - 1
            yield Target(
                row.saga_id,
                row.saga_name,
                row.saga_status,
                None,
                row.position,
                row.undo,
                row.step,
                row.error,
            )


def approvals_of(
    connection: Connection, wanted: SagaFilter, name: str | None, most: int | None
) -> Iterator[Target]:
    """What these sagas ask for (by that name), longest waiting first."""

    def page(size: int, after: Cursor | None) -> Page[Any]:
        asked = ApprovalFilter(name, sagas=wanted)
        return approvals(connection, asked, limit=size, after=after)

    for row in _all(page, most):
        yield Target(
            row.saga_id,
            row.saga_name,
            row.saga_status,
            None,
            row.position,
            False,
            row.name,
            row.details,
        )


def _all(page: Callable[[int, Cursor | None], Page[T]], most: int | None) -> Iterator[T]:
    after: Cursor | None = None
    left = most
    while left is None or left > 0:
        found = page(_PAGE if left is None else min(_PAGE, left), after)
        yield from found.rows
        if found.next is None:
            return
        after = found.next
        left = None if left is None else left - len(found.rows)

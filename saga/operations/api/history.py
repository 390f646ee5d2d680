"""A saga's history: every transition, and who or what caused it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import Connection

from saga.errors import SagaNotFound
from saga.operations.api.access import Viewer
from saga.operations.api.pages import PAGE
from saga.operations.api.params import LARGEST, Limit
from saga.operations.api.services import Using
from saga.storage.queries import TracebackRow, Transition, history, history_page, tracebacks
from saga.storage.queries.tracebacks import MOST

router = APIRouter(prefix="/v1/sagas/{saga_id}", tags=["sagas"])


class HistoryPage(BaseModel):
    """Transitions in order. `next`: pass it as `after` for those that follow."""

    transitions: list[Transition]
    next: int | None


class TracebackPage(BaseModel):
    """Oldest first, so that a cause stands before what it has led to."""

    tracebacks: list[TracebackRow]


@router.get("/history")
def show(
    saga_id: UUID,
    using: Using,
    _: Viewer,
    after: Annotated[int, Query(ge=0, le=LARGEST, description="The last `seq` seen.")] = 0,
    limit: Limit = 500,
) -> HistoryPage:
    """What happened to a saga, from the beginning."""
    rows, more = using.read(lambda c: history_page(c, saga_id, after, limit, PAGE))
    if not rows and not after:
        raise SagaNotFound(f"there is no saga {saga_id}")
    return HistoryPage(transitions=list(rows), next=rows[-1].seq if more else None)


@router.get("/tracebacks")
def raised(
    saga_id: UUID,
    using: Using,
    _: Viewer,
    limit: Annotated[int, Query(ge=1, le=MOST, description="The latest so many.")] = MOST,
) -> TracebackPage:
    """What the code of a saga, of its steps and of all its children has raised."""

    def read(connection: Connection) -> tuple[TracebackRow, ...]:
        if not history(connection, saga_id, limit=1):
            raise SagaNotFound(f"there is no saga {saga_id}")
        return tracebacks(connection, saga_id, limit)

    return TracebackPage(tracebacks=list(using.read(read)))

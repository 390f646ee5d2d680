"""What is going on as a whole: what is blocked, what waits, who works, which sagas there are."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, TypeAdapter
from sqlalchemy import Connection

from saga.core.states import SagaStatus
from saga.operations.api.access import Viewer
from saga.operations.api.filters import Wanted
from saga.operations.api.pages import PAGE, answer
from saga.operations.api.params import CursorText, Limit, cursor
from saga.operations.api.services import Using
from saga.storage import queries
from saga.storage.queries import Backlog, BlockedItem, StrandedItem, WorkerRow

router = APIRouter(prefix="/v1", tags=["overview"])

Group = Literal["status", "name", "step", "error", "queue"]


class Blocked(BaseModel):
    """Work items, longest waiting first. `next`: the cursor of the page after."""

    blocked: list[BlockedItem]
    next: str | None
    stranded: list[StrandedItem]


_blocked_json = TypeAdapter(Blocked)


@router.get("/blocked", response_model=Blocked)
def blocked(
    using: Using,
    _: Viewer,
    wanted: Wanted,
    *,
    saga_id: UUID | None = None,
    limit: Limit = 50,
    after: Annotated[CursorText, Query(alias="cursor")] = None,
) -> Response:
    """What waits for a person to decide: see `resolve`. `step` and `error` are of that itself. With
    the first page, and without a filter, `stranded`: what waits for a worker that knows it.
    """

    def look(connection: Connection) -> Blocked:
        page = queries.blocked(
            connection, saga_id, wanted, limit=limit, after=cursor(after), size=PAGE
        )
        first = not after and wanted.is_empty
        unknown = queries.stranded(connection, saga_id, limit=limit) if first else ()
        following = str(page.next) if page.next else None
        return Blocked(blocked=list(page.rows), next=following, stranded=list(unknown))

    return answer(_blocked_json, using.read(look))


class Kind(BaseModel):
    """So many sagas for which all that was asked for is this."""

    status: SagaStatus | None = None
    name: str | None = None
    step: str | None = None
    error: str | None = None
    queue: str | None = None
    count: int


class Stats(BaseModel):
    """Numbers of sagas, the largest first."""

    counts: list[Kind]


@router.get("/stats")
def stats(
    using: Using,
    _: Viewer,
    wanted: Wanted,
    *,
    by: Annotated[list[Group], Query(max_length=5, description="Repeatable.")] = ["status"],  # noqa: B006 - copied
) -> Stats:
    """Count sagas by status, or by what else there is.

    `step` is where it stands or failed, `error` its own or the one that this step ended with,
    `queue` that of the step. A saga at several steps counts for each of them.
    """
    rows = using.read(lambda connection: queries.stats(connection, wanted, by))
    found = [dict(zip(by, row.by, strict=True)) | {"count": row.count} for row in rows]
    return Stats(counts=[Kind.model_validate(kind) for kind in found])


class Queues(BaseModel):
    """Queues with work or workers, by name."""

    queues: list[Backlog]


@router.get("/backlog")
def backlog(using: Using, _: Viewer) -> Queues:
    """What waits for a worker, by queue: cheap enough to ask every few seconds."""
    return Queues(queues=list(using.read(queries.backlog)))


class Workers(BaseModel):
    """Worker processes, newest first."""

    workers: list[WorkerRow]


@router.get("/workers")
def workers(using: Using, _: Viewer, *, ended: bool = False, limit: Limit = 200) -> Workers:
    """Live workers; with `ended` also those that are gone."""
    found = using.read(lambda c: queries.workers(c, ended=ended, limit=limit))
    return Workers(workers=list(found))


class Definition(BaseModel):
    """A saga that a worker has announced."""

    name: str
    version: int


class Definitions(BaseModel):
    """All that can be started, by name and version."""

    definitions: list[Definition]


@router.get("/definitions")
def definitions(using: Using, _: Viewer) -> Definitions:
    """The sagas that can be started by name."""
    found = using.read(queries.known_sagas)
    return Definitions(definitions=[Definition(name=name, version=v) for name, v in found])

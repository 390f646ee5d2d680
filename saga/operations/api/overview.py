"""What is going on as a whole: what is blocked, what waits, who works, which sagas there are."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import Connection

from saga.operations.api.access import Viewer
from saga.operations.api.params import CursorText, Limit, cursor
from saga.operations.api.services import Using
from saga.storage import queries
from saga.storage.queries import Backlog, BlockedItem, StrandedItem, WorkerRow

router = APIRouter(prefix="/v1", tags=["overview"])


class Blocked(BaseModel):
    """Work items, longest waiting first. `next`: the cursor of the page after."""

    blocked: list[BlockedItem]
    next: str | None
    stranded: list[StrandedItem]


@router.get("/blocked")
def blocked(
    using: Using,
    _: Viewer,
    *,
    limit: Limit = 50,
    after: Annotated[CursorText, Query(alias="cursor")] = None,
) -> Blocked:
    """What waits for a person to decide: see `resolve`. With the first page, `stranded`: what waits
    for a worker that knows it.
    """

    def look(connection: Connection) -> Blocked:
        page = queries.blocked(connection, limit=limit, after=cursor(after))
        unknown = () if after else queries.stranded(connection, limit=limit)
        following = str(page.next) if page.next else None
        return Blocked(blocked=list(page.rows), next=following, stranded=list(unknown))

    return using.read(look)


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

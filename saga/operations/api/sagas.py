"""Sagas: start them, list them, look at one, wait for its end."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, Field, TypeAdapter
from starlette.concurrency import run_in_threadpool

from saga.client.requests import StartRequest
from saga.client.why_not import Answer, why_not
from saga.core.codec import parse
from saga.core.states import ENDED, SagaStatus
from saga.operations.api.access import Operating, Viewer
from saga.operations.api.filters import Wanted
from saga.operations.api.pages import PAGE, answer
from saga.operations.api.params import (
    Body,
    CursorText,
    IdempotencyKey,
    Limit,
    Version,
    Words,
    cursor,
)
from saga.operations.api.problems import naming
from saga.operations.api.services import Using
from saga.storage.queries import SagaDetail, SagaRow, detail_page, list_sagas, standstill
from saga.storage.starts import Standing

router = APIRouter(prefix="/v1/sagas", tags=["sagas"])

_PAUSE = 5.0  # seconds after which a waiting request looks for itself


class StartBody(Body):
    """What to start."""

    name: Words
    input: dict[str, Any] = Field(default_factory=dict, description="The arguments by name.")
    version: Version | None = Field(None, description="By default the newest announced.")
    attributes: dict[str, Any] | None = Field(None, description="For search.")
    callback: str | None = Field(
        None, max_length=2000, description="An https URL that is told of the end."
    )


class Started(BaseModel):
    """A saga. `new` is false if the same key had started it before."""

    id: UUID
    name: str
    key: str | None
    new: bool


@router.post("", status_code=201, responses={200: {"model": Started}})
def start(
    body: StartBody,
    response: Response,
    using: Using,
    holder: Operating,
    idempotency_key: IdempotencyKey = None,
    traceparent: Annotated[str | None, Header(description="W3C Trace Context.")] = None,
) -> Started:
    """Start a saga.

    With an `Idempotency-Key` the same request starts it once, and answers 200 from then on; the
    key with another input is a 409.
    """
    using.check_input(body.name, body.version, body.input)
    request = StartRequest(
        body.name,
        body.input,
        idempotency_key,
        body.version,
        body.attributes,
        body.callback,
        traceparent,
    )
    with naming(body.name, "input"):
        (handle,) = using.client.start_many([request], by=holder.name)
    response.headers["Location"] = f"/v1/sagas/{handle.id}"
    response.status_code = 201 if handle.is_new else 200
    return Started(id=handle.id, name=body.name, key=idempotency_key, new=handle.is_new)


class SagaPage(BaseModel):
    """Sagas, newest first. `next`: the cursor of the page after."""

    sagas: list[SagaRow]
    next: str | None


_page_json = TypeAdapter(SagaPage)
_saga_json = TypeAdapter(SagaDetail)


@router.get("", response_model=SagaPage)
def list_(
    using: Using,
    _: Viewer,
    wanted: Wanted,
    *,
    limit: Limit = 50,
    after: Annotated[CursorText, Query(alias="cursor")] = None,
) -> Response:
    """List sagas, newest first."""
    page = using.read(lambda c: list_sagas(c, wanted, limit=limit, after=cursor(after), size=PAGE))
    following = str(page.next) if page.next else None
    return answer(_page_json, SagaPage(sagas=list(page.rows), next=following))


@router.get("/{saga_id}", response_model=SagaDetail)
def show(
    saga_id: UUID,
    using: Using,
    _: Viewer,
    *,
    after: Annotated[CursorText, Query(alias="cursor")] = None,
) -> Response:
    """Everything about one saga: its steps, their attempts, its signals. `next`: the cursor of the
    page with the steps and signals that follow.
    """
    page = using.read(lambda c: detail_page(c, saga_id, cursor(after), PAGE))
    return answer(_saga_json, page)


@router.get("/{saga_id}/why")
def why(saga_id: UUID, using: Using, _: Viewer) -> Answer:
    """Why a saga is not running: `answer` in a sentence, and each of the reasons."""
    return why_not(using.read(lambda connection: standstill(connection, saga_id)))


class Outcome(BaseModel):
    """Where a saga stands: `result` once it has completed, `error` if it ended otherwise."""

    id: UUID
    status: SagaStatus
    ended: bool
    result: Any = None
    error: Any = None


@router.get("/{saga_id}/result", responses={202: {"model": Outcome}})
async def result(
    saga_id: UUID,
    response: Response,
    using: Using,
    _: Viewer,
    wait: Annotated[
        float, Query(ge=0, le=60, allow_inf_nan=False, description="Seconds to wait for the end.")
    ] = 0,
) -> Outcome:
    """The result, once there is one; 202 while the saga has not ended.

    `wait` is cut to what the server's time limit leaves.
    """
    wait = min(wait, max(0.0, using.settings.timeout - 1))
    standing = await run_in_threadpool(using.client.standing, saga_id)
    if wait and standing.status not in ENDED:
        standing = await _end(saga_id, using, standing, wait)
    outcome = _outcome(saga_id, standing)
    response.status_code = 200 if outcome.ended else 202
    return outcome


async def _end(saga_id: UUID, using: Using, standing: Standing, seconds: float) -> Standing:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    with using.watcher.watch(saga_id) as watch:
        seen = None
        while standing.status not in ENDED and (left := deadline - loop.time()) > 0:
            if await watch.beyond(seen, min(left, _PAUSE)):
                seen = watch.latest
            standing = await run_in_threadpool(using.client.standing, saga_id)
    return standing


def _outcome(saga_id: UUID, standing: Standing) -> Outcome:
    completed = standing.status == SagaStatus.COMPLETED
    return Outcome(
        id=saga_id,
        status=SagaStatus(standing.status),
        ended=standing.status in ENDED,
        result=parse(standing.result) if completed and standing.result else None,
        error=parse(standing.error) if not completed and standing.error else None,
    )

"""Callbacks: whether they were taken, and making one again."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel

from saga.errors import SagaNotFound
from saga.operations.api.access import Operating, Viewer
from saga.operations.api.pages import PAGE
from saga.operations.api.params import CursorText, Limit, cursor
from saga.operations.api.services import Services, Using
from saga.storage import deliveries
from saga.storage.queries import CallbackFilter, CallbackRow
from saga.storage.queries import callbacks as query

router = APIRouter(prefix="/v1", tags=["callbacks"])

State = Literal["due", "delivered", "given_up"]


class CallbackPage(BaseModel):
    """Callbacks. `next`: the cursor of the page after."""

    callbacks: list[CallbackRow]
    next: str | None


@router.get("/callbacks")
def of_all(
    using: Using,
    _: Viewer,
    *,
    state: Annotated[list[State], Query(max_length=3)] = [],  # noqa: B006 - copied
    limit: Limit = 50,
    after: Annotated[CursorText, Query(alias="cursor")] = None,
) -> CallbackPage:
    """The callbacks of all sagas, newest first."""
    return _page(using, CallbackFilter(states=state), limit, after)


@router.get("/sagas/{saga_id}/callbacks")
def of_saga(
    saga_id: UUID,
    using: Using,
    _: Viewer,
    *,
    limit: Limit = 50,
    after: Annotated[CursorText, Query(alias="cursor")] = None,
) -> CallbackPage:
    """The callbacks of a saga that was started with a `callback`: one for each end, in order."""
    page = _page(using, CallbackFilter(saga_id), limit, after)
    if not page.callbacks:
        using.client.standing(saga_id)  # raises SagaNotFound
    return page


@router.post("/sagas/{saga_id}/callbacks/{callback_id}/retry", status_code=202)
def again(saga_id: UUID, callback_id: UUID, using: Using, holder: Operating) -> CallbackPage:
    """Make a callback once more, with the same id, whatever came of it before."""
    done = using.connections.call(
        lambda run: deliveries.again(run, saga_id, callback_id, holder.name)
    )
    if not done:
        raise SagaNotFound(f"saga {saga_id} has no callback {callback_id}")
    return _page(using, CallbackFilter(saga_id), 50, None)


def _page(using: Services, wanted: CallbackFilter, limit: int, after: str | None) -> CallbackPage:
    page = using.read(lambda c: query(c, wanted, limit=limit, after=cursor(after), size=PAGE))
    return CallbackPage(callbacks=list(page.rows), next=str(page.next) if page.next else None)

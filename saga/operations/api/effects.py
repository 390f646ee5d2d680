"""The ledger: what sagas did to the outside world, and what of it still stands."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, TypeAdapter

from saga.core.saga_filter import moment_of
from saga.operations.api.access import Viewer
from saga.operations.api.pages import PAGE, answer
from saga.operations.api.params import CursorText, Limit, Moment, Words, cursor
from saga.operations.api.services import Services, Using
from saga.storage.queries import Effect, EffectFilter, effects
from saga.storage.queries.effects import LATELY

router = APIRouter(prefix="/v1", tags=["effects"])

Outcome = Literal["claimed", "succeeded", "failed", "unknown", "compensated"]


class EffectPage(BaseModel):
    """Entries of the ledger. `next`: the cursor of the page after."""

    effects: list[Effect]
    next: str | None


_page_json = TypeAdapter(EffectPage)


@router.get("/effects", response_model=EffectPage)
def of_all(
    using: Using,
    _: Viewer,
    *,
    step: Annotated[Words | None, Query()] = None,
    outcome: Outcome | None = None,
    standing: bool = False,
    since: Annotated[Moment | None, Query(description="How long ago at most, or when.")] = None,
    limit: Limit = 100,
    after: Annotated[CursorText, Query(alias="cursor")] = None,
) -> Response:
    """The effects of all sagas in the last day, or since `since`, newest first.

    With `standing` only what is not undone.
    """
    wanted = EffectFilter(None, step, outcome, standing, moment_of(since, "query.since") or LATELY)
    return answer(_page_json, _page(using, wanted, limit, after))


@router.get("/sagas/{saga_id}/effects", response_model=EffectPage)
def of_saga(
    saga_id: UUID,
    using: Using,
    _: Viewer,
    *,
    standing: bool = False,
    limit: Limit = 100,
    after: Annotated[CursorText, Query(alias="cursor")] = None,
) -> Response:
    """The effects of one saga, in order."""
    page = _page(using, EffectFilter(saga_id, standing=standing), limit, after)
    if not page.effects:
        using.client.standing(saga_id)  # raises SagaNotFound
    return answer(_page_json, page)


def _page(using: Services, wanted: EffectFilter, limit: int, after: str | None) -> EffectPage:
    page = using.read(lambda c: effects(c, wanted, limit=limit, after=cursor(after), size=PAGE))
    return EffectPage(effects=list(page.rows), next=str(page.next) if page.next else None)

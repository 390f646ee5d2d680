"""The audit trail: what people and services did."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, TypeAdapter

from saga.core.saga_filter import moment_of
from saga.operations.api.access import Admin
from saga.operations.api.pages import PAGE, answer
from saga.operations.api.params import DEEPEST, Limit, Moment, Words
from saga.operations.api.services import Using
from saga.storage.queries import AuditRow
from saga.storage.queries import audit as query

router = APIRouter(prefix="/v1/audit", tags=["audit"])


class AuditPage(BaseModel):
    """Actions, newest first. `next`: pass it as `before` for older ones."""

    actions: list[AuditRow]
    next: int | None


_page_json = TypeAdapter(AuditPage)


@router.get("", response_model=AuditPage)
def list_(
    using: Using,
    _: Admin,
    *,
    saga_id: UUID | None = None,
    actor: Annotated[Words | None, Query()] = None,
    action: Annotated[Words | None, Query()] = None,
    refused: bool | None = None,
    since: Annotated[Moment | None, Query(description="How long ago at most, or when.")] = None,
    before: Annotated[int | None, Query(ge=1, le=DEEPEST)] = None,
    limit: Limit = 50,
) -> Response:
    """Who did what, on which saga, and why it was refused if it was."""
    rows, following = using.read(
        lambda c: query(
            c,
            saga_id=saga_id,
            actor=actor,
            action=action,
            refused=refused,
            since=moment_of(since, "query.since"),
            before=before,
            limit=limit,
            size=PAGE,
        )
    )
    return answer(_page_json, AuditPage(actions=list(rows), next=following))

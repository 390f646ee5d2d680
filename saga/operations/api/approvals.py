"""What sagas want approved, and the answers to it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, TypeAdapter

from saga.operations.api.access import Approver, Viewer
from saga.operations.api.filters import WantedBySagaName
from saga.operations.api.pages import PAGE, answer
from saga.operations.api.params import LARGEST, Body, CursorText, Limit, Words, cursor
from saga.operations.api.services import Services, Using
from saga.storage.queries import Approval, ApprovalFilter
from saga.storage.queries import approvals as query

router = APIRouter(prefix="/v1", tags=["approvals"])


class ApprovalPage(BaseModel):
    """Open approvals, longest waiting first. `next`: the cursor of the page after."""

    approvals: list[Approval]
    next: str | None


_page_json = TypeAdapter(ApprovalPage)


@router.get("/approvals", response_model=ApprovalPage)
def list_(
    using: Using,
    _: Viewer,
    sagas: WantedBySagaName,
    *,
    name: Annotated[Words | None, Query(description="Of the approval.")] = None,
    saga_id: UUID | None = None,
    limit: Limit = 50,
    after: Annotated[CursorText, Query(alias="cursor")] = None,
) -> Response:
    """What waits for a person: answer it by `saga_id` and `position`."""
    wanted = ApprovalFilter(name, saga_id, sagas=sagas)
    page = using.read(lambda c: query(c, wanted, limit=limit, after=cursor(after), size=PAGE))
    following = str(page.next) if page.next else None
    return answer(_page_json, ApprovalPage(approvals=list(page.rows), next=following))


class AnswerBody(Body):
    """An answer."""

    position: int | None = Field(
        None,
        ge=1,
        le=LARGEST,
        description="Which approval. May be left out while the saga has asked only once.",
    )
    name: Words | None = Field(None, description="Only an approval of this name.")
    reason: Words | None = None


class Answered(BaseModel):
    """What was answered, and by whom."""

    approved: bool
    by: str
    position: int


_NO_BODY = AnswerBody(position=None, name=None)


@router.post("/sagas/{saga_id}/approve")
def approve(saga_id: UUID, using: Using, holder: Approver, body: AnswerBody = _NO_BODY) -> Answered:
    """Approve what a saga asks for.

    The same decision may be sent again, with the same answer; a 409 for any other that does not fit
    what is open.
    """
    return _answer(saga_id, using, holder.name, body, approved=True)


@router.post("/sagas/{saga_id}/reject")
def reject(saga_id: UUID, using: Using, holder: Approver, body: AnswerBody = _NO_BODY) -> Answered:
    """Reject what a saga asks for; answers as for `approve`."""
    return _answer(saga_id, using, holder.name, body, approved=False)


def _answer(
    saga_id: UUID, using: Services, by: str, body: AnswerBody, *, approved: bool
) -> Answered:
    answer = using.client.approve if approved else using.client.reject
    position = answer(saga_id, body.name, position=body.position, by=by, reason=body.reason)
    return Answered(approved=approved, by=by, position=position)

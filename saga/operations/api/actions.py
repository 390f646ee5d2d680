"""What operators do to a saga as a whole: cancel it, retry it."""

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from saga.core.states import SagaStatus
from saga.operations.api.access import Operating
from saga.operations.api.params import Body, Words
from saga.operations.api.services import Services, Using

router = APIRouter(prefix="/v1/sagas/{saga_id}", tags=["operating"])


class ReasonBody(Body):
    """Why."""

    reason: Words | None = None


class Standing(BaseModel):
    """Where the saga stands now."""

    id: UUID
    status: SagaStatus


def standing(saga_id: UUID, using: Services) -> Standing:
    """After an action."""
    return Standing(id=saga_id, status=SagaStatus(using.client.standing(saga_id).status))


_NO_BODY = ReasonBody()


@router.post("/cancel", status_code=202)
def cancel(saga_id: UUID, using: Using, holder: Operating, body: ReasonBody = _NO_BODY) -> Standing:
    """Stop a saga and undo what it did; a 409 if it does not go forward any more."""
    using.operator(holder.name).cancel(saga_id, reason=body.reason)
    return standing(saga_id, using)


@router.post("/retry", status_code=202)
def retry(saga_id: UUID, using: Using, holder: Operating, body: ReasonBody = _NO_BODY) -> Standing:
    """Let a failed saga go on, as its code is now, or one that waits for another attempt make it
    now; a 409 if there is nothing to retry.
    """
    using.operator(holder.name).retry(saga_id, reason=body.reason)
    return standing(saga_id, using)

"""Decisions on blocked steps and undos."""

from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from saga.operations.api.access import Operating
from saga.operations.api.actions import Standing, standing
from saga.operations.api.params import Body, Position, Words
from saga.operations.api.services import Using

router = APIRouter(prefix="/v1/sagas/{saga_id}/steps/{position}", tags=["operating"])


class ResolveBody(Body):
    """A decision on something blocked."""

    action: Literal["retry", "skip", "done"]
    undo: bool | None = Field(None, description="Which, if a step and its undo are both blocked.")
    result: Any = Field(None, description="With `done`: what the step would have returned.")
    reason: Words | None = Field(None, description="Needed for `skip`.")


@router.post("/resolve", status_code=202)
def resolve(
    saga_id: UUID, position: Position, body: ResolveBody, using: Using, holder: Operating
) -> Standing:
    """Decide on a blocked step or undo; a 409 if nothing is blocked there, or not any more."""
    using.operator(holder.name).resolve(
        saga_id,
        position,
        body.action,
        undo=body.undo,
        result=body.result,
        reason=body.reason,
    )
    return standing(saga_id, using)

"""Signals to a saga."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel

from saga.operations.api.access import Operating
from saga.operations.api.params import Body, IdempotencyKey, Words
from saga.operations.api.problems import naming
from saga.operations.api.services import Using

router = APIRouter(prefix="/v1/sagas/{saga_id}", tags=["talking to sagas"])


class SignalBody(Body):
    """A signal."""

    name: Words
    payload: Any = None


class Sent(BaseModel):
    """Whether the signal is new: the same key counts once."""

    new: bool


@router.post("/signals", status_code=201, responses={200: {"model": Sent}})
def send(
    saga_id: UUID,
    body: SignalBody,
    response: Response,
    using: Using,
    holder: Operating,
    idempotency_key: IdempotencyKey = None,
) -> Sent:
    """Send a signal; those of one name arrive in order."""
    with naming(f"signal {body.name}", "payload"):
        new = using.client.signal(
            saga_id, body.name, body.payload, dedup_id=idempotency_key, sender=holder.name
        )
    response.status_code = 201 if new else 200
    return Sent(new=new)

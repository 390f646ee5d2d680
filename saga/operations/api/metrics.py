"""What Prometheus scrapes."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import PlainTextResponse

from saga.operations.api.access import Viewer
from saga.operations.api.services import Using

router = APIRouter(tags=["overview"])


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(using: Using, _: Viewer) -> PlainTextResponse:
    """The whole system as Postgres knows it, in Prometheus' text format.

    Cheap enough to ask every few seconds. Counts and durations of steps are with the workers.
    """
    return PlainTextResponse(using.metrics.render(), media_type=CONTENT_TYPE_LATEST)

"""A saga's history while it happens, as server-sent events."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from saga.core.states import ENDED
from saga.errors import Unavailable
from saga.operations.api.access import Viewer
from saga.operations.api.pages import PAGE
from saga.operations.api.params import LARGEST
from saga.operations.api.problems import problem
from saga.operations.api.services import Services, Using
from saga.operations.api.shares import Shares
from saga.storage.queries import Transition, history_page

router = APIRouter(prefix="/v1/sagas/{saga_id}", tags=["sagas"])

_BATCH = 200
_HEARTBEAT = 15.0  # seconds
_PAUSE = 1.0  # seconds between two tries while the database is away
_transition: TypeAdapter[Transition] = TypeAdapter(Transition)


class EventStream(StreamingResponse):
    """`text/event-stream`, one of so many."""

    media_type = "text/event-stream"

    def __init__(
        self, events: AsyncIterator[str], status_code: int = 200, *, streams: Shares, holder: int
    ) -> None:
        super().__init__(events, status_code, {"X-Accel-Buffering": "no"})
        self._streams = streams
        self._holder = holder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counted from here: nothing can come between counting and streaming."""
        with self._streams.held(self._holder) as has_room:
            if has_room:
                await super().__call__(scope, receive, send)
            else:
                full = problem(503, "as many streams as there may be, or as this token may have")
                await full(scope, receive, send)


@router.get(
    "/events",
    response_class=EventStream,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def follow(
    saga_id: UUID,
    using: Using,
    holder: Viewer,
    last_event_id: Annotated[
        int, Header(alias="Last-Event-ID", ge=0, le=LARGEST, description="The last `seq` seen.")
    ] = 0,
) -> Any:
    """Follow a saga.

    Each transition is an event `transition` whose id is its `seq`, so that a client that connects
    again misses nothing. What the saga's code exposes is an event `exposed`, first as it is and
    then whenever it is another. When the saga has ended there is an event `end`, and the stream
    closes.
    """
    await run_in_threadpool(using.client.standing, saga_id)  # raises SagaNotFound
    events = _events(saga_id, using, last_event_id)
    return EventStream(events, streams=using.streams, holder=holder.id)


async def _events(saga_id: UUID, using: Services, seen: int) -> AsyncIterator[str]:
    following = _Following(saga_id, using, seen)
    with using.watcher.watch(saga_id) as watch:
        yield "retry: 2000\n\n"
        while not following.is_over:
            before = watch.latest
            try:
                news = await run_in_threadpool(following.news)
            except Unavailable:  # for as long as it takes: nothing is missed
                yield ": the database is away\n\n"
                await asyncio.sleep(_PAUSE)
                continue
            for event in news:
                yield event
            while not news and not await watch.beyond(before, _HEARTBEAT):
                yield ": still here\n\n"


class _Following:
    """What one who follows a saga has been told."""

    def __init__(self, saga_id: UUID, using: Services, seen: int) -> None:
        self._saga_id = saga_id
        self._using = using
        self._seen = seen
        self._shown: bytes | None = None  # a digest of it
        self.is_over = False

    def news(self) -> list[str]:
        """Events; none if there is nothing new. Raises Unavailable."""
        standing = self._using.client.standing(self._saga_id)  # before the transitions up to it
        found = self._transitions()
        shown = standing.exposed and hashlib.sha256(standing.exposed.encode()).digest()
        if shown != self._shown:
            self._shown = shown or None
            found.append(_event("exposed", standing.exposed or "null"))
        if not found and standing.status in ENDED:
            self.is_over = True
            found.append(_event("end", f'{{"status":"{standing.status}"}}'))
        return found

    def _transitions(self) -> list[str]:
        rows, _ = self._using.read(
            lambda c: history_page(c, self._saga_id, self._seen, _BATCH, PAGE)
        )
        if rows:
            self._seen = rows[-1].seq
        return [_event("transition", _transition.dump_json(row).decode(), row.seq) for row in rows]


def _event(kind: str, data: str, number: int | None = None) -> str:
    identity = "" if number is None else f"id: {number}\n"
    line = data.replace("\r", " ").replace("\n", " ")  # between the tokens of JSON only
    return f"{identity}event: {kind}\ndata: {line}\n\n"

"""What every request passes first: its size, its JSON, and a limit to how long it may take."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saga.core.codec import check_text
from saga.errors import InvalidInput
from saga.operations.api.problems import FieldError, problem
from saga.operations.api.settings import ApiSettings

log = logging.getLogger("saga.api")

_SMALL = 64 * 1024  # bytes of JSON that are checked on the event loop
_HEADERS = [  # unless an answer has another one
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]


class Edge:
    """Refuses bodies that cannot be stored, and answers 503 for what takes too long.

    The work of a request that took too long goes on by itself: it may still be carried out, which
    the answer says.
    """

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        self._settings = settings
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        if self._waiting >= self._settings.waiting:
            await answer.give(problem(503, "too many requests are on their way"))
            return
        self._waiting += 1
        try:
            await self._within_time(scope, receive, answer)
        finally:
            self._waiting -= 1

    async def _within_time(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        work = asyncio.ensure_future(self._handle(scope, receive, answer))
        started = asyncio.ensure_future(answer.started.wait())
        try:
            await asyncio.wait(
                {work, started}, timeout=self._settings.timeout, return_when="FIRST_COMPLETED"
            )
            if answer.started.is_set() or work.done():
                await work
                return
            work.add_done_callback(_forget)
            text = f"no answer within {self._settings.timeout:g} s; whether it was carried out is "
            await answer.give(problem(503, text + "not known: repeat it with the same key"))
        except asyncio.CancelledError:
            work.cancel()
            raise
        finally:
            started.cancel()

    async def _handle(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        body = await self._body(receive)
        refusal = body if isinstance(body, Response) else await _check(scope, body)
        if refusal is not None:
            await answer.give(refusal)
        elif isinstance(body, bytes):
            await self._app(scope, _replay(body, receive), answer.send)

    async def _body(self, receive: Receive) -> bytes | Response:
        """All of it, unless it is too large."""
        most = self._settings.largest_body
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return problem(400, "the body ended early")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > most:
                return problem(413, f"a body has at most {most} bytes")
            if not message.get("more_body", False):
                return b"".join(parts)


class _Answer:
    """The way back, which closes after one answer."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._closed = False
        self._began = time.monotonic()
        self.started = asyncio.Event()

    async def send(self, message: Message) -> None:
        """For the work, whose answer may come too late."""
        if not self._closed:
            await self._pass_on(message)

    async def give(self, response: Response) -> None:
        """This, and nothing else."""
        self._closed = True
        await response(self._scope, _nothing, self._pass_on)

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started.set()
            given = list(message.get("headers", ()))
            names = {name.lower() for name, _ in given}
            more = [header for header in _HEADERS if header[0] not in names]
            message = {**message, "headers": given + more}
            self._log(message["status"])
        await self._send(message)

    def _log(self, status: int) -> None:
        route = self._scope.get("route")
        path = getattr(route, "path", None) or "(no route)"
        holder = self._scope.get("state", {}).get("holder")
        took = (time.monotonic() - self._began) * 1000
        log.info(
            "%s %s %s %.0f ms %s", self._scope["method"], path, status, took, holder or "nobody"
        )


async def _check(scope: Scope, body: bytes) -> Response | None:
    """What is wrong with a body; None if nothing is."""
    if not body:
        return None
    kind = dict(scope["headers"]).get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        return problem(415, "want Content-Type: application/json")
    try:
        if len(body) <= _SMALL:
            check_text(body, "body")
        else:
            await asyncio.to_thread(check_text, body, "body")
    except InvalidInput as error:
        text = str(error).removeprefix("body: ")
        place, _, message = ("", "", text) if text.startswith("not JSON") else text.rpartition(": ")
        field = FieldError(field=place or "body", message=message)
        return problem(413 if "bytes of JSON" in message else 400, str(error), [field])
    return None


def _replay(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    """The body once more, then what else the server has to say."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return left.pop() if left else await receive()

    return again


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _forget(work: "asyncio.Future[None]") -> None:
    """Its answer has been given; an error of it is logged, and no more."""
    if not work.cancelled() and work.exception() is not None:
        log.warning("a request failed after its time: %s", type(work.exception()).__name__)

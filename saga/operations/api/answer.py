"""The way back of a request."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Message, Scope, Send

from saga.operations.api.bodies import Incoming
from saga.operations.api.callers import address_of
from saga.operations.api.shares import Shares

log = logging.getLogger("saga.api")

_HEADERS = [  # unless an answer has another one
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
_LINGER = 1.0  # seconds
_TOO_OFTEN = 429
_STREAM = b"text/event-stream"


class Answer:
    """The way back, which closes after one answer."""

    def __init__(self, scope: Scope, incoming: Incoming, send: Send, lingering: Shares) -> None:
        self._scope = scope
        self._incoming = incoming
        self._send = send
        self._lingering = lingering
        self._closed = False
        self._began = time.monotonic()
        self.started = asyncio.Event()
        self.has_begun = False  # its work
        self.on_stream: Callable[[], None] = _ignore

    async def send(self, message: Message) -> None:
        """For the work, whose answer may come too late."""
        if not self._closed:
            await self._pass_on(message)

    async def give(self, response: Response) -> None:
        """This, and nothing else. Who asks too often waits for it, so that asking again at once
        costs them more than us. The connection ends with it if the body has not been read; to those
        who still send it would then be lost, so that the rest is let in for a moment.
        """
        if self._closed or self.started.is_set():
            return
        self._closed = True
        is_too_often = response.status_code == _TOO_OFTEN
        if is_too_often:
            await self._linger(asyncio.sleep(_LINGER))
        if self._incoming.is_read:
            await response(self._scope, _nothing, self._pass_on)
            return
        response.headers["connection"] = "close"
        await response(self._scope, _nothing, self._hold_open)
        if not is_too_often:
            await self._linger(self._throw_away())
        await self._pass_on({"type": "http.response.body", "body": b""})

    async def _hold_open(self, message: Message) -> None:
        more = {"more_body": True} if "body" in message else {}
        await self._pass_on({**message, **more})

    async def _linger(self, meanwhile: Coroutine[Any, Any, None]) -> None:
        """For a second at most, and not for more of one address than a few."""
        with self._lingering.held(address_of(self._scope)) as has_room, suppress(TimeoutError):
            async with asyncio.timeout(_LINGER if has_room else 0):
                await meanwhile

    async def _throw_away(self) -> None:
        while not self._incoming.is_read:
            await self._incoming()

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started.set()
            given = list(message.get("headers", ()))
            names = {name.lower() for name, _ in given}
            more = [header for header in _HEADERS if header[0] not in names]
            message = {**message, "headers": given + more}
            self._log(message["status"])
            if any(name == b"content-type" and value.startswith(_STREAM) for name, value in given):
                self.on_stream()
        await self._send(message)

    def _log(self, status: int) -> None:
        route = self._scope.get("route")
        path = getattr(route, "path", None) or "(no route)"
        holder = self._scope.get("state", {}).get("holder")
        name = holder.name if holder else "nobody"
        took = (time.monotonic() - self._began) * 1000
        log.info("%s %s %s %.0f ms %s", self._scope["method"], path, status, took, name)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _ignore() -> None: ...

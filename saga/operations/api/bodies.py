"""Bodies of requests: read within a time and within limits, and checked before anybody parses
them.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager

from starlette.types import Message, Receive, Scope

from saga.core.codec import LIMITS, Limits, refuse_text
from saga.errors import InvalidInput
from saga.operations.api.problems import FieldError, Refusal, status_of_limit
from saga.operations.api.settings import AROUND, ApiSettings
from saga.operations.api.shares import Shares

_SMALL = 64 * 1024  # bytes of JSON that are checked on the event loop
_UNFINISHED = 20  # bodies of one address that are not here yet
_HELD = 32 << 20  # bytes of bodies that are here, or on their way
_LONGEST = 10.0  # seconds of a turn
_REST = 2.0  # times as long as a large body took, until the next one's turn
_AROUND_VALUES = Limits(LIMITS.size + AROUND, LIMITS.depth + 2)
"""Of a body. Each value in it is held to the limits of values where it is taken."""
_SENT = (b"content-length", b"transfer-encoding")


class Incoming:
    """The way in, which knows whether all of the body has been read."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self.is_read = not any(name in _SENT and value != b"0" for name, value in scope["headers"])

    async def __call__(self) -> Message:
        message = await self._receive()
        if not message.get("more_body", False):  # also that of a disconnect
            self.is_read = True
        return message


class Bodies:
    """For one server."""

    def __init__(self, settings: ApiSettings) -> None:
        self._most = settings.largest_body
        self._within = settings.timeout / 2
        self._unfinished = Shares(1 << 30, each=_UNFINISHED)
        self._held = Shares(_HELD)
        self._turns = _Turns()

    @asynccontextmanager
    async def body(
        self, scope: Scope, incoming: Incoming, address: str, holder: Hashable
    ) -> AsyncGenerator[bytes]:
        """The body, once it is here and has been checked. A large one has its turn inside the
        block. Raises Refusal.
        """
        held = _Held(self._held, holder)
        try:
            body = b"" if incoming.is_read else await self._read(incoming, address, held)
            if len(body) <= _SMALL:
                _check(scope, body)
                yield body
                return
            async with self._turns.turn():
                await asyncio.to_thread(_check, scope, body)
                yield body
        finally:
            held.give_back()

    async def _read(self, incoming: Incoming, address: str, held: "_Held") -> bytes:
        with self._unfinished.held(address) as has_room:
            if not has_room:
                raise Refusal(429, "too many bodies from here are unfinished", Retry_After="1")
            try:
                async with asyncio.timeout(self._within):
                    return await self._read_all(incoming, held)
            except TimeoutError:
                raise Refusal(408, f"no whole body within {self._within:g} s") from None

    async def _read_all(self, incoming: Incoming, held: "_Held") -> bytes:
        body = bytearray()
        while not incoming.is_read:
            message = await incoming()
            if message["type"] == "http.disconnect":
                raise Refusal(400, "the body ended early")
            part = message.get("body", b"")
            if len(body) + len(part) > self._most:
                raise Refusal(413, f"a body has at most {self._most} bytes")
            held.take(len(part))
            body += part
        return bytes(body)


class _Held:
    """What one body takes of the room for all."""

    def __init__(self, room: Shares, holder: Hashable) -> None:
        self._room = room
        self._holder = holder
        self._size = 0

    def take(self, size: int) -> None:
        """Raises Refusal."""
        if not self._room.take(self._holder, size):
            raise Refusal(503, "too many large bodies at once: nothing was done")
        self._size += size

    def give_back(self) -> None:
        self._room.give_back(self._holder, self._size)


class _Turns:
    """One after the other, and two thirds of the time for what is not as large. What takes longer
    than any computing does waits for a row that is held, and may do so beside the next one.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        await self._lock.acquire()
        loop = asyncio.get_running_loop()
        began = loop.time()
        over = loop.call_later(_LONGEST, self._lock.release)
        try:
            yield
        finally:
            now = loop.time()
            if now < over.when():
                over.cancel()
                loop.call_later(min(_REST * (now - began), _LONGEST), self._lock.release)


def _check(scope: Scope, body: bytes) -> None:
    """Raises Refusal."""
    if not body:
        return
    kind = dict(scope["headers"]).get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise Refusal(415, "want Content-Type: application/json")
    try:
        refuse_text(body, "body", _AROUND_VALUES)
    except InvalidInput as error:
        text = str(error).removeprefix("body: ")
        place, _, message = ("", "", text) if text.startswith("not JSON") else text.rpartition(": ")
        field = FieldError(field=place or "body", message=message)
        raise Refusal(status_of_limit(message) or 400, str(error), errors=[field]) from None


def replay(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    """The body once more, then what else the server has to say."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return left.pop() if left else await receive()

    return again

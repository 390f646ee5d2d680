"""A small HTTP/1.1 server for the demo's services.

It answers on loopback only. A handler may return a `Wire` in place of a `Reply`: then it has the
socket in its own hands and can hang, drip or cut, which no framework lets a server do.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

LARGEST_BODY = 4 << 20
LARGEST_HEAD = 64 << 10


class BadRequestError(Exception):
    """The request is refused before any handler sees it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> str | None:
        """The `Idempotency-Key` header, if it is there and not empty."""
        return self.headers.get("idempotency-key") or None

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; `BadRequestError` (400) for anything else."""
        try:
            value: object = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise BadRequestError(400, f"the body is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise BadRequestError(400, "the body must be a JSON object")
        return cast("dict[str, Any]", value)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole, well-formed response."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    content_type: str = "application/json"

    @classmethod
    def of(cls, status: int, value: object, headers: Mapping[str, str] | None = None) -> Reply:
        """A reply with `value` as JSON."""
        return cls(status, json.dumps(value), headers or {})

    def encode(self) -> bytes:
        """The bytes that go over the wire."""
        body = self.body.encode()
        head = [
            f"HTTP/1.1 {self.status} {_reason(self.status)}",
            f"content-type: {self.content_type}",
            f"content-length: {len(body)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def refusal(error: BadRequestError) -> Reply:
    """The answer to a request that is refused."""
    return Reply.of(error.status, {"error": {"message": str(error)}})


Wire = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""Writes to the socket as it likes; the connection is closed afterwards."""

Handler = Callable[[Request], Awaitable[Reply | Wire]]


async def serve(handler: Handler, host: str = "127.0.0.1", port: int = 0) -> tuple[Server, str]:
    """Start a server on `port` (0: a free one); gives the server and its URL."""
    server = Server(handler)
    listener = await asyncio.start_server(server.talk, host, port, limit=LARGEST_HEAD)
    server.listener = listener
    return server, f"http://{host}:{listener.sockets[0].getsockname()[1]}"


class Server:
    """The connections of one listening socket."""

    listener: asyncio.Server

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._open: set[asyncio.StreamWriter] = set()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side closes it."""
        self._open.add(writer)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away: it has seen what it has seen
        except asyncio.CancelledError:
            pass  # the loop ends; before Python 3.12 its streams log what else leaves here
        finally:
            self._open.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; false when the connection is to be closed."""
        try:
            request = await _read(reader)
        except BadRequestError as error:
            writer.write(refusal(error).encode())
            await writer.drain()
            return False
        if request is None:
            return False
        reply = await self._answer(request)
        if not isinstance(reply, Reply):
            await reply(writer)
            return False
        writer.write(reply.encode())
        await writer.drain()
        return request.headers.get("connection", "").lower() != "close"

    async def _answer(self, request: Request) -> Reply | Wire:
        try:
            return await self._handler(request)
        except Exception:
            logging.getLogger(__name__).exception("a demo service failed")
            return Reply.of(500, {"error": {"message": "the service failed; see its log"}})

    def close(self) -> None:
        """Stop listening and drop every connection."""
        self.listener.close()
        for writer in list(self._open):
            writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise BadRequestError(431, "the request's head is too large") from error
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    try:
        method, target, _ = first.split(" ")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        parts = urlsplit(target)
    except ValueError as error:
        raise BadRequestError(400, "this is not an HTTP/1.1 request") from error
    body = await _body(reader, headers)
    return Request(method, parts.path, dict(parse_qsl(parts.query)), headers, body)


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "transfer-encoding" in headers:
        raise BadRequestError(501, "send a Content-Length; chunked bodies are not read here")
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise BadRequestError(400, "Content-Length is not a number")
    if int(length) > LARGEST_BODY:
        raise BadRequestError(413, f"the body is larger than {LARGEST_BODY} bytes")
    return await reader.readexactly(int(length)) if int(length) else b""


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded" if status == 529 else "Unknown"

"""The ways in which a model provider fails, each as something the stand-in can do on demand."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from saga.operations.demo.web import BadRequestError, Reply, Wire

Message = dict[str, Any]

HANG_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One scripted failure; `retry_after` is sent as it stands, however absurd."""

    kind: str
    retry_after: str | None = None
    seconds: float = HANG_SECONDS

    def __post_init__(self) -> None:
        if self.kind not in STATUSES | WIRES.keys() | MESSAGES.keys() | TEXTS.keys():
            raise BadRequestError(400, f"no fault of that kind: {self.kind}")

    def play(self, good: Message) -> Reply | Wire:
        """What goes out in place of `good`."""
        if self.kind in STATUSES:
            status, type_, code = STATUSES[self.kind]
            return self._error(status, error_body(type_, f"scripted: {self.kind}", code))
        if self.kind in WIRES:
            return WIRES[self.kind](self, Reply.of(200, good).encode())
        if self.kind in MESSAGES:
            return Reply.of(200, MESSAGES[self.kind](good))
        content_type, shorten = TEXTS[self.kind]
        return Reply(200, shorten(json.dumps(good)), content_type=content_type)

    def _error(self, status: int, body: Message) -> Reply:
        headers = {} if self.retry_after is None else {"retry-after": self.retry_after}
        return Reply.of(status, body, headers)


class Script:
    """Failures that the next requests get, in order."""

    def __init__(self) -> None:
        self._next: deque[Fault] = deque()

    def add(self, kind: str, times: int = 1, **options: Any) -> None:
        """Let the next `times` requests fail like this."""
        self._next.extend([Fault(kind, **options)] * times)

    def clear(self) -> None:
        """Let every request succeed again."""
        self._next.clear()

    def take(self) -> Fault | None:
        """The failure of this request, if there is one."""
        return self._next.popleft() if self._next else None


def error_body(type_: str, message: str, code: str | None = None) -> Message:
    """An error as the Messages API words it."""
    details = {"details": {"error_code": code}} if code else {}
    return {"type": "error", "error": {"type": type_, "message": message, **details}}


STATUSES = {
    "bad_request": (400, "invalid_request_error", None),
    "unauthorized": (401, "authentication_error", None),
    "forbidden": (403, "permission_error", None),
    "not_found": (404, "not_found_error", None),
    "too_large": (413, "request_too_large", None),
    "rate_limit": (429, "rate_limit_error", None),
    "spend_limit": (429, "rate_limit_error", "enforced_spend_limit_reached"),
    "server_error": (500, "api_error", None),
    "unavailable": (503, "api_error", None),
    "gateway_timeout": (504, "timeout_error", None),
    "overloaded": (529, "overloaded_error", None),
}


def _hang(fault: Fault, _: bytes) -> Wire:
    async def wire(writer: asyncio.StreamWriter) -> None:
        del writer
        await asyncio.sleep(fault.seconds)

    return wire


def _drip(_: Fault, good: bytes) -> Wire:
    async def wire(writer: asyncio.StreamWriter) -> None:
        for byte in good:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    return wire


def _cut(share: float) -> Callable[[Fault, bytes], Wire]:
    def make(_: Fault, good: bytes) -> Wire:
        async def wire(writer: asyncio.StreamWriter) -> None:
            writer.write(good[: int(len(good) * share)])
            await writer.drain()
            writer.transport.abort() if share == 0 else writer.close()

        return wire

    return make


WIRES: dict[str, Callable[[Fault, bytes], Wire]] = {
    "hang": _hang,
    "drip": _drip,
    "cut": _cut(0.0),
    "cut_mid_body": _cut(0.8),
}


def _with(**changes: Any) -> Callable[[Message], Message]:
    return lambda good: {**good, **changes}


def _block(**changes: Any) -> Callable[[Message], Message]:
    return lambda good: {**good, "content": [{**good["content"][-1], **changes}]}


MESSAGES: dict[str, Callable[[Message], Message]] = {
    "wrong_shape": lambda _: {"completion": "Hello", "stop": "stop_sequence"},
    "wrong_types": _with(content={"type": "text"}, usage="many"),
    "empty_content": _with(content=[]),
    "max_tokens": _with(stop_reason="max_tokens"),
    "refusal": _with(content=[], stop_reason="refusal"),
    "wrong_value": _block(text='{"category": "astrology", "urgent": false}'),
    "half_value": _block(text='{"category": "ca'),
    "unknown_tool": _block(name="rm_rf"),
    "text_arguments": _block(input='{"category": "car'),
    "wrong_arguments": _block(input={"category": "astrology"}),
    "no_type": _block(type=None),
    "duplicate_tool_ids": lambda good: {**good, "content": [good["content"][-1]] * 2},
}

TEXTS: dict[str, tuple[str, Callable[[str], str]]] = {
    "html": ("text/html", lambda _: "<html><body><h1>502 Bad Gateway</h1></body></html>"),
    "html_as_json": ("application/json", lambda _: "<html><body>Sign in</body></html>"),
    "truncated_json": ("application/json", lambda good: good[: len(good) // 2]),
}

"""HTTP calls for steps: every call that changes something carries the step's idempotency key.

`call` is for use inside a step of your own; `http_request` is a ready-made step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, NoReturn, TypeVar

import httpx2
from pydantic import BaseModel, JsonValue, ValidationError

from saga import Permanent, Unknown, step
from saga.tasks.failures import (
    BadAnswer,
    CallFailed,
    from_status,
    problems,
    shorten,
)
from saga.tasks.keys import own_key
from saga.tasks.loops import PerLoop

Typed = TypeVar("Typed", bound=BaseModel)

READS = frozenset({"GET", "HEAD", "OPTIONS"})
LARGEST_ANSWER = 8 << 20
LIMITS = httpx2.Limits(max_keepalive_connections=64, max_connections=256)
NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)

_clients = PerLoop(lambda: httpx2.AsyncClient(limits=LIMITS))


class HttpAnswer(BaseModel):
    """An answer that counts as success, or one of the statuses the caller said it expects."""

    method: str
    status: int
    headers: dict[str, str]
    body: str

    def read_as(self, type_: type[Typed]) -> Typed:
        """The body, JSON, as a `type_`.

        For HTML, half a document or another shape: `BadAnswer` after a read, else `Unknown`, since
        whoever answered like that may have passed the request on.
        """
        try:
            return type_.model_validate_json(self.body)
        except ValidationError as error:
            kind = self.headers.get("content-type", "no content type")
            text = (
                f"the answer ({self.status}, {kind}) is no {type_.__name__}:"
                f" {problems(error)}: {shorten(self.body, 80)}"
            )
            raise (BadAnswer(text) if self.method in READS else Unknown(text)) from error


async def call(
    method: str,
    url: str,
    *,
    json: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    within: float = 30.0,
    expect: Collection[int] = (),
    key: str | None = None,
) -> HttpAnswer:
    """Make one HTTP call and say exactly how it ended.

    Args:
        method: `GET`, `POST`, …
        url: Where to; redirects are not followed.
        json: Sent as the body.
        headers: Sent besides `Idempotency-Key`.
        within: Seconds for the whole call, however slowly the answer drips in.
        expect: Statuses from 300 on that are an answer and no error, such as a probe's 404.
        key: The idempotency key; by default that of the running step, outside of one a new one.

    Raises:
        CallFailed: It was not carried out (connection refused, 429, 503, …): retry.
        Permanent: It was refused for good (400, 401, 403, 404, 413, …).
        Unknown: It was sent and nobody knows what became of it (timeout, connection cut, 500).
    """
    method = method.upper()
    safe = method in READS
    sent = {**(headers or {}), **({} if safe else {"Idempotency-Key": key or own_key()})}
    where = f"{method} {httpx2.URL(url).host}{httpx2.URL(url).path}"
    client = await _clients.get()
    try:
        async with asyncio.timeout(within):
            request = client.build_request(method, url, json=json, headers=sent, timeout=within)
            answer = await _exchange(client, request)
    except TimeoutError as error:
        text = f"{where}: no whole answer within {within:g} s"
        raise (CallFailed(text) if safe else Unknown(text)) from error
    except httpx2.RequestError as error:
        _raise(error, where, safe=safe)
    if answer.status >= 300 and answer.status not in expect:
        raise from_status(where, answer.status, answer.body, answer.headers, safe=safe)
    return answer


@step(name="http_request", queue="http", irreversible=True)
async def http_request(
    method: str,
    url: str,
    json: dict[str, JsonValue] | None = None,
    headers: dict[str, str] | None = None,
    within: float = 30.0,
) -> HttpAnswer:
    """Make one HTTP call under this step's idempotency key; see `call`."""
    return await call(method, url, json=json, headers=headers, within=within)


async def _exchange(client: httpx2.AsyncClient, request: httpx2.Request) -> HttpAnswer:
    response = await client.send(request, stream=True)
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > LARGEST_ANSWER:
                raise httpx2.DecodingError(f"it is larger than {LARGEST_ANSWER} bytes")
    finally:
        await response.aclose()
    text = body.decode(response.charset_encoding or "utf-8", "replace")
    headers = {name.lower(): value for name, value in response.headers.items()}
    status = response.status_code
    return HttpAnswer(method=request.method, status=status, headers=headers, body=text)


def _raise(error: httpx2.RequestError, where: str, *, safe: bool) -> NoReturn:
    reason = f"{where}: {type(error).__name__}: {shorten(str(error)) or 'no reason given'}"
    if isinstance(error, (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError)):
        raise Permanent(reason) from error
    if safe or isinstance(error, NOT_SENT):
        raise CallFailed(reason) from error
    raise Unknown(reason) from error

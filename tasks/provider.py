"""The connection to the model provider: the Anthropic SDK, without retries of its own.

Which endpoint and which credentials is the SDK's own business (`ANTHROPIC_API_KEY`,
`ANTHROPIC_BASE_URL`, …); this module owns the client's life and the meaning of its errors.
"""

from __future__ import annotations

import anthropic
import httpx2
from anthropic import AsyncAnthropic

from saga import Permanent, Unknown
from saga.tasks.failures import CallFailed, from_status, retry_after, shorten
from saga.tasks.loops import PerLoop

NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
SPENT = "enforced_spend_limit_reached"

_clients = PerLoop(lambda: AsyncAnthropic(max_retries=0))


async def client() -> AsyncAnthropic:
    """The running loop's client; `Permanent` when it cannot be set up."""
    try:
        return await _clients.get()
    except anthropic.AnthropicError as error:
        raise Permanent(f"the model client cannot be set up: {shorten(str(error))}") from error


def meaning(error: anthropic.AnthropicError) -> Exception:
    """What an error of the SDK means for the step: `CallFailed`, `Permanent` or `Unknown`."""
    if isinstance(error, anthropic.APIStatusError):
        return _of_status(error)
    if isinstance(error, anthropic.APIConnectionError):
        cause = error.__cause__
        reason = f"model: {type(cause or error).__name__}: {shorten(str(cause or error))}"
        return CallFailed(reason) if isinstance(cause, NOT_SENT) else Unknown(reason)
    return Permanent(f"model: {type(error).__name__}: {shorten(str(error))}")


def _of_status(error: anthropic.APIStatusError) -> Exception:
    message = error.api_message or error.type or ""
    if error.error_code == SPENT:
        # The one 429 that no waiting within this month gets past.
        return Permanent(f"model: the spend limit is reached: {shorten(message)}")
    wait = retry_after(error.response.headers.get("retry-after"))
    return from_status("model", error.status_code, message, wait, safe=True)

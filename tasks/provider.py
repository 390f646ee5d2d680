"""The connection to the model provider: the Anthropic SDK, without retries of its own.

Which endpoint and which credentials is the SDK's own business (`ANTHROPIC_API_KEY`,
`ANTHROPIC_BASE_URL`, …); this module owns the client's life and the meaning of its errors.
"""

from __future__ import annotations

import re

import anthropic
import httpx2
from anthropic import AsyncAnthropic

from saga import Permanent, Unknown
from saga.tasks.failures import CallFailed, SpendLimit, from_status, shorten
from saga.tasks.loops import PerLoop

NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)
PACED = "ramp_limit_exceeded"
"""Usage grows faster than it may: the one limit that waiting gets past."""

SPENT = frozenset(
    {
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "linked_organization_spend_limit_reached",
        "linked_organization_billing_unavailable",
    }
)
# A limit that the customer has set is answered like a wrong request, and has no code.
_OWN_LIMIT = re.compile(r"\b(usage|spend(ing)?) limits?\b", re.IGNORECASE)

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
    """What its code says goes before `x-should-retry`, and that before the status."""
    message, headers = error.api_message or error.type or "", error.response.headers
    if _is_spent(error, message):
        text = f"model answered {error.status_code}: the spend limit is reached: {message}"
        return SpendLimit(shorten(text, 300))
    if error.error_code == PACED:
        headers = {**headers, "x-should-retry": "true"}
    return from_status("model", error.status_code, message, headers, safe=True)


def _is_spent(error: anthropic.APIStatusError, message: str) -> bool:
    if error.error_code is not None:
        return error.error_code in SPENT
    status, type_ = error.status_code, error.type
    if status == 402 or type_ == "billing_error":
        return True
    return status == 400 and bool(_OWN_LIMIT.search(message))

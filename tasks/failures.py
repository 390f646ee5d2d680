"""What a failed call means for the step that made it.

A call that was refused before it did anything is retried (`CallFailed`) or not (`Permanent`). One
that may have had its effect is `Unknown`: then the engine asks the step's probe, or repeats the
call under the same idempotency key.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import timedelta
from email.utils import mktime_tz, parsedate_tz

from pydantic import ValidationError

from saga import Permanent, Retry, SagaError, Unknown

LONGEST_WAIT = 900.0
"""Seconds that a `Retry-After` can ask for at most; a larger or absurd value counts as this."""

MODEL_RETRY = Retry(max_attempts=10, first=timedelta(seconds=1), maximum=timedelta(minutes=2))
"""For steps that call a model: patient enough for an overload of some minutes."""

TRY_AGAIN = frozenset({408, 409, 425, 429, 503, 529})
"""Statuses that say the request was not carried out and may be sent again."""


class CallFailed(SagaError):
    """A call that had no effect and may succeed when it is made again.

    `retry_after` is the wait in seconds that the other side asked for; without one the step's
    retry policy decides.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        if retry_after is not None:
            self.retry_after = retry_after


class BadAnswer(CallFailed):
    """The answer arrived and is not what was asked for; asking again may give a better one."""


class Refused(Permanent):
    """The model refuses to answer. Another model may not: `StepFailed.type` is this name."""


class CutOff(Permanent):
    """The answer ended at `max_tokens` or at the end of the model's context."""


class SpendLimit(Permanent):
    """Nothing is left to pay with, or a limit of one's own is reached: no waiting helps, a person
    does. `saga list --error SpendLimit` finds those that a `saga retry` then takes on.
    """


def from_status(
    service: str, status: int, message: str, headers: Mapping[str, str], *, safe: bool
) -> Exception:
    """The exception for an answer that is an error; the names of its headers are in lower case.

    `safe`: the call has no effect worth protecting (a read, a model call), so that a server error
    in the middle of it can simply be retried, and `x-should-retry` goes before the status.
    """
    text = f"{service} answered {status}: {shorten(message) or 'no reason given'}"
    said = headers.get("x-should-retry") if safe else None
    again = said == "true" or status in TRY_AGAIN or (safe and status >= 500)
    if again and said != "false":
        return CallFailed(text, wait_of(headers))
    return Unknown(text) if status >= 500 and not safe else Permanent(text)


def wait_of(headers: Mapping[str, str]) -> float | None:
    """The seconds that an answer asks to wait: `retry-after-ms`, which is finer, else
    `retry-after`. The names are in lower case.
    """
    try:
        seconds = float(headers.get("retry-after-ms", "")) / 1000
    except ValueError:
        return retry_after(headers.get("retry-after"))
    return _limited(seconds)


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """The seconds that a `Retry-After` header asks for: a number or an HTTP date.

    None when there is no header or nobody can read it. Never negative, never above
    `LONGEST_WAIT`; `now` is the time that a date is compared with (epoch seconds).
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        parsed = parsedate_tz(value)
        if parsed is None:
            return None
        try:
            seconds = mktime_tz(parsed) - (time.time() if now is None else now)
        except (OverflowError, ValueError):
            return LONGEST_WAIT
    return _limited(seconds)


def _limited(seconds: float) -> float | None:
    return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_WAIT)


def shorten(text: str, limit: int = 200) -> str:
    """One printable line of at most `limit` characters: errors end up in logs and terminals."""
    printable = (letter if letter.isprintable() else " " for letter in text[: 4 * limit])
    line = " ".join("".join(printable).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def problems(error: ValidationError) -> str:
    """What does not fit and where, never the values themselves."""
    found = [
        f"{'.'.join(map(str, item['loc'])) or 'all of it'}: {item['msg']}"
        for item in error.errors()
    ]
    return shorten("; ".join(found[:3]))

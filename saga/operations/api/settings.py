"""What an API server needs to know."""

import os
from dataclasses import dataclass, field, fields
from typing import Any

from saga.core.codec import LIMITS
from saga.errors import InvalidInput

AROUND = 64 * 1024  # bytes that a body may have besides the largest JSON that is stored


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The limits hold for one server process.

    `timeout` seconds: later the answer is 503. `rate` requests a second and `burst` at once, for
    each token, and a tenth of it for each address that shows no valid one. `streams`: how many may
    follow sagas at once. `waiting`: how many requests may be on their way.
    """

    database_url: str = field(repr=False)
    broker_url: str | None = field(default=None, repr=False)
    timeout: float = 10.0
    rate: float = 100.0
    burst: float = 200.0
    streams: int = 200
    waiting: int = 500

    @property
    def largest_body(self) -> int:
        """Bytes."""
        return LIMITS.size + AROUND

    @classmethod
    def from_environment(cls, database_url: str, broker_url: str | None) -> "ApiSettings":
        """SAGA_API_TIMEOUT, SAGA_API_RATE and so on; raises InvalidInput."""
        given: dict[str, Any] = {}
        for one in fields(cls)[2:]:
            name = f"SAGA_API_{one.name.upper()}"
            text = os.environ.get(name)
            if text:
                given[one.name] = _positive(text, name, whole=isinstance(one.default, int))
        return cls(database_url, broker_url, **given)


def _positive(text: str, name: str, *, whole: bool) -> float:
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise InvalidInput(f"{name}: want a number above zero, not {text[:40]!r}")
    return number

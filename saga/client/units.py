"""Durations, moments and lists as people read them."""

from collections.abc import Iterable
from datetime import UTC, datetime


def duration(seconds: float) -> str:
    """A length of time in two units at most: `2.5 ms`, `12 s`, `3 min 20 s`, `2 d 4 h`."""
    if seconds < 1:
        milliseconds = max(seconds, 0) * 1000
        return f"{milliseconds:.1f} ms" if 0 < milliseconds < 10 else f"{milliseconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    for big, small, name, lesser in (
        (86400, 3600, "d", "h"),
        (3600, 60, "h", "min"),
        (60, 1, "min", "s"),
    ):
        if whole >= big:
            rest = whole % big // small
            return f"{whole // big} {name} {rest} {lesser}" if rest else f"{whole // big} {name}"
    return f"{whole} s"


def between(start: datetime, end: datetime) -> str:
    """The time from one to the other."""
    return duration((end - start).total_seconds())


def clock(moment: datetime) -> str:
    """A moment to the second, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def counted(number: int, what: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def either(parts: Iterable[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *first, last = list(parts) or [""]
    return f"{', '.join(first)} or {last}" if first else last


def listed(parts: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = list(parts) or [""]
    return f"{', '.join(first)} and {last}" if first else last

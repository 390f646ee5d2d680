"""Moments as people write them: how long ago, or when."""

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_since(text: str) -> datetime | timedelta:
    """`90s`, `30m`, `2h`, `1d`, `1w`, or an ISO date or time (UTC unless it says otherwise).

    Raises ValueError, which says what would be right, and not what was given.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip())
    try:
        if found:
            return timedelta(seconds=float(found[1]) * _UNITS[found[2]])
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise ValueError(
            "want a duration like 30m, 2h or 1d, or a time like 2026-01-31T12:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

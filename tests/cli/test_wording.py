"""Times as people write and read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from saga.client.units import counted, duration, listed
from saga.core.moments import parse_since


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0 ms"),
        (0, "0 ms"),
        (0.0026, "2.6 ms"),
        (0.25, "250 ms"),
        (1.234, "1.2 s"),
        (59, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7260, "2 h 1 min"),
        (86400 * 3, "3 d"),
        (86400 * 2 + 3600 * 4 + 59, "2 d 4 h"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("1.5h", timedelta(minutes=90)),
        (" 1d ", timedelta(days=1)),
        ("2 w", timedelta(weeks=2)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        (
            "2026-01-31T12:00+02:00",
            datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))),
        ),
    ],
)
def test_since(text: str, since: datetime | timedelta) -> None:
    assert parse_since(text) == since


@pytest.mark.parametrize("text", ["", "yesterday", "1", "d", "-1d", "1y", "9" * 30 + "w", "1d\n2d"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="duration like 30m"):
        parse_since(text)


def test_lists() -> None:
    assert [listed(""), listed("a"), listed("ab"), listed("abc")] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
    assert [counted(1, "step"), counted(2, "step")] == ["1 step", "2 steps"]

import pytest

from saga import Permanent, Unknown
from saga.tasks.failures import (
    LONGEST_WAIT,
    BadAnswer,
    CallFailed,
    from_status,
    retry_after,
    shorten,
)

NOON = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("0", 0.0),
        ("7", 7.0),
        ("0.25", 0.25),
        ("-3", 0.0),
        ("inf", LONGEST_WAIT),
        ("1e400", LONGEST_WAIT),
        ("99999999999", LONGEST_WAIT),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:50 +0000", 30.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT),
        ("Tue, 14 Nov 99999999999 22:13:50 GMT", LONGEST_WAIT),
    ],
)
def test_retry_after_is_read_and_capped(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, now=NOON) == seconds


@pytest.mark.parametrize(
    ("status", "safe", "kind"),
    [
        (400, False, Permanent),
        (401, True, Permanent),
        (403, True, Permanent),
        (404, False, Permanent),
        (413, True, Permanent),
        (302, False, Permanent),
        (408, False, CallFailed),
        (409, False, CallFailed),
        (429, False, CallFailed),
        (503, False, CallFailed),
        (529, True, CallFailed),
        (500, True, CallFailed),
        (504, True, CallFailed),
        (500, False, Unknown),
        (502, False, Unknown),
        (504, False, Unknown),
    ],
)
def test_a_status_says_what_became_of_the_call(
    status: int, safe: bool, kind: type[Exception]
) -> None:
    error = from_status("desk", status, "why", {}, safe=safe)
    assert type(error) is kind
    assert str(status) in str(error)


def test_the_wait_is_on_the_exception_only_if_there_is_one() -> None:
    waiting = from_status("desk", 429, "", {"retry-after": "3"}, safe=False)
    assert isinstance(waiting, CallFailed)
    assert waiting.retry_after == 3.0
    assert not hasattr(from_status("desk", 429, "", {}, safe=False), "retry_after")
    assert issubclass(BadAnswer, CallFailed)


def test_error_texts_are_one_printable_line() -> None:
    assert shorten("a\r\nb\x1b[31mc\u202ed\0e") == "a b [31mc d e"
    assert len(shorten("x" * 1000)) == 200

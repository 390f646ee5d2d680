"""Where the user's code raised, and the text of it."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from saga.core import failures, tracebacks
from saga.core.tracebacks import MOST, place_of, text_of
from saga.errors import Permanent, StepFailed


def parse(given: dict[str, Any]) -> Any:
    return given["customer"]["id"]


def charge() -> None:
    try:
        parse({})
    except KeyError as error:
        raise ValueError("no customer") from error


def raised_by(function: Callable[..., Any], *args: Any) -> Exception:
    try:
        function(*args)
    except Exception as error:
        return error
    raise AssertionError("it raised nothing")


def test_the_innermost_line_of_the_users_code() -> None:
    line = parse.__code__.co_firstlineno + 1
    assert place_of(raised_by(parse, {})) == f"test_tracebacks.py:{line} in parse"


def test_a_library_is_not_the_users() -> None:
    def read(text: str) -> Any:
        return json.loads(text)

    assert str(place_of(raised_by(read, "{"))).endswith(" in read")


def test_what_was_never_raised_has_no_place() -> None:
    assert place_of(ValueError("x")) is None
    assert failures.traceback_of(ValueError("x")) is None


def test_causes_stand_before_what_they_led_to() -> None:
    text = text_of(raised_by(charge))
    words = ("in parse", "KeyError: 'customer'", "direct cause", "ValueError: no customer")
    places = [text.index(word) for word in words]
    assert places == sorted(places)
    assert 'return given["customer"]["id"]' in text


def test_the_engines_frames_are_left_out() -> None:
    async def body() -> None:
        await asyncio.sleep(0)
        parse({})

    text = text_of(raised_by(asyncio.run, body()))
    assert "in body" in text
    assert "asyncio" not in text


def test_each_of_a_group() -> None:
    group = ExceptionGroup("two", [raised_by(charge), raised_by(parse, {})])
    text = text_of(group)
    assert text.count("in parse") == 2
    assert "KeyError" in text
    assert "ValueError" in text


@pytest.mark.parametrize("message", ["x" * 100_000, "\N{SNOWMAN}" * 100_000, "a\n" * 50_000])
def test_it_is_cut_and_tells_where_it_ends(message: str) -> None:
    def fail() -> None:
        raise ValueError(message) from raised_by(parse, {})

    text = text_of(raised_by(fail))
    assert len(text.encode()) <= MOST
    assert "in parse" in text
    assert "bytes are left out" in text


def test_depth_is_told_from_where_it_ends() -> None:
    def deep(depth: int) -> None:
        if depth:
            deep(depth - 1)
        parse({})

    text = text_of(raised_by(deep, 500))
    assert len(text.encode()) <= MOST
    assert "in parse" in text


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_what_cannot_be_shown_or_stored() -> None:
    def fail(error: Exception) -> None:
        raise error

    assert "Mute" in text_of(raised_by(fail, Mute()))
    assert "\0" not in text_of(raised_by(fail, ValueError("a\0\ud800b")))


def test_the_error_says_the_line() -> None:
    error = json.loads(failures.describe(raised_by(parse, {})))
    assert (error["type"], error["at"]) == ("KeyError", place_of(raised_by(parse, {})))


def test_a_steps_failure_says_the_steps_line() -> None:
    def fail() -> None:
        raise StepFailed("pay", "Declined", "no", {"at": "pay.py:3 in pay"}, 2)

    error = json.loads(failures.verdict(raised_by(fail)))
    assert (error["at"], error["step"], error["name"]) == ("pay.py:3 in pay", 2, "pay")


def test_private_errors_tell_types_and_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: Exception) -> None:
        raise error

    errors = [raised_by(fail, made("c4n4ry")) for made in (ValueError, Permanent)]
    errors.append(ExceptionGroup("c4n4ry", errors[:2]))
    monkeypatch.setattr(failures, "_is_private", False)
    failures.keep_private(True)
    for error in errors:
        told = failures.describe(error) + failures.brief(error) + str(failures.traceback_of(error))
        assert "c4n4ry" not in told
        assert type(error).__name__ in told
        assert "test_tracebacks.py" in told
    failures.keep_private(False)
    assert "c4n4ry" in failures.describe(errors[0])


def test_a_running_frame() -> None:
    import sys

    assert str(tracebacks.place_in(sys._getframe())).endswith(" in test_a_running_frame")  # pyright: ignore[reportPrivateUsage]
    assert tracebacks.place_in(None) is None

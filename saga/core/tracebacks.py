"""Where the user's code raised an exception, and the whole of it as text."""

from __future__ import annotations

import asyncio
import re
import sysconfig
import traceback
from pathlib import Path
from types import CodeType, FrameType, TracebackType

MOST = 16 * 1024
"""Bytes that are kept of a traceback: its beginning, and as much again and more of its end."""

_DEEPEST = 100  # frames
_PACKAGE = str(Path(__file__).parents[1])
_OURS = tuple(f"{_PACKAGE}/{room}/" for room in ("core", "engine", "execution", "storage"))
_MACHINERY = (*_OURS, f"{Path(asyncio.__file__).parent}/", "<frozen")
_LIBRARIES = (*_MACHINERY, sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def place_of(exc: BaseException) -> str | None:
    """The innermost line of the user's own code that an exception has come through, as
    `shop.py:31 in charge`; of libraries if it came through nothing else.
    """
    steps = list(_walk(exc.__traceback__))
    for others in (_LIBRARIES, _MACHINERY):
        for code, line in reversed(steps):
            if not code.co_filename.startswith(others):
                return _place(code, line)
    return None


def place_in(frame: FrameType | None) -> str | None:
    """The innermost line of the user's code in a frame that runs."""
    while frame is not None and frame.f_code.co_filename.startswith(_MACHINERY):
        frame = frame.f_back
    return None if frame is None else _place(frame.f_code, frame.f_lineno)


def text_of(exc: BaseException) -> str:
    """The traceback with its causes and without the engine's frames, at most 16 KiB of UTF-8."""
    try:
        told = traceback.TracebackException.from_exception(
            exc, limit=-_DEEPEST, lookup_lines=False, compact=True
        )
        _leave_out_machinery(told)
        text = "".join(told.format())
    except Exception as error:  # of the user's: a `__str__`, a source that cannot be read
        text = f"{type(exc).__name__} (its traceback cannot be shown: {type(error).__name__})"
    return _cut(storable(text))


def storable(text: str) -> str:
    """Without what Postgres does not take in a text."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _walk(at: TracebackType | None) -> list[tuple[CodeType, int]]:
    steps: list[tuple[CodeType, int]] = []
    while at is not None:
        steps.append((at.tb_frame.f_code, at.tb_lineno))
        at = at.tb_next
    return steps


def _place(code: CodeType, line: int) -> str:
    return f"{code.co_filename.rpartition('/')[2]}:{line} in {code.co_name}"


def _leave_out_machinery(told: traceback.TracebackException) -> None:
    rest = [told]
    while rest:
        one = rest.pop()
        one.stack[:] = [f for f in one.stack if not f.filename.startswith(_MACHINERY)]
        for frame in one.stack:
            frame.end_lineno = None  # to find what to underline takes longer than all the rest
        below = (one.__cause__, one.__context__, *(one.exceptions or ()))
        rest += [each for each in below if each is not None]


def _cut(text: str) -> str:
    encoded = text.encode()
    if len(encoded) <= MOST:
        return text
    first, last = encoded[: MOST // 3], encoded[-(MOST * 2 // 3 - 100) :]
    left_out = len(encoded) - len(first) - len(last)
    middle = f"\n[{left_out} bytes are left out]\n"
    return first.decode(errors="ignore") + middle + last.decode(errors="ignore")

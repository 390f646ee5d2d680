"""Real input and output in a saga's code is refused where it is written.

An audit hook sees it. A hook cannot be removed and is called for each audited event of the process,
so there is none before the first saga runs here.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from asyncio import _get_running_loop as running_loop  # pyright: ignore[reportPrivateUsage]
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from saga.errors import NotDeterministic

P = ParamSpec("P")
R = TypeVar("R")

REAL = frozenset(
    (
        *("open", "time.sleep", "builtins.input", "sqlite3.connect", "urllib.Request"),
        *(
            "os.system",
            "os.exec",
            "os.fork",
            "os.forkpty",
            "os.posix_spawn",
            "os.spawn",
            "pty.spawn",
        ),
        *("os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.kill"),
        *("os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.utime"),
        *("subprocess.Popen", "_thread.start_new_thread", "_thread.start_joinable_thread"),
        *("socket.__new__", "socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"),
        *("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"),
        *("socket.getnameinfo", "socket.getservbyname", "socket.gethostname"),
    )
)

# What these do they do for the code itself: load it, show it, log of it, look at it from outside.
_EXEMPT = frozenset(
    (
        *("importlib", "_frozen_importlib", "_frozen_importlib_external", "zipimport", "linecache"),
        *("traceback", "warnings", "logging", "weakref", "pdb", "bdb", "pydevd", "debugpy"),
        *("coverage", "celery", "billiard", "kombu"),
    )
)
_LIBRARIES = tuple({f"{os.path.realpath(p)}{os.sep}" for p in (sys.prefix, sys.base_prefix)})
_OURS = f"{Path(__file__).parents[2]}{os.sep}"
_TIME_ZONES = ("/usr/share/zoneinfo/", "/usr/lib/zoneinfo/", "/usr/share/lib/zoneinfo/")
_START = "_start_new_thread"
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@functools.cache
def watch() -> None:
    """Watch this process from now on."""
    sys.addaudithook(_hook)
    if sys.version_info < (3, 13):  # there are no events of these
        time.sleep = _watched("time.sleep", time.sleep)
        start: Any = getattr(threading, _START)
        setattr(threading, _START, _watched("_thread.start_new_thread", start))


def place(frame: FrameType | None) -> str:
    """The line of the user's code that a frame belongs to, as `file:line`."""
    for each in _of_the_saga(frame):
        if is_users(each):
            return f"{each.f_code.co_filename}:{each.f_lineno}"
    return "a library"


def _watched(event: str, function: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(function)
    def watched(*args: P.args, **kwargs: P.kwargs) -> R:
        _hook(event, args)
        return function(*args, **kwargs)

    return watched


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event in REAL and hasattr(running_loop(), "python_order"):
        _refuse(event, args, sys._getframe(1))  # pyright: ignore[reportPrivateUsage]


def _refuse(event: str, args: tuple[Any, ...], frame: FrameType) -> None:
    if event == "open" and _is_of_a_library(args[0], args[2]):
        return
    if any(_is_exempt(each) for each in _of_the_saga(frame)):
        return
    told = f"{event}({args[0]!r})" if args and isinstance(args[0], (str, float)) else f"{event}()"
    raise NotDeterministic(
        f"{told} at {place(frame)} is real input or output, and a replay could not repeat it:"
        " put it in a step"
    )


def _is_of_a_library(path: object, flags: object) -> bool:
    """Data that belongs to installed code, or a time zone."""
    if not isinstance(path, str) or not isinstance(flags, int) or flags & _WRITES:
        return False
    return os.path.realpath(path).startswith((*_LIBRARIES, *_TIME_ZONES))


def _of_the_saga(frame: FrameType | None) -> Iterator[FrameType]:
    """From a frame outwards to the loop."""
    while frame is not None and frame.f_globals.get("__name__") != "saga.core.loop.loop":
        yield frame
        frame = frame.f_back


def _is_exempt(frame: FrameType) -> bool:
    """Of a module that is, or of what the garbage collector clears away in between."""
    module = str(frame.f_globals.get("__name__")).partition(".")[0]
    return module in _EXEMPT or frame.f_code.co_name == "__del__"


def is_users(frame: FrameType) -> bool:
    """Whether it runs the user's own code: neither ours nor a library's."""
    file = frame.f_code.co_filename
    return not file.startswith(("<frozen", _OURS)) and not os.path.realpath(file).startswith(
        _LIBRARIES
    )

"""Real input and output in a saga is refused at the line where it is written."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request
import warnings
import zoneinfo
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from saga.core.declare.decorators import saga, step
from saga.core.loop.scopes import scope
from tests.core.world import World

HERE = Path(__file__)


def _spawn() -> None:
    os.posix_spawn("/bin/true", ["true"], {})


REAL: dict[str, Callable[[], Any]] = {
    "open": lambda: open(HERE),  # noqa: SIM115, PTH123
    "open to write": lambda: Path(sys.prefix, "new").write_text("x"),
    "os.open": lambda: os.open(HERE, os.O_RDONLY),
    "pathlib": HERE.read_text,
    "time.sleep": lambda: time.sleep(0.001),
    "os.system": lambda: os.system("true"),  # pyright: ignore[reportDeprecated]
    "subprocess.Popen": lambda: subprocess.run(["true"], check=True),
    "os.posix_spawn": _spawn,
    "os.fork": os.fork,
    "socket.__new__": socket.socket,
    "socket.getaddrinfo": lambda: socket.getaddrinfo("localhost", 80),
    "socket.gethostbyname": lambda: socket.gethostbyname("localhost"),
    "socket.gethostname": socket.gethostname,
    "urllib.Request": lambda: urllib.request.urlopen("http://localhost:1/"),
    "a thread": lambda: threading.Thread(target=print).start(),
    "os.scandir": lambda: list(os.scandir("/")),
    "os.listdir": lambda: os.listdir("/"),  # noqa: PTH208
    "tempfile": tempfile.mkdtemp,
    "os.mkdir": lambda: os.mkdir("/tmp/new"),  # noqa: PTH102
    "input": input,
}


@pytest.mark.parametrize("name", REAL)
def test_it_is_refused_where_it_is_written(name: str) -> None:
    @saga
    async def body() -> None:
        REAL[name]()

    line = body.function.__code__.co_firstlineno + 2
    with World(body) as world:
        assert world.error["type"] == "NotDeterministic"
        assert world.error["message"].endswith("put it in a step")
        place = f"{HERE}:{line} " if REAL[name].__module__ != __name__ else f"{HERE}:"
        assert place in world.error["message"], world.error["message"]


def test_in_a_task_a_clean_up_and_after_an_event() -> None:
    @step
    def work() -> None: ...

    seen: list[str] = []

    @saga
    async def body() -> None:
        async def inner() -> None:
            try:
                await work()
            finally:
                try:
                    HERE.read_text()  # noqa: ASYNC240
                except Exception as exc:
                    seen.append(type(exc).__name__)

        async with scope():
            await asyncio.gather(inner(), inner())

    with World(body) as world:
        world.succeed(1)
    assert seen == ["NotDeterministic"] * 2


def test_what_the_code_itself_needs_is_let_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lazily_imported.py").write_text(
        f"with open({str(HERE)!r}) as file: TEXT = file.read()\n"
    )
    handler = logging.FileHandler(tmp_path / "log", delay=True)
    logger = logging.getLogger("tests.core.test_audit")
    logger.addHandler(handler)

    class Bin:
        def __del__(self) -> None:
            cleared.append(HERE.read_text()[:1])

    cleared: list[str] = []
    zoneinfo.ZoneInfo.clear_cache()

    @saga
    async def body() -> str:
        importlib.import_module("lazily_imported")

        logger.warning("from a saga")
        zone = zoneinfo.ZoneInfo("Europe/Berlin")
        try:
            raise ValueError("no")
        except ValueError:
            traceback.print_exc()
        with pytest.warns(UserWarning, match="shown"):
            warnings.warn("shown", stacklevel=1)
        Bin()
        return str(datetime(2024, 1, 1, tzinfo=UTC).astimezone(zone))

    sys.path.insert(0, str(tmp_path))
    try:
        with World(body) as world:
            assert world.result == "2024-01-01 01:00:00+01:00"
    finally:
        sys.path.remove(str(tmp_path))
        logger.removeHandler(handler)
        handler.close()
    assert (tmp_path / "log").read_text() == "from a saga\n"
    assert 'raise ValueError("no")' in capsys.readouterr().err
    assert cleared == ['"']


def test_outside_a_saga_and_in_other_threads_all_is_allowed() -> None:
    done: list[str] = []
    go, went = threading.Event(), threading.Event()

    def elsewhere() -> None:
        go.wait()
        done.append(HERE.read_text()[:1])
        went.set()

    @saga
    async def body() -> None:
        go.set()
        assert went.wait(30)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    with World(body) as world:
        assert world.result is None
    thread.join()
    assert done == ['"']
    assert HERE.read_text()


def test_importing_the_package_watches_nothing() -> None:
    code = (
        "import sys, time; seen = []; add = sys.addaudithook; sys.addaudithook = seen.append\n"
        "import asyncio, saga, saga.core.replay\n"
        "before = asyncio.wait_for.__code__.co_filename\n"
        "assert not seen and 'asyncio' in before, (seen, before)\n"
        "from tests.core import test_outside\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HERE.parents[2])

"""The plugin comes with the package, and costs a run of pytest nothing that does not ask for it."""

import subprocess
import sys
from pathlib import Path

import pytest

SHOP = """
from saga import saga, step

@step
def reserve(item: str) -> str:
    return f"one {item}"

@reserve.compensation
def release(reservation: str | None, item: str) -> None: ...

@saga
async def order(item: str) -> str:
    return await reserve(item)
"""
TWO_LINES = """
from shop import order

def test_order(world):
    for crash in world.crashes(order("lamp")):
        assert crash.status == "completed"
"""
REAL = """
from shop import order

def test_for_real(saga_stack):
    handle = saga_stack.client.start(order, "lamp")
    assert handle.result(timeout=60) == "one lamp"
"""
OTHERS = """
import sys

def test_nothing_of_ours_is_loaded():
    ours = [name for name in sys.modules if name.split(".")[0] in ("saga", "pydantic", "psycopg")]
    assert sorted(ours) == ["saga", "saga.testing", "saga.testing.plugin"]
"""


def run(folder: Path, *options: str) -> str:
    """Pytest in a folder of a user's."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\npythonpath = .\nsaga_app = shop\nfilterwarnings = error\n"
    )
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


def test_two_lines(folder: Path) -> None:
    (folder / "test_order.py").write_text(TWO_LINES)
    assert "1 passed" in run(folder)


def test_it_is_not_in_the_way(folder: Path) -> None:
    (folder / "test_others.py").write_text(OTHERS)
    others = ("hypothesispytest", "anyio", "langsmith_plugin")
    assert "1 passed" in run(folder, *(word for name in others for word in ("-p", f"no:{name}")))


@pytest.mark.slow
def test_the_real_thing(folder: Path) -> None:
    (folder / "test_real.py").write_text(REAL)
    assert "1 passed" in run(folder)

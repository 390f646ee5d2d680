"""`saga check` reads code and runs none of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from saga import InvalidInput
from saga.operations.check import check

STEPS = """\
from saga import step

@step
def charge(cents: int) -> None: ...

@step(pivot=True)
def ship() -> None: ...

@step
def reserve() -> None: ...

@reserve.compensation
def release(reservation: object) -> None: ...

@step(read_only=True)
def look() -> None: ...

tell = step(print, name="tell", compensation=print)
"""
SAGAS = """\
import asyncio
import datetime as dt
import random
import time
import uuid
from datetime import datetime
from uuid import uuid4

import nowhere
import requests
from saga import approval, now, saga, signal
from saga import random as chance
from shop.steps import charge, look, reserve, ship, tell

def number() -> str:
    return str(uuid4())  # chance

def never_called() -> str:
    return str(uuid4())

@saga
async def order(item: str, at: object = datetime.now) -> None:
    fine = now(), chance().random(), chance().choice([1]), random.Random(3)
    began = datetime.now()  # clock
    also = dt.datetime.utcnow(), dt.date.today()  # clock clock
    ticks = time.monotonic()  # clock
    drawn = random.random()  # chance
    time.sleep(1)  # io
    with open("file") as file:  # io
        pass
    requests.get("https://example.com")  # io
    await asyncio.to_thread(number)  # io
    number()
    uuid.uuid1()  # saga: ignore
    look()  # await
    lost = reserve()  # await
    asyncio.sleep(3)  # await
    approval("big")  # await
    await signal("paid")
    kept = reserve()
    await asyncio.gather(kept, charge(3))  # pivot
    await look()
    await tell()

    async def inner() -> None:
        nowhere.at_all()
        time.time()  # clock

    await inner()
    await ship()
    await charge(4)

async def no_saga() -> None:
    datetime.now()
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise SystemExit('imported')\n")
    (folder / "steps.py").write_text(STEPS)
    (folder / "sagas.py").write_text(SAGAS)
    monkeypatch.chdir(tmp_path)
    return folder


def test_each_line_that_is_wrong_is_told(shop: Path) -> None:
    wanted = sorted(
        (number, kind)
        for number, line in enumerate(SAGAS.splitlines(), 1)
        for kind in line.partition("# ")[2].split()
        if kind in ("clock", "chance", "io", "await", "pivot")
    )
    found = check(["shop"])
    assert {one.file for one in found} == {"shop/sagas.py"}
    assert sorted((one.line, one.kind) for one in found) == wanted


def test_what_it_says(shop: Path) -> None:
    told = {one.message for one in check(["shop"])}
    assert "datetime.datetime.now() gives another time in a replay: use now()" in told
    assert "uuid.uuid4() gives something else in a replay: use uuid()" in told
    assert "requests.get() is real input or output: put it in a step" in told
    assert "look() is not awaited, so it never happens" in told
    assert any(text.startswith("charge has no compensation and comes before") for text in told)


def test_one_file_knows_only_its_own_steps(shop: Path) -> None:
    kinds = {one.kind for one in check([str(shop / "sagas.py")])}
    assert kinds == {"clock", "chance", "io", "await"}, "of asyncio's and saga's own"


def test_what_is_not_there(shop: Path) -> None:
    with pytest.raises(InvalidInput, match="shopp: there is no such module"):
        check(["shopp"])
    with pytest.raises(InvalidInput, match=r"x\.py: there is no such file"):
        check(["x.py"])
    (shop / "odd.py").write_text("def (:\n")
    with pytest.raises(InvalidInput, match=r"odd\.py: invalid syntax"):
        check(["shop"])


def _run(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "saga.operations.cli", "check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_the_command(shop: Path) -> None:
    code, told = _run("shop")
    first, *_ = told.splitlines()
    assert code == 1
    assert first == (
        "shop/sagas.py:16: chance: uuid.uuid4() gives something else in a replay: use uuid() "
        "(saga order)"
    )
    code, told = _run("--app", "shop", "--json")
    assert code == 1
    assert json.loads(told)["findings"][0] == {
        "file": "shop/sagas.py",
        "line": 16,
        "saga": "order",
        "kind": "chance",
        "message": "uuid.uuid4() gives something else in a replay: use uuid()",
    }
    assert _run("shop.steps") == (0, "nothing found\n")
    assert _run("shop.steps", "--json") == (0, '{"findings": []}\n')
    assert _run("shopp")[0] == 1
    assert _run()[0] == 2

"""mypy and pyright, both strict, agree on users' code: the README's examples, what is inferred, and
what is refused.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.processes import ROOT

REFUSED = """\
from saga import AsyncClient, Client
from saga.testing import World
from inferred import bundle, order, price


async def wrong(client: Client, talking: AsyncClient, world: World) -> None:
    client.start(order, item=3)  # no
    client.start(order)  # no
    client.start(order, "lamp", gfit=True)  # no
    client.start(order, "lamp", key=3)  # no
    client.start("order", "lamp")  # no
    await talking.start(order, item=3)  # no
    await talking.start(order)  # no
    await talking.start(order, "lamp", gfit=True)  # no
    await talking.start(order, "lamp", key=3)  # no
    world.run(order(3))  # no
    world.start(price("lamp")).result().strip()  # no
    await price(3)  # no
    await bundle("3")  # no
    await order("lamp")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Users' code."""
    folder = tmp_path_factory.mktemp("users")
    (folder / "inferred.py").write_text((ROOT / "tests/types/inferred.py").read_text())
    (folder / "refused.py").write_text(REFUSED)
    readme = (ROOT / "README.md").read_text()
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", readme, re.DOTALL)):
        (folder / f"readme_{number}.py").write_text(code)
    return folder


def _refused() -> set[tuple[str, int]]:
    lines = enumerate(REFUSED.splitlines(), 1)
    return {("refused.py", number) for number, line in lines if line.endswith("# no")}


def _run(folder: Path, *command: str) -> str:
    files = sorted(path.name for path in folder.glob("*.py"))
    done = subprocess.run(
        [sys.executable, "-m", *command, *files],
        cwd=folder,
        env={"MYPYPATH": str(ROOT), "PATH": str(Path(sys.executable).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_mypy(folder: Path) -> None:
    told = _run(folder, "mypy", "--strict", "--follow-imports=silent", "--cache-dir=.cache")
    errors = re.findall(r"^([^:]+):(\d+): error: ", told, re.MULTILINE)
    assert {(name, int(line)) for name, line in errors} == _refused(), told


@pytest.mark.slow
def test_pyright(folder: Path) -> None:
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    told = _run(folder, "pyright", "--outputjson", "--pythonpath", sys.executable)
    found = json.loads(told)["generalDiagnostics"]
    errors = [one for one in found if one["severity"] == "error"]
    places = {(Path(e["file"]).name, e["range"]["start"]["line"] + 1) for e in errors}
    assert places == _refused(), errors

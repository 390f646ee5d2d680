"""Layers point one way, and `import saga` stays light."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What a web process that only starts sagas must not pay for.
HEAVY = ["alembic", "celery", "fastapi", "flower", "kombu", "psycopg_pool", "sqlalchemy"]


def test_layers() -> None:
    # In a process of its own: it switches off all loggers that exist where it runs.
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--config", "pyproject.toml", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "use", ["import saga", "from saga import Client", "from saga import saga, step, approval"]
)
def test_import_is_light(use: str) -> None:
    program = f"{use}\nimport sys\nprint(*sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []

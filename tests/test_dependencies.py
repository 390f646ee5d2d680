"""What pyproject.toml asks for is enough: nothing works by the luck of another package's needs."""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
US = "saga-orchestrator"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Imported when a worker starts, not when it is imported.
LATE = [
    "celery.apps.worker",
    "celery.concurrency.prefork",
    "celery.concurrency.solo",
    "celery.concurrency.thread",
    "kombu.transport.redis",
]

PYTESTS_OWN = "saga.testing.plugin."  # whoever loads it has pytest


def closure(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> None:
    """Collect what `pip install name[extras]` installs here."""
    if (name, extras) in seen:
        return
    seen.add((name, extras))
    for line in wanted_by(name, extras):
        needed = Requirement(line)
        environments = [{"extra": extra} for extra in extras or {""}]
        if needed.marker is None or any(map(needed.marker.evaluate, environments)):
            closure(needed.name, frozenset(needed.extras), seen)


def wanted_by(name: str, extras: frozenset[str]) -> list[str]:
    if name != US:
        return distribution(name).requires or []
    # As it is now, not as it was when it was installed.
    lines: list[str] = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return lines


def tops(found: Distribution) -> Iterator[Path]:
    """The files and folders of a distribution beside its siblings."""
    folder = Path(str(found.locate_file("")))
    names = {file.parts[0] for file in found.files or ()}
    yield from (folder / name for name in sorted(names - {"..", "__pycache__"}))


def modules(*left_out: str) -> list[str]:
    names: list[str] = []
    for file in sorted((ROOT / "saga").rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if file.name != "__main__.py" and not f"{name}.".startswith(left_out):
            names.append(name)
    return names


@pytest.mark.parametrize(
    ("extras", "names"),
    [
        (
            "",
            modules(
                "saga.operations.demo.",
                "saga.operations.api.",
                "saga.operations.metrics.",
                "saga.execution.spans.",
                PYTESTS_OWN,
            ),
        ),
        ("demo metrics otel", modules(PYTESTS_OWN)),
    ],
    ids=["core", "demo"],
)
def test_the_dependencies_named_are_enough(tmp_path: Path, extras: str, names: list[str]) -> None:
    seen: set[tuple[str, frozenset[str]]] = set()
    closure(US, frozenset(extras.split()), seen)
    for name in {name for name, _ in seen} - {US}:
        for top in tops(distribution(name)):
            link = tmp_path / top.name
            if not link.exists():
                link.symlink_to(top)
    program = (
        f"import importlib, sys; sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path)!r}]\n"
        f"for name in {names + LATE}: importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr

"""The other Pythons of this machine."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEEDED = ("anyio", "pydantic")
SUPPORTED = ("3.11", "3.12", "3.13")


@functools.cache
def others() -> dict[str, str]:
    """Interpreters of the supported versions besides ours, by version."""
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    found = {version: _find(version) for version in SUPPORTED if version != ours}
    return {version: path for version, path in found.items() if path}


def header() -> str:
    """What a run of the tests says of them."""
    names = ", ".join(others()) or "none, so that no journal is replayed on another one"
    return f"other Pythons: {names}"


def packages(version: str, folder: Path) -> Path:
    """A folder for PYTHONPATH with what the core and its tests need, for a version; installed once.

    Raises CalledProcessError with pip's text if the package index does not give it.
    """
    installed = folder / f"{version}-{'-'.join(NEEDED)}"
    if installed.exists():
        return installed
    with tempfile.TemporaryDirectory(dir=folder) as name:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
        command += ["install", "--quiet", "--only-binary", ":all:", "--python-version", version]
        command += ["--constraint", str(ROOT / "constraints.txt"), "--target", f"{name}/new"]
        subprocess.run([*command, *NEEDED], check=True, capture_output=True, text=True)
        try:
            Path(name, "new").rename(installed)
        except OSError:  # somebody else was first
            if not installed.exists():
                raise
    return installed


def run_module(python: str, module: str, text: str, *, hash_seed: int, path: Path | None) -> str:
    """What a module of the tests prints, given `text`, in a process of its own."""
    environment = {
        **os.environ,
        "PYTHONHASHSEED": str(hash_seed),
        "PYTHONPATH": os.pathsep.join(str(part) for part in (path, ROOT) if part),
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run(
        [python, "-m", module],
        input=text,
        env=environment,
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def _find(version: str) -> str | None:
    homes = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    for path in (shutil.which(f"python{version}"), *map(str, reversed(homes))):
        if path and _is(path, version):
            return path
    return None


def _is(path: str, version: str) -> bool:
    """It may be a shim that starts nothing."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() == version

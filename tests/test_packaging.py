"""What installs is what lies in the four folders, under one name."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
FOLDERS = {name: ROOT / folder for name, folder in SETUPTOOLS["package-dir"].items()}


def files() -> Iterator[tuple[str, Path]]:
    """Each file of the real folders, links left out, with its package."""
    for top, folder in FOLDERS.items():
        for directory, below, names in os.walk(folder):  # does not follow links to folders
            if "__pycache__" in below:
                below.remove("__pycache__")
            package = ".".join([top, *Path(directory).relative_to(folder).parts])
            yield from ((package, Path(directory, name)) for name in names)


def test_the_list_of_packages_is_complete() -> None:
    found = {package for package, path in files() if path.suffix == ".py"}
    assert sorted(SETUPTOOLS["packages"]) == sorted(found)


def test_every_package_is_a_regular_one() -> None:
    regular = {package for package, path in files() if path.name == "__init__.py"}
    assert regular == set(SETUPTOOLS["packages"])


def test_links_lead_to_the_folders() -> None:
    assert set(FOLDERS) == {"saga", "saga.migrations", "saga.models", "saga.tasks"}
    for name in FOLDERS.keys() - {"saga"}:
        link = ROOT / name.replace(".", "/")
        assert link.readlink() == Path("..", link.name)
        assert link.resolve() == FOLDERS[name].resolve()


def test_constraints_name_versions_and_no_index() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all("==" in line for line in lines if not line.startswith("#"))
    assert not any("://" in line or line.startswith("-") for line in lines)


@dataclass(frozen=True)
class Built:
    """The distributions of this tree."""

    from_tree: Path
    from_sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    source.mkdir()
    # A copy: a build leaves scratch folders beside its sources.
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source)
    for name in ("saga", "tasks", "models", "migrations"):
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=skip)
    build = "from setuptools import build_meta; build_meta.build_sdist('../sdist')"
    python("-c", build, cwd=source)
    (sdist,) = (folder / "sdist").glob("*.tar.gz")
    return Built(wheel(source, folder / "1"), wheel(sdist, folder / "2"))


def wheel(source: Path, into: Path) -> Path:
    python(
        *["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"],
        *["--wheel-dir", str(into), str(source)],
        cwd=into.parent,
    )
    (found,) = into.glob("*.whl")
    return found


def python(*args: str, cwd: Path, program: str | Path = sys.executable, **env: str) -> str:
    done = subprocess.run(
        [program, *args],
        cwd=cwd,
        env={**os.environ, **env},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
def test_the_wheel_holds_every_file(built: Built) -> None:
    expected = {f"{package.replace('.', '/')}/{path.name}" for package, path in files()}
    for path in (built.from_tree, built.from_sdist):
        inside = {name for name in zipfile.ZipFile(path).namelist() if ".dist-info/" not in name}
        assert inside == expected


@pytest.mark.slow
def test_the_wheel_works_beside_modules_of_the_same_names(
    built: Built, tmp_path: Path, empty_database_url: str
) -> None:
    home = tmp_path / "venv"
    venv.create(home, symlinks=True)
    program = home / "bin" / "python"
    python(
        *["-m", "pip", "--python", str(program), "install", "--quiet", "--no-deps", "--no-index"],
        str(built.from_tree),
        cwd=tmp_path,
    )
    # Our dependencies, from where these tests have them. A path that a .pth file adds comes last,
    # and the .pth file there that makes this tree importable is not read.
    (site,) = home.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    user = tmp_path / "project"
    user.mkdir()
    (user / "tasks.py").write_text("MINE = 'tasks'\n")
    (user / "models.py").write_text("MINE = 'models'\n")
    (user / "migrations.py").write_text("MINE = 'migrations'\n")
    (user / "use.py").write_text(USE)
    python("use.py", str(site), program=program, cwd=user, SAGA_DATABASE_URL=empty_database_url)


USE = """
import importlib, os, sys
from pathlib import Path

import saga
from saga.storage.migrate import migrate

for name in ("tasks", "models", "migrations"):
    assert importlib.import_module(name).MINE == name
    ours = importlib.import_module(f"saga.{name}")
    assert ours.__file__ == str(Path(sys.argv[1], "saga", name, "__init__.py")), ours.__file__

migrate(os.environ["SAGA_DATABASE_URL"])
"""

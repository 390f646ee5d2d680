"""The guides do what they say, and every command in any document exists."""

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from saga.operations.cli import main
from saga.operations.cli.settings import Settings
from tests.docs.snippets import snippets
from tests.docs.test_snippets import Reader
from tests.live.processes import ROOT, announced, until

DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md"]
GUIDES = ["operations", "from-celery", "from-temporal", "recipes", "testing", "agents"]
_BLOCK = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def reader(database_url: str, broker_url: str, tmp_path: Path) -> Any:
    urls = {"SAGA_DATABASE_URL": database_url, "SAGA_BROKER_URL": broker_url}
    made = Reader(tmp_path, {**urls, "SAGA_HEALTH_DIR": str(tmp_path / "health")})
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_does_what_it_says(name: str, reader: Reader, database_url: str) -> None:
    for snippet in snippets(DOCS / f"{name}.md"):
        reader.follow(snippet)
        if "service" in snippet.options:
            until(lambda: announced(database_url), "the worker is ready")


def _commands(page: Path) -> list[str]:
    blocks = _BLOCK.findall(page.read_text())
    shell = "\n".join(text for language, text in blocks if language in {"sh", "console"})
    joined = shell.replace("\\\n", " ").splitlines()
    lines = [line.removeprefix("$ ").split("  #")[0] for line in joined]
    return [line for line in lines if line.startswith("saga ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_exists_and_takes_these_options(page: Path) -> None:
    for line in _commands(page):
        bare = re.sub(r"\s(\|\s.*|>\s*\S+)$", "", line.strip())
        words = shlex.split(re.sub(r"\$\w*PORT", "1", bare))
        context: click.Context = main.make_context("saga", words[1:], obj=Settings())
        group: click.Group = main
        while True:
            rest = [*context._protected_args, *context.args]  # pyright: ignore[reportPrivateUsage]
            verb, command, rest = group.resolve_command(context, rest)
            assert command is not None, line
            context = command.make_context(verb, rest, parent=context)
            if not isinstance(command, click.Group):
                break
            group = command


@pytest.mark.parametrize("page", [*PAGES, DOCS / "llms.txt"], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_site_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    """It is built without a warning, has every page, and fetches nothing when it is read."""
    for name in ("docs", "mkdocs.yml"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    zensical = Path(sys.executable).parent / "zensical"
    command = [str(zensical), "build", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page.stem: page.read_text() for page in (tmp_path / "build/site").glob("*.html")}
    assert {page.stem for page in DOCS.glob("*.md")} <= pages.keys()
    for page in DOCS.glob("*.md"):  # a fence that is none would swallow those up to the next
        wanted = re.findall(r"^## (.*)$", _BLOCK.sub("", page.read_text()), re.MULTILINE)
        assert pages[page.stem].count("<h2") == len(wanted), page.stem
    for text in pages.values():
        fetched = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"?([^\" >]+)", text)
        assert not [target for target in fetched if "//" in target], fetched


def test_machines_are_told_of_each_page() -> None:
    told = re.findall(r"\]\(([a-z-]+\.md)\)", (DOCS / "llms.txt").read_text())
    assert {*told, "index.md"} == {page.name for page in DOCS.glob("*.md")}


def test_agents_are_tested_with_the_versions_that_the_page_names() -> None:
    pinned = dict(
        re.findall(r"^(\S+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    )
    told = re.findall(r"^\| \[.* \| ([^|]*) \|$", (DOCS / "agents.md").read_text(), re.MULTILINE)
    named = dict(part.split(" ") for cell in told for part in cell.split(", "))
    assert len(named) == 5
    assert {name: pinned[name] for name in named} == named


def test_the_yaml_is_yaml() -> None:
    blocks = _BLOCK.findall((DOCS / "operations.md").read_text())
    parsed = [yaml.safe_load(text) for language, text in blocks if language == "yaml"]
    assert parsed[0]["kind"] == "ScaledObject"
    assert len(parsed) == 5


def test_the_metrics_of_the_handbook_are_those_that_there_are() -> None:
    named = set(
        re.findall(r"`(saga_[a-z_]+)(?:\{[a-z,]+\})?`", (DOCS / "operations.md").read_text())
    )
    sources = "".join(p.read_text() for p in (ROOT / "saga/operations/metrics").glob("*.py"))
    real = set(re.findall(r'"(saga_[a-z_]+)"', sources))
    assert {name.removesuffix("_total") for name in named - {"saga_id"}} == real


def test_the_table_of_guarantees_is_the_one_of_the_readme() -> None:
    table = re.compile(r"^\| boundary .*?\n\n", re.MULTILINE | re.DOTALL)
    (here,) = table.findall((DOCS / "guarantees.md").read_text())
    (there,) = table.findall((ROOT / "README.md").read_text())
    assert here == there


def test_the_reference_is_that_of_the_docstrings() -> None:
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    wanted = "python docs/reference.py > docs/reference.md"
    assert module.reference() == (DOCS / "reference.md").read_text(), wanted

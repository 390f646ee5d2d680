"""The tutorial, followed from its first line with nothing at hand but what it installs."""

import os
import re
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.docs.snippets import Snippet, snippets
from tests.docs.test_snippets import DOCS, Reader
from tests.live.descendants import descendants, newcomers
from tests.live.processes import announced, until


@pytest.fixture
def folder(tmp_path: Path) -> Generator[Path]:
    """Below /var/tmp when we are root, whose other folders Postgres' account cannot enter."""
    if os.geteuid() != 0:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.mark.slow
def test_from_an_empty_machine_to_a_saga_undone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("SAGA_")]:
        monkeypatch.delenv(name)
    before = descendants()
    reader = Reader(folder, {})
    try:
        for snippet in snippets(DOCS / "tutorial.md"):
            reader.follow(snippet)
            if "service" in snippet.options:
                reader.environment |= exported(folder, snippet)
                url = reader.environment["SAGA_DATABASE_URL"]
                until(lambda: announced(url, "saga.definition"), "its worker is ready")  # noqa: B023
        assert not (folder / ".saga").exists(), "nothing is left on the disk"
    finally:
        reader.close()
    assert not newcomers(before), "Ctrl-C stops everything"


def exported(folder: Path, service: Snippet) -> dict[str, str]:
    """What a shell has that reads the file which `saga dev` names once it is ready."""
    log = folder / f"service-{service.line}.log"

    def named() -> str | None:
        found = re.search(r"^In another terminal: \. (.+)$", log.read_text(), re.MULTILINE)
        return found and found[1]

    file = until(named, "`saga dev` is ready")
    assert folder / str(file) == folder / ".saga" / "env", "as the page says"
    shown = subprocess.run(
        ["bash", "-c", f". {file} && env -0"],
        cwd=folder,
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    pairs = (line.split("=", 1) for line in shown.stdout.split("\0") if "=" in line)
    return {name: value for name, value in pairs if name.startswith("SAGA_")}

"""The pages about the examples show what is in them, and what their tests run."""

import re
import shlex
from pathlib import Path

import pytest

from tests.live.processes import ROOT

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _words(command: str) -> list[str]:
    """Without what is another in a test: a port."""
    return [word for word in shlex.split(command) if not word.isdigit()]


@pytest.mark.parametrize("name", ["django", "fastapi"])
def test_a_page_shows_what_runs(name: str) -> None:
    sources = [file.read_text() for file in (ROOT / "examples" / f"{name}_shop").rglob("*.py")]
    test = (Path(__file__).parent / f"test_{name}_shop.py").read_text()
    blocks = _FENCE.findall((ROOT / "docs" / f"{name}.md").read_text())
    assert {language for language, _ in blocks} == {"python", "sh"}
    for language, text in blocks:
        if language == "python":
            assert any(text in source for source in sources), text
        else:
            for word in {word for line in text.splitlines() for word in _words(line)}:
                assert word in test, word

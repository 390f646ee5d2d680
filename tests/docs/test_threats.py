"""Each line of the tables of who may do what names the test that holds it."""

import re

import pytest

from tests.live.processes import ROOT

SECTIONS = {
    "guarantees.md": "## Who may do what with access to Redis",
    "operations.md": "## Who may do what",
}
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)` \|$")


def lines_of(page: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text()
    section = text.split(f"{SECTIONS[page]}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [
        row for row in rows if "| test |" not in row and not row.endswith(("| held by |", "- |"))
    ]


@pytest.mark.parametrize("page", SECTIONS)
def test_every_line_has_one(page: str) -> None:
    lines = lines_of(page)
    assert len(lines) > 5
    for line in lines:
        found = _TEST.search(line)
        assert found, line
        assert f"def {found[2]}(" in (ROOT / found[1]).read_text(), line

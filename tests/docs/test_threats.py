"""Each line of the tables of who may do what names the test that holds it."""

import re

import pytest

from tests.live.processes import ROOT

PAGE = (ROOT / "docs" / "guarantees.md").read_text()
HELD = re.findall(r"^\| .* \| `(tests/[\w/]+\.py)::(\w+)` \|$", PAGE, re.MULTILINE)


def test_every_line_has_one() -> None:
    section = PAGE.split("## Who may do what with access to Redis")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    assert len(lines) - 2 == len(HELD) > 5, "a head, its rule, and the lines"


@pytest.mark.parametrize(("file", "name"), HELD)
def test_it_exists(file: str, name: str) -> None:
    assert f"def {name}(" in (ROOT / file).read_text()

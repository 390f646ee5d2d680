"""The README's diagrams are the code's tables, and its saga runs."""

import asyncio
import re
import sys
import tomllib
import types
from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from saga.core.declare.registry import registry
from saga.core.diagram import diagram
from saga.core.states import SAGA_MOVES, STEP_MOVES, SagaStatus
from saga.testing import World, answering

README = Path(__file__).parents[2] / "README.md"
TABLES: list[tuple[str, Any]] = [("steps", STEP_MOVES), ("sagas", SAGA_MOVES)]


@pytest.mark.parametrize(("name", "moves"), TABLES)
def test_the_diagram_is_the_table(
    name: str, moves: Mapping[StrEnum | None, Collection[StrEnum]]
) -> None:
    wanted = f"<!-- {name} -->\n```mermaid\n{diagram(moves)}\n```\n<!-- /{name} -->"
    assert wanted in README.read_text(), f"put this into README.md:\n{wanted}"


def test_each_end_of_a_saga_is_in_its_table() -> None:
    (table,) = re.findall(r"^\| it ended as .*?\n\n", README.read_text(), re.MULTILINE | re.DOTALL)
    named = re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    assert set(named) == set(SagaStatus) - {SagaStatus.RUNNING, SagaStatus.COMPENSATING}


def test_the_extras_are_those_that_there_are() -> None:
    """With what each brings; a package is named plainly, an extra as code."""
    table = README.read_text().split("<!-- extras -->")[1].split("<!-- /extras -->")[0]
    shown = {
        name: set(re.findall(r"`[a-z]+`|[a-z][a-z0-9-]+", re.sub(r"\(.*?\)| or ", ",", brings)))
        for name, brings in re.findall(
            r"^\| `([\w-]+)` \| [^|]+ \| ([^|]+) \|$", table, re.MULTILINE
        )
    }
    project = tomllib.loads((README.parent / "pyproject.toml").read_text())["project"]
    real = {
        extra: set[str]().union(*map(_brought, requirements))
        for extra, requirements in project["optional-dependencies"].items()
        if extra not in OURS
    }
    assert shown == real


OURS = {"test", "dev"}  # for working on it; `make test` installs them


def _brought(text: str) -> set[str]:
    wanted = Requirement(text)
    ours = wanted.name == "saga-orchestrator"
    return {f"`{extra}`" for extra in wanted.extras} if ours else {wanted.name}


@pytest.fixture
def shop() -> Iterator[types.ModuleType]:
    """The README's example as a module."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    module = types.ModuleType("shop")
    sys.modules["shop"] = module
    with registry.sandbox():
        exec(compile(code, "shop.py", "exec"), vars(module))
        yield module
    del sys.modules["shop"]


@pytest.mark.parametrize("approved", [True, False])
def test_the_example_runs_without_infrastructure(shop: types.ModuleType, approved: bool) -> None:
    with answering(refund=approved):
        assert asyncio.run(shop.resolve_issue("ada", "where is my card?")) is approved


def test_the_example_survives_every_crash(shop: types.ModuleType) -> None:
    with World() as world:
        world.answer("refund", True)
        for crash in world.crashes(shop.resolve_issue("ada", "late")):
            assert (crash.result(), len(shop.DESK)) == (True, 1), crash
            assert crash.stands == ["create_ticket", "send_confirmation"], crash
            shop.DESK.clear()


def test_the_example_has_nothing_to_warn_of(shop: types.ModuleType) -> None:
    assert [step.name for step in registry.steps()] == [
        "create_ticket",
        "fetch_email",
        "send_confirmation",
    ]
    assert shop.create_ticket.undo.name == "close_ticket"

"""What is said once: states are typed in `saga.core.states` only, payloads cast in `payloads`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from saga.core.states import SagaStatus, StepState
from saga.storage import payloads

ROOT = Path(__file__).parents[2]
STATES = {str(state) for state in (*StepState, *SagaStatus)}
SOURCES = [
    path
    for folder in ("saga", "models")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not {"migrations", "tasks", "models"} & set(path.relative_to(ROOT).parts[1:-1])
]

# Types for the checker, which cannot be made from the table; the ledger's own words, and those of
# reasons.
SETS_OF_THEIR_OWN = {
    "saga/core/loop/events.py",
    "saga/core/states.py",
    "saga/engine/attempt/work.py",
    "saga/operations/api/effects.py",
    "saga/client/why_not.py",
    "saga/storage/queries/effects.py",
}

_QUOTED = re.compile(f"'({'|'.join(sorted(STATES))})'")
_NAMES = "|".join(sorted(payloads.COLUMNS))
_CAST = re.compile(rf"\b(?:{_NAMES})(?:::text|(?:\)s)?::jsonb?)\b")


def strings(tree: ast.AST) -> Iterator[ast.Constant]:
    """All but docstrings."""
    nodes = list(ast.walk(tree))
    told = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node


def sets(tree: ast.AST) -> Iterator[list[str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            texts = [e.value for e in node.elts if isinstance(e, ast.Constant)]
            yield [text for text in texts if text in STATES]


def found(pattern: re.Pattern[str], source: str) -> list[str]:
    """Where the strings of a module hold what belongs elsewhere."""
    hits = ((one, pattern.search(str(one.value))) for one in strings(ast.parse(source)))
    return [f"line {one.lineno}: {hit.group()}" for one, hit in hits if hit]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_states_and_payloads_are_spelt_in_one_place(path: Path) -> None:
    source, name = path.read_text(), str(path.relative_to(ROOT))
    if name.startswith(("saga/storage/", "models/")):
        assert found(_QUOTED, source) == [], "use sql() of saga.core.states"
        assert found(_CAST, source) == [], "use saga.storage.payloads"
    if name not in SETS_OF_THEIR_OWN:
        assert [one for one in sets(ast.parse(source)) if len(one) > 1] == [], "name the set"


def test_the_search_finds_what_it_looks_for() -> None:
    assert found(_QUOTED, """x = f"SELECT {x} WHERE s.status IN ('parked', {y})" """)
    assert found(_CAST, "x = 'SELECT t.result::text'")
    assert found(_CAST, "x = f'SET error = %(error)s::json, {x}'")
    assert not found(_CAST, "x = 'saga.accept(%(input)s::text)'")
    assert list(sets(ast.parse("state in ('ready', 'unknown')"))) == [["ready", "unknown"]]
    assert len(SOURCES) > 150

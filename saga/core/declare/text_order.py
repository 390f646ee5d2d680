"""Which steps a saga's code names, in the order of its text: a guess at how they run."""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from saga.core.declare.definitions import StepDefinition

_LOADS = ("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_NAME", "LOAD_CLASSDEREF")


def steps_in_order(function: Callable[..., Any]) -> list[StepDefinition[..., Any]]:
    """The steps that a function, and the functions inside it, name; branches one after the other.

    What is reached through a module, an object or a call is not seen.
    """
    known = _names(function)
    code = getattr(function, "__code__", None)
    found = [known.get(name) for name in _loaded(code)] if isinstance(code, CodeType) else []
    steps: dict[StepDefinition[..., Any], None] = {}
    for step in found:
        if isinstance(step, StepDefinition):
            steps[step] = None
    return list(steps)


def _names(function: Callable[..., Any]) -> dict[str, Any]:
    names: dict[str, Any] = dict(getattr(function, "__globals__", {}))
    code = getattr(function, "__code__", None)
    cells = getattr(function, "__closure__", None) or ()
    for name, cell in zip(code.co_freevars if code else (), cells, strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # defined later
            continue
    return names


def _loaded(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in _LOADS:
            yield str(instruction.argval)
        elif isinstance(instruction.argval, CodeType):
            yield from _loaded(instruction.argval)

"""What is declared so that it will probably surprise: each worker warns of it when it starts.

To silence it: `install(app, checks=False)`, or SAGA_CHECKS=off, or a filter of Python's warnings
for `saga.DefinitionWarning`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from saga.core.declare.definitions import SagaDefinition, StepDefinition
from saga.core.declare.options import START_OPTIONS
from saga.core.declare.text_order import steps_in_order
from saga.errors import DefinitionWarning


def check(definition: StepDefinition[..., Any] | SagaDefinition[..., Any]) -> list[str]:
    """Build its types (DefinitionError if they cannot become JSON) and list what is doubtful.

    Called when all modules are imported, as a compensation is attached after its step is defined.
    """
    definition.parameters.shape.build()
    definition.parameters.result.build()
    if isinstance(definition, SagaDefinition):
        doubts = [*_doubts_about_options(definition), *_doubts_about_order(definition)]
        return [f"saga {definition.name} ({definition.place}): {text}" for text in doubts]
    return [f"step {definition.name} ({definition.place}): {text}" for text in _doubts(definition)]


def warn(definitions: Iterable[StepDefinition[..., Any] | SagaDefinition[..., Any]]) -> None:
    """Check them all and give a DefinitionWarning for each doubt."""
    for definition in definitions:
        for text in check(definition):
            warnings.warn(text, DefinitionWarning, stacklevel=2)


def _doubts_about_options(saga: SagaDefinition[..., Any]) -> Iterable[str]:
    for name in START_OPTIONS:
        if name in saga.parameters.names:
            yield (
                f"its parameter {name!r} has the name of an option of Client.start, which takes "
                "what is given by that name for itself: rename it, or start the saga with "
                "start_many([StartRequest(saga, input={...})])"
            )


def _doubts_about_order(saga: SagaDefinition[..., Any]) -> Iterable[str]:
    """The order is that of the saga's text: good enough for a warning."""
    steps = steps_in_order(saga.function)
    pivots = [number for number, step in enumerate(steps) if step.pivot]
    for number, step in enumerate(steps):
        pivot = next((steps[p] for p in pivots if p > number), None)
        if pivot is not None and not (step.undo or step.read_only or step.pivot):
            yield (
                f"{step.name} has no compensation and comes before the pivot {pivot.name}: if the "
                "saga turns round there, it stands; give it one, or put it behind the pivot"
            )


def _doubts(step: StepDefinition[..., Any]) -> Iterable[str]:
    undoable = step.undo is not None
    if not (undoable or step.read_only or step.pivot or step.irreversible):
        yield (
            "it has an effect and no compensation; give it one, or say read_only=True if it has "
            "no effect, pivot=True if the saga only goes forward past it, or irreversible=True if "
            "it may stand"
        )
    if step.undo is not None and not step.undo.admits_none and _may_stay_unknown(step):
        yield (
            f"its outcome may stay unknown, and {step.undo.name} refuses None as its result: let "
            "its first parameter be None, too, or give the step a probe"
        )
    if undoable and step.irreversible:
        yield "it is irreversible, and has a compensation all the same"
    if undoable and step.read_only:
        yield "it is read_only, so its compensation will never have anything to undo"


def _may_stay_unknown(step: StepDefinition[..., Any]) -> bool:
    """Whether its undo may be called without its result."""
    return not (step.read_only or step.transactional or step.prober)

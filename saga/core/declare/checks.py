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
from saga.errors import DefinitionError, DefinitionWarning

Definition = StepDefinition[..., Any] | SagaDefinition[..., Any]


def refuse(definitions: Iterable[Definition]) -> None:
    """Build their types. Raises one DefinitionError for all that cannot be written as JSON and read
    back.

    Called when all modules are imported, as a hint may name what comes further down.
    """
    faults = [fault for definition in definitions for fault in _faults(definition)]
    if faults:
        raise DefinitionError("\n".join(faults))


def _faults(definition: Definition) -> Iterable[str]:
    for shape in (definition.parameters.shape, definition.parameters.result):
        try:
            shape.examine()
        except DefinitionError as exc:
            yield f"{exc} ({definition.place})"


def check(definition: Definition) -> list[str]:
    """List what is doubtful. Raises DefinitionError if its types cannot become JSON.

    Called when all modules are imported, as a compensation is attached after its step is defined.
    """
    doubts = list(_doubts_about_secrets(definition))
    if isinstance(definition, SagaDefinition):
        doubts += [*_doubts_about_options(definition), *_doubts_about_order(definition)]
        return [f"saga {definition.name} ({definition.place}): {text}" for text in doubts]
    doubts += _doubts(definition)
    return [f"step {definition.name} ({definition.place}): {text}" for text in doubts]


def warn(definitions: Iterable[Definition]) -> None:
    """Check them all and give a DefinitionWarning for each doubt."""
    for definition in definitions:
        file, _, line = definition.place.rpartition(":")
        for text in check(definition):
            if line.isdecimal():  # it is there that something is to be done
                warnings.warn_explicit(text, DefinitionWarning, file, int(line))
            else:
                warnings.warn(text, DefinitionWarning, stacklevel=2)


def _doubts_about_secrets(definition: Definition) -> Iterable[str]:
    shapes = (definition.parameters.shape, definition.parameters.result)
    secrets = [path for shape in shapes for path in shape.examine().secrets]
    if secrets:
        yield (
            f"{', '.join(dict.fromkeys(secrets))}: a secret, which stands in the database as it "
            "is, unencrypted, for everybody who may read there; better give the step the name of "
            "the secret and look it up in there"
        )


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

"""The sagas of `tests.faults.sagas` for this process, apart from what other tests define."""

from typing import Any, cast

from saga.core.declare.definitions import SagaDefinition, StepDefinition
from saga.core.declare.registry import Registry, registry

with registry.sandbox():
    from tests.faults import neighbour, sagas, shelters, wayward
    from tests.faults.code_old import deployed


def own_registry(module: Any = sagas) -> Registry:
    """Only what a module defines."""
    own = Registry()
    for name in dir(module):
        value: Any = getattr(module, name)
        if isinstance(value, StepDefinition):
            own.add_step(cast("StepDefinition[..., Any]", value))
        elif isinstance(value, SagaDefinition):
            own.add_saga(cast("SagaDefinition[..., Any]", value))
    return own


__all__ = ["deployed", "neighbour", "own_registry", "sagas", "shelters", "wayward"]

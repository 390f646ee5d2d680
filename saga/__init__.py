"""Durable sagas for the Celery, Redis and Postgres a team already runs.

A saga is an `async def` function whose steps are Celery tasks. Everything that a user needs is in
this module; importing it loads neither Celery nor a connection pool.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saga.client.async_client import AsyncClient, AsyncHandle, AsyncOperator
    from saga.client.client import Client
    from saga.client.handle import Handle
    from saga.client.operator import Operator
    from saga.client.requests import StartRequest
    from saga.core.context import StepContext, current
    from saga.core.declare.canvas import canvas
    from saga.core.declare.decorators import saga, step
    from saga.core.declare.retry import Retry
    from saga.core.loop.inline import without_threads
    from saga.core.loop.scopes import scope
    from saga.core.saga_filter import SagaFilter
    from saga.core.verbs import (
        Decision,
        approval,
        attributes,
        expose,
        in_saga,
        now,
        random,
        signal,
        uuid,
    )
    from saga.errors import (
        Conflict,
        DefinitionError,
        DefinitionWarning,
        Divergence,
        InvalidCall,
        InvalidInput,
        KeyConflict,
        NotDeterministic,
        OutsideSaga,
        OutsideStep,
        Permanent,
        SagaEnded,
        SagaError,
        SagaFailed,
        SagaNotFound,
        SchemaOutdated,
        StepFailed,
        Unavailable,
        Unknown,
        UnknownName,
        UnknownSaga,
        UnknownStep,
        WorkerLost,
    )
    from saga.execution.app import install

_HOMES = {
    "saga.core.context": ("StepContext", "current"),
    "saga.core.declare.canvas": ("canvas",),
    "saga.core.declare.decorators": ("saga", "step"),
    "saga.core.declare.retry": ("Retry",),
    "saga.core.loop.inline": ("without_threads",),
    "saga.core.loop.scopes": ("scope",),
    "saga.core.saga_filter": ("SagaFilter",),
    "saga.core.verbs": (
        "Decision",
        "approval",
        "attributes",
        "expose",
        "in_saga",
        "now",
        "random",
        "signal",
        "uuid",
    ),
    "saga.errors": (
        "Conflict",
        "DefinitionError",
        "DefinitionWarning",
        "Divergence",
        "InvalidCall",
        "InvalidInput",
        "KeyConflict",
        "NotDeterministic",
        "OutsideSaga",
        "OutsideStep",
        "Permanent",
        "SagaEnded",
        "SagaError",
        "SagaFailed",
        "SagaNotFound",
        "SchemaOutdated",
        "StepFailed",
        "Unavailable",
        "Unknown",
        "UnknownName",
        "UnknownSaga",
        "UnknownStep",
        "WorkerLost",
    ),
    "saga.client.async_client": ("AsyncClient", "AsyncHandle", "AsyncOperator"),
    "saga.client.client": ("Client",),
    "saga.client.handle": ("Handle",),
    "saga.client.operator": ("Operator",),
    "saga.client.requests": ("StartRequest",),
    "saga.execution.app": ("install",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AsyncClient",
    "AsyncHandle",
    "AsyncOperator",
    "Client",
    "Conflict",
    "Decision",
    "DefinitionError",
    "DefinitionWarning",
    "Divergence",
    "Handle",
    "InvalidCall",
    "InvalidInput",
    "KeyConflict",
    "NotDeterministic",
    "Operator",
    "OutsideSaga",
    "OutsideStep",
    "Permanent",
    "Retry",
    "SagaEnded",
    "SagaError",
    "SagaFailed",
    "SagaFilter",
    "SagaNotFound",
    "SchemaOutdated",
    "StartRequest",
    "StepContext",
    "StepFailed",
    "Unavailable",
    "Unknown",
    "UnknownName",
    "UnknownSaga",
    "UnknownStep",
    "WorkerLost",
    "approval",
    "attributes",
    "canvas",
    "current",
    "expose",
    "in_saga",
    "install",
    "now",
    "random",
    "saga",
    "scope",
    "signal",
    "step",
    "uuid",
    "without_threads",
]


def __getattr__(name: str) -> Any:
    """Each name is imported when it is first asked for: our pytest plugin is in every run of
    pytest, and has to cost nothing there.
    """
    if name not in _HOME_OF:
        raise AttributeError(f"module 'saga' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOME_OF[name]), name)
    return value

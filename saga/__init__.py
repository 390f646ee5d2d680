"""Durable sagas for the Celery, Redis and Postgres a team already runs.

A saga is an `async def` function whose steps are Celery tasks. Everything that a user needs is in
this module; importing it loads neither Celery nor a connection pool.
"""

import importlib
from typing import TYPE_CHECKING, Any

from saga.core.context import StepContext, current
from saga.core.declare.decorators import saga, step
from saga.core.declare.retry import Retry
from saga.core.loop.scopes import scope
from saga.core.verbs import Decision, approval, expose, now, random, signal, uuid
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

if TYPE_CHECKING:
    from saga.client.client import Client
    from saga.client.handle import Handle
    from saga.client.operator import Operator
    from saga.client.requests import StartRequest
    from saga.execution.app import install

_LAZY = {
    "Client": "saga.client.client",
    "Handle": "saga.client.handle",
    "Operator": "saga.client.operator",
    "StartRequest": "saga.client.requests",
    "install": "saga.execution.app",
}

__all__ = [
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
    "current",
    "expose",
    "install",
    "now",
    "random",
    "saga",
    "scope",
    "signal",
    "step",
    "uuid",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'saga' has no attribute {name!r}")

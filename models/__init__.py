"""The tables, in a Postgres schema of their own (`saga`)."""

from saga.models.base import SCHEMA, metadata
from saga.models.delivery import delivery
from saga.models.history import history
from saga.models.operations import audit, definition, step_type
from saga.models.saga import saga
from saga.models.signal import signal
from saga.models.step import step
from saga.models.token import token
from saga.models.worker import advancing, lead, worker

__all__ = [
    "SCHEMA",
    "advancing",
    "audit",
    "definition",
    "delivery",
    "history",
    "lead",
    "metadata",
    "saga",
    "signal",
    "step",
    "step_type",
    "token",
    "worker",
]

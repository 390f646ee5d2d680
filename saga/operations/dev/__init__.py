"""The development stack: servers, workers, API and Flower on this machine, until told to stop."""

from saga.operations.dev.directory import default_directory
from saga.operations.dev.errors import DevError
from saga.operations.dev.plan import Plan
from saga.operations.dev.stack import DevStack

__all__ = ["DevError", "DevStack", "Plan", "default_directory"]

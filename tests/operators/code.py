"""The sagas of these tests for this process, apart from what other tests define."""

from saga.core.declare.registry import registry

with registry.sandbox():
    from tests.operators import sagas

__all__ = ["sagas"]

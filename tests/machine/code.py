"""The sagas of the machine, apart from what other tests define."""

from saga.core.declare.registry import registry

with registry.sandbox():
    from tests.machine import trades

__all__ = ["trades"]

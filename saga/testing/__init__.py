"""For the tests of those who write sagas.

::

    def test_an_order_is_undone(world):
        world.fail(ship)
        assert world.start(order("lamp")).undone == ["charge", "reserve"]

    def test_no_crash_leaves_half_an_order(world):
        for crash in world.crashes(order("lamp")):
            assert crash.status == "completed" or crash.stands == []

`world` is a fixture of the pytest plugin that comes along, a new `World` for each test.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saga.core.answering import answering
    from saga.testing.crashes import Crash
    from saga.testing.stack import Stack
    from saga.testing.world import World
    from saga.testing.world_saga import WorldSaga

_HOME_OF = {
    "Crash": "saga.testing.crashes",
    "Stack": "saga.testing.stack",
    "World": "saga.testing.world",
    "WorldSaga": "saga.testing.world_saga",
    "answering": "saga.core.answering",
}

__all__ = ["Crash", "Stack", "World", "WorldSaga", "answering"]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'saga.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)

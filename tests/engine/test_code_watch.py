"""What is decided for others in their batch takes no time, as far as that can be known."""

from typing import Any, cast
from uuid import uuid4

import pytest

from saga.core.states import SagaStatus
from saga.engine.advance.code_watch import CodeWatch
from saga.engine.advance.live import Live
from saga.storage.hot.rows import Seen


def live(status: str = SagaStatus.RUNNING, **known: Any) -> Live:
    return Live(uuid4(), "order", 1, "sagas", status, Seen(0, 0, 0), 0, False, **known)


@pytest.mark.parametrize(("steps", "is_quick"), [(100, True), (10_000, False)])
def test_undos_among_few_steps_are_found_at_once(steps: int, is_quick: bool) -> None:
    rows = cast("Any", [None]) * steps
    assert CodeWatch().is_quick(live(SagaStatus.COMPENSATING, rows=rows)) is is_quick


def test_two_threads_end_a_probation() -> None:
    """The second one finds that it is over, and its saga goes on."""
    watch = CodeWatch()

    class Ended(dict[Any, int]):
        """Another thread has just ended what this one sees."""

        def __contains__(self, key: object) -> bool:
            return self.pop(key, None) is not None

    watch._on_probation = Ended({("order", 1): 1})
    assert watch.run(live(), lambda: "done") == "done"
    assert not watch._on_probation

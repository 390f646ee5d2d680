"""What nobody awaited is told by its own name, at the line where it was dropped."""

import asyncio

import pytest

from saga import saga, step
from tests.core.world import World


@step
def add_one(number: int) -> int:
    return number


@saga
async def child() -> None: ...


@saga
async def forgetful() -> int:
    add_one(1)  # pyright: ignore[reportUnusedCoroutine]
    child()  # pyright: ignore[reportUnusedCoroutine]
    return 1


def test_in_a_saga() -> None:
    with pytest.warns(RuntimeWarning) as told:
        World(forgetful)
    assert [str(one.message) for one in list(told)[:2]] == [
        "coroutine 'step add_one' was never awaited",
        "coroutine 'saga child' was never awaited",
    ]
    first = forgetful.function.__code__.co_firstlineno
    assert [(one.filename, one.lineno - first) for one in list(told)[:2]] == [
        (__file__, 2),
        (__file__, 3),
    ]


def test_outside() -> None:
    async def program() -> None:
        add_one(1)  # pyright: ignore[reportUnusedCoroutine]

    with pytest.warns(RuntimeWarning, match="coroutine 'step add_one' was never awaited"):
        asyncio.run(program())

"""What is doubtful about the order of a saga's steps."""

import asyncio
import inspect
from typing import Annotated, Any

import pytest

from saga import Client, saga, step
from saga.core.declare import text_order
from saga.core.declare.checks import check
from saga.core.declare.options import START_OPTIONS
from saga.core.declare.registry import registry

with registry.sandbox():

    @step(read_only=True)
    def look() -> None: ...

    @step
    def tell() -> None: ...

    @step
    def book() -> None: ...

    @book.compensation
    def unbook(result: None) -> None: ...

    @step(pivot=True)
    def commit() -> None: ...


async def told_first() -> None:
    await look()
    await book()
    await tell()
    await commit()


async def told_last() -> None:
    await book()
    await commit()
    await tell()


async def told_inside() -> None:
    async def inner() -> None:
        await tell()

    await asyncio.gather(inner(), book())
    await commit()


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (told_first, ["look", "book", "tell", "commit"]),
        (told_last, ["book", "commit", "tell"]),
        (told_inside, ["tell", "book", "commit"]),
        (len, []),
    ],
)
def test_steps_in_the_order_of_the_text(function: Any, names: list[str]) -> None:
    assert [found.name for found in text_order.steps_in_order(function)] == names


def test_steps_of_a_closure() -> None:
    @step(name="closed over")
    def closed() -> None: ...

    async def body() -> None:
        await closed()

    assert [found.name for found in text_order.steps_in_order(body)] == ["closed over"]


def test_what_cannot_be_undone_before_a_pivot() -> None:
    (doubt,) = check(saga(told_first))
    assert doubt.startswith("saga told_first (")
    assert "tell has no compensation and comes before the pivot commit" in doubt
    assert check(saga(told_inside))
    assert check(saga(told_last)) == []


def test_parameters_that_start_takes_for_options() -> None:
    async def keyed(key: str, item: str) -> None: ...

    (doubt,) = check(saga(keyed))
    assert "its parameter 'key' has the name of an option of Client.start" in doubt
    assert "StartRequest(saga, input={...})" in doubt
    parameters = inspect.signature(Client.start).parameters.values()
    assert tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY) == START_OPTIONS


def test_an_undo_that_refuses_an_unknown_result() -> None:
    def undo(result: int) -> None: ...

    @step
    def create() -> int: ...

    @step(transactional=True)
    def enter() -> int: ...

    create.compensation(undo)  # pyright: ignore[reportArgumentType]
    enter.compensation(undo)  # pyright: ignore[reportArgumentType]
    (doubt,) = check(create)
    assert "its outcome may stay unknown, and undo refuses None as its result" in doubt
    assert check(enter) == []
    create.probe(lambda: 1)
    assert check(create) == []


@pytest.mark.parametrize(
    "hint",
    [int | None, "int | None", Any, object, None, Annotated[int | None, "x"], str | int | None],
    ids=str,
)
def test_hints_that_leave_room_for_none(hint: Any) -> None:
    def undo(result: Any) -> None: ...

    @step
    def create() -> int: ...

    undo.__annotations__["result"] = hint
    create.compensation(undo)
    assert check(create) == []

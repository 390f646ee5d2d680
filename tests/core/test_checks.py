"""What is doubtful about the order of a saga's steps."""

import asyncio
import inspect
from collections.abc import Iterable
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, SecretBytes, SecretStr

from saga import Client, saga, step
from saga.core.declare import text_order
from saga.core.declare.checks import check, refuse
from saga.core.declare.options import START_OPTIONS
from saga.core.declare.registry import registry
from saga.errors import DefinitionError

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


class Left(BaseModel):
    out: int = Field(default=0, exclude=True)


def test_all_that_cannot_be_read_back_is_refused_at_once() -> None:
    @step
    def write(left: Left) -> None: ...

    @step
    def read() -> list[Left]: ...  # pyright: ignore[reportReturnType]

    async def both(jobs: Iterable[int]) -> None: ...

    with pytest.raises(DefinitionError) as caught:
        refuse([write, read, saga(both), look])
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["write", "read", "both"]
    assert "left.out: it is left out of what is written (exclude=True)" in lines[0]
    assert "result.out: it is left out" in lines[1]
    assert "jobs: an iterable is gone once it was written: declare a list" in lines[2]
    assert all("test_checks.py:" in line for line in lines)


def test_secrets_stand_in_clear() -> None:
    def use(token: SecretStr, others: dict[str, SecretBytes]) -> Annotated[SecretStr, "x"]:
        return token

    (doubt,) = check(step(read_only=True)(use))
    assert "token, others, result: a secret, which stands in the database as it is" in doubt

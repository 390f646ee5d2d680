# pyright: reportUnnecessaryTypeIgnoreComment=true
"""What type checkers accept and refuse: each `ignore` below stands where an error has to be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, assert_type

import pytest

from saga import DefinitionError, step
from saga.core.declare.definitions import StepDefinition


@step
def create(customer: str, amount: int = 1) -> int:
    return len(customer) * amount


@create.probe
def find(customer: str, amount: int = 1) -> int | None:
    return None


@create.compensation
def close(ticket: int | None, customer: str) -> None:
    del ticket, customer


@step(queue="mail")
async def send(text: str) -> str:
    return text


@send.probe
async def sent(text: str) -> str | None:
    return text


@send.compensation(timeout=timedelta(seconds=1))
async def unsend(result: str | None) -> None:
    del result


def test_they_stay_functions() -> None:
    assert_type(close(None, "ann"), None)
    assert_type(find("ann", amount=2), int | None)
    assert (close.__name__, find("ann")) == ("close", None)


def test_what_an_undo_takes() -> None:
    def surely(ticket: int) -> None: ...
    def other(ticket: str | None) -> None: ...
    def anything(ticket: object, amount: int) -> str: ...
    async def soon(ticket: int | None, **_: Any) -> None: ...

    create.compensation(surely)  # pyright: ignore[reportArgumentType]
    create.compensation(other)  # pyright: ignore[reportArgumentType]
    create.compensation(anything)
    create.compensation(soon)
    create.compensation(queue="q")(anything)
    create.compensation(queue="q")(surely)  # pyright: ignore[reportArgumentType]
    create.compensation(close)


def test_what_a_probe_takes_and_returns() -> None:
    def wrong(customer: str, amount: int = 1) -> str: ...
    def less(customer: str) -> int | None: ...
    async def soon(customer: str, amount: int = 1) -> int | None: ...

    create.probe(wrong)  # pyright: ignore[reportCallIssue, reportArgumentType]
    with pytest.raises(DefinitionError, match="a probe has the parameters of create"):
        create.probe(less)  # pyright: ignore[reportCallIssue, reportArgumentType]
    kept: Callable[[str], Coroutine[Any, Any, int | None]] = create.probe(soon)
    create.probe(find)
    assert kept is soon


def test_steps_of_plain_functions() -> None:
    def plain(number: int) -> str:
        return str(number)

    async def other(number: int) -> list[str]:
        return [str(number)]

    made = step(plain, name="plain with options", queue="q")
    assert_type(asyncio.run(made(3)), str)
    kept: StepDefinition[[int], list[str]] = step(other, name="other", read_only=True)
    assert (made.queue, kept.read_only) == ("q", True)

"""An input is checked against the announced schema, and never more strictly than the code would."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from saga.core.declare.signatures import Parameters
from saga.core.schema_check import check_input
from saga.errors import InvalidInput


class Line(BaseModel):
    """An order's line."""

    item: str
    count: int = 1


def function(
    lines: list[Line],
    mode: Literal["fast", "slow"] = "fast",
    when: datetime | None = None,
    price: Decimal = Decimal(0),
    extra: dict[str, int] | None = None,
    anything: Any = None,
) -> None:
    """The parameters of a saga."""


PARAMETERS = Parameters(function, "order")
SCHEMA = PARAMETERS.json_schema()


@pytest.mark.parametrize(
    "given",
    [
        {"lines": []},
        {"lines": [{"item": "a"}], "mode": "slow", "when": "2026-01-01T00:00:00Z"},
        {"lines": [{"item": "a", "count": "3"}], "when": None, "price": 1.5, "extra": {"a": 1}},
        {"lines": [], "price": "1.50", "anything": [{"b": None}]},
    ],
    ids=["least", "nested", "numbers as text", "anything"],
)
def test_what_the_code_accepts_passes(given: dict[str, Any]) -> None:
    PARAMETERS.decode(json.dumps(given))
    check_input("order", SCHEMA, given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "order: lines: missing; want lines: array, mode: string"),
        ({"lines": [], "linse": []}, "order: linse: unknown; want lines: array"),
        ({"lines": 3}, "order: lines: want array, not a number"),
        ({"lines": ["a"]}, "order: lines.0: want object, not a string"),
        ({"lines": [{"count": 1}]}, "order: lines.0.item: missing"),
        ({"lines": [{"item": None}]}, "order: lines.0.item: want string, not null"),
        ({"lines": [], "when": 7}, "order: when: want string or null"),
        ({"lines": [], "price": []}, "order: price: want number or string"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_it_cannot_accept_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_input("order", SCHEMA, given)
    assert str(caught.value).startswith(message)


def test_a_schema_that_says_nothing_refuses_nothing() -> None:
    check_input("order", {}, {"a": 1})

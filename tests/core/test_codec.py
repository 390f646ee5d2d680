"""The edge: what `jsonb` refuses is refused here, and the error names the field."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from saga.core import codec
from saga.core.codec import LIMITS, Limits
from saga.core.declare.definitions import StepDefinition
from saga.errors import DefinitionError, InvalidCall, InvalidInput
from saga.migrations.versions import r0002_functions


class Colour(StrEnum):
    RED = "red"


class Issue(BaseModel):
    text: str
    amount: float = 0.0
    tags: list[str] = []
    maybe: float | None = None


class Renamed(BaseModel):
    inner: int = Field(alias="outer")


@dataclass
class Point:
    x: float
    y: float


def _short(value: Any) -> str:
    nested = isinstance(value, (list, dict))
    return type(cast("Any", value)).__name__ if nested else repr(value)[:30]


REFUSED_TEXTS = [
    ('{"a":[1,{"b":NaN}]}', "in: a.1.b: NaN is not JSON"),
    ("[Infinity]", "in: 0: Infinity is not JSON"),
    ("-Infinity", "in: -Infinity is not JSON"),
    ('{"a":1e400}', "in: a: Infinity is not JSON"),
    ("[-1e400]", "in: 0: -Infinity is not JSON"),
    ('{"a":"x\\u0000"}', "in: a: the character NUL (\\u0000) cannot be stored"),
    ('{"\\u0000":1}', "in: \\x00: the character NUL (\\u0000) cannot be stored"),
    ('["\\ud800"]', "in: 0: a lone surrogate (\\ud800 to \\udfff) is not Unicode text"),
    ('{"a\\udfff":1}', "in: a\\udfff: a lone surrogate (\\ud800 to \\udfff) is not Unicode text"),
    ('{"a":{"b":1,"b":2}}', "in: a.b: this key is given twice"),
    ("[1", "in: not JSON: Expecting ',' delimiter: line 1 column 3 (char 2)"),
    ("", "in: not JSON: Expecting value: line 1 column 1 (char 0)"),
    ("[1,]", None),
    ("'a'", None),
    ('{"a":1}{', None),
    ("1" * 5000, None),
    ("[" * 100_000, "in: nested 100000 levels deep, at most 100 are stored"),
    ("[" * 100_000 + "]" * 100_000, "in: nested 100000 levels deep, at most 100 are stored"),
    ('{"a":' * 101 + "1" + "}" * 101, "in: nested 101 levels deep, at most 100 are stored"),
    ('"' + "x" * (1 << 20) + '"', "in: 1048578 bytes of JSON, at most 1048576 are stored"),
    ("\ud800", "in: a lone surrogate is not Unicode text"),
    (b'"\xff"', "in: not UTF-8"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED_TEXTS, ids=_short)
def test_refused_texts(text: str | bytes, why: str | None) -> None:
    with pytest.raises(InvalidInput) as caught:
        codec.check_json(text, "in")
    if why is None:
        assert str(caught.value).startswith("in: ")
    else:
        assert str(caught.value) == why
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "compact"),
    [
        ('{ "a" : [ 1, 2.5, null, true ] }', '{"a":[1,2.5,null,true]}'),
        ('"\\u00e9 \\ud83d\\ude00"', '"é 😀"'),
        (b'"\xc3\xa9"', '"é"'),
        ('"\\\\u0000 [[[["', '"\\\\u0000 [[[["'),
        ("[" * 100 + "]" * 100, "[" * 100 + "]" * 100),
        ('{"NaN":"Infinity"}', '{"NaN":"Infinity"}'),
        ('{"b":1,"a":2}', '{"b":1,"a":2}'),
        ("9" * 4000, "9" * 4000),
        ("1e300", "1e+300"),
    ],
    ids=_short,
)
def test_accepted_texts(text: str | bytes, compact: str) -> None:
    assert codec.check_json(text, "in") == compact


def test_limits_can_be_changed() -> None:
    assert codec.check_json("[[1]]", "in", Limits(size=5, depth=2)) == "[[1]]"
    with pytest.raises(InvalidInput, match="nested 2 levels deep, at most 1"):
        codec.check_json("[[1]]", "in", Limits(depth=1))
    with pytest.raises(InvalidInput, match="6 bytes of JSON, at most 5"):
        codec.check_json("[[12]]", "in", Limits(size=5))
    with pytest.raises(InvalidInput, match="at most 10"):
        codec.encode("x" * 20, "in", Limits(size=10))


def test_the_database_has_the_same_limits() -> None:
    assert f"> {LIMITS.size} THEN" in r0002_functions.CHECKS
    assert f"more than {LIMITS.depth} levels" in r0002_functions.CHECKS


_loop: list[Any] = []
_loop.append(_loop)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"a": [1.0, math.nan]}, "in: a.1: NaN is not JSON"),
        ({"a": None, "b": math.inf}, "in: b: Infinity is not JSON"),
        ("\0", "in: the character NUL (\\u0000) cannot be stored"),
        ({"\0": 1}, "in: \\x00: the character NUL (\\u0000) cannot be stored"),
        (["\ud800"], "in: 0: a lone surrogate (\\ud800 to \\udfff) is not Unicode text"),
        ({"a": {"\udfff": 1}}, "in: a.\\udfff: a lone surrogate"),
        (_loop, "in: 0.0."),
        ({"a": object()}, "in: Unable to serialize unknown type: <class 'object'>"),
        ([10**5000], "in: 0: a whole number of more than 4300 digits"),
        (b"\xff", "in: invalid utf-8"),
        ({"\u202e\n\x1b[31m": math.nan}, "in: \\u202e\\n\\x1b[31m: NaN is not JSON"),
    ],
    ids=_short,
)
def test_refused_values(value: Any, why: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        codec.encode(value, "in")
    assert str(caught.value).startswith(why)


def test_accepted_values() -> None:
    value = {"a": None, "é": "NaN null Infinity \\u0000 \t\x01", "b": [1, 2.5, True, 10**4000]}
    assert json.loads(codec.encode(value, "in")) == value


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
            inner,
            max_size=4,
        )
    ),
)


@given(_json)
def test_any_json_comes_back(value: Any) -> None:
    text = codec.encode(value, "in")
    assert json.loads(text) == value
    assert json.loads(codec.check_json(text, "in")) == value


@given(st.text() | st.binary())
def test_any_text_is_accepted_or_refused(text: str | bytes) -> None:
    try:
        compact = codec.check_json(text, "in")
    except InvalidInput:
        return
    assert codec.check_json(compact, "in") == compact


def _step(function: Any) -> StepDefinition[..., Any]:
    return StepDefinition(function, name="resolve_issue")


def test_arguments_by_parameter_name() -> None:
    def work(issue: Issue, times: int = 3, *, loud: bool = False) -> None: ...

    step = _step(work)
    text = step.parameters.encode((Issue(text="é"),), {})
    assert text == (
        '{"issue":{"text":"é","amount":0.0,"tags":[],"maybe":null},"times":3,"loud":false}'
    )
    assert step.decode_args(text) == {"issue": Issue(text="é"), "times": 3, "loud": False}
    assert step.parameters.encode(({"text": "x"}, "5"), {"loud": True}).endswith(
        '"times":5,"loud":true}'
    )


@pytest.mark.parametrize(
    ("issue", "why"),
    [
        (Issue(text="x", amount=math.nan), "resolve_issue: issue.amount: NaN is not JSON"),
        (Issue(text="x", maybe=math.inf), "resolve_issue: issue.maybe: Infinity is not JSON"),
        (
            Issue(text="\0"),
            "resolve_issue: issue.text: the character NUL (\\u0000) cannot be stored",
        ),
        (Issue(text="", tags=["a", "\ud800"]), "resolve_issue: issue.tags.1: a lone surrogate"),
        ({"text": 3}, "resolve_issue: issue.text: Input should be a valid string"),
        ({}, "resolve_issue: issue.text: Field required"),
        ("secret", "resolve_issue: issue: Input should be a valid dictionary or instance of Issue"),
        (Issue(text="x" * (1 << 20)), "resolve_issue: 10486"),
    ],
    ids=_short,
)
def test_refused_arguments_name_the_field(issue: Any, why: str) -> None:
    def work(issue: Issue) -> None: ...

    with pytest.raises(InvalidInput) as caught:
        _step(work).parameters.encode((issue,), {})
    assert str(caught.value).startswith(why)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("args", "kwargs", "why"),
    [
        ((), {}, "missing a required argument: 'issue'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"issue": 2}, "multiple values for argument 'issue'"),
        ((1,), {"isue": 2}, "got an unexpected keyword argument 'isue'"),
    ],
)
def test_a_wrong_call_names_step_and_parameter(
    args: tuple[Any, ...], kwargs: dict[str, Any], why: str
) -> None:
    def work(issue: int, times: int = 1) -> None: ...

    with pytest.raises(TypeError) as caught:
        _step(work).parameters.encode(args, kwargs)
    assert isinstance(caught.value, InvalidCall)
    want = "; want (issue: 'int', times: 'int' = 1)"
    assert str(caught.value) == f"resolve_issue: {why}{want}"


ROUND_TRIPS: list[tuple[Any, Any]] = [
    (int, 10**30),
    (float, -0.0),
    (str, "x"),
    (bool, True),
    (None, None),
    (bytes, b"\x00\xff"),
    (list[bytes], [b"\xff"]),
    (Issue, Issue(text="x", tags=["a"])),
    (Renamed, Renamed(outer=3)),
    (Point, Point(1.5, 2.0)),
    (dict[str, Point], {"a": Point(1, 2)}),
    (tuple[int, str], (1, "x")),
    (set[int], {1, 2}),
    (datetime, datetime(2026, 1, 1, 12, tzinfo=UTC)),
    (date, date(2026, 1, 1)),
    (timedelta, timedelta(days=3, microseconds=5)),
    (UUID, UUID(int=7)),
    (Decimal, Decimal("1.10")),
    (Colour, Colour.RED),
    (Literal["a", "b"], "b"),
    (Issue | Point | None, None),
    (dict[int, str], {1: "x"}),
    (Any, {"b": 1, "a": [None, 2.5]}),
    (Annotated[int, Field(ge=0)], 3),
]


@pytest.mark.parametrize(("type_", "value"), ROUND_TRIPS, ids=_short)
def test_typed_values_come_back(type_: Any, value: Any) -> None:
    def work(x: Any) -> Any: ...

    work.__annotations__ = {"x": type_, "return": type_}
    step = _step(work)
    back = step.decode_args(step.parameters.encode((value,), {}))["x"]
    again = step.decode_result(step.encode_result(value))
    assert (type(back), back) == (type(again), again) == (type(value), value)


def test_refused_results_name_the_field() -> None:
    def work() -> Issue: ...  # pyright: ignore[reportReturnType]

    step = _step(work)
    with pytest.raises(InvalidInput, match=r"^resolve_issue: result\.amount: NaN is not JSON$"):
        step.encode_result(Issue(text="x", amount=math.nan))
    with pytest.raises(InvalidInput, match=r"^resolve_issue: result: Input should be"):
        step.encode_result(3)
    with pytest.raises(InvalidInput, match=r"^resolve_issue: result\.text: Field required$"):
        step.decode_result("{}")


def test_functions_without_hints_take_any_json() -> None:
    names: dict[str, Any] = {}
    exec("def work(a, b=2, *rest, **more): return a, b, rest, more", names)
    step = _step(names["work"])
    text = step.parameters.encode((1, 2, 3, 4), {"x": [5]})
    assert text == '{"a":1,"b":2,"rest":[3,4],"more":{"x":[5]}}'
    assert step.call(step.decode_args(text)) == (1, 2, (3, 4), {"x": [5]})


def test_positional_only_parameters() -> None:
    def work(a: int, /, b: int) -> int:
        return a - b

    step = _step(work)
    assert step.call(step.decode_args(step.parameters.encode((5, 3), {}))) == 2


def test_parameters_that_were_added_since_have_their_default() -> None:
    def work(a: int, b: int = 7) -> int:
        return a + b

    step = _step(work)
    assert step.call(step.decode_args('{"a":1}')) == 8
    assert step.call(step.decode_args('{"a":1,"gone":2}')) == 8
    with pytest.raises(InvalidInput, match="resolve_issue: a: Field required"):
        step.decode_args("{}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "want a JSON object with (issue: 'int', times: 'int' = 1)"),
        ("{", "not JSON"),
        ('{"isue":1}', "isue: unknown; want (issue: 'int', times: 'int' = 1)"),
        ('{"times":1}', "issue: Field required"),
        ('{"issue":"many"}', "issue: Input should be a valid integer"),
        ('{"issue":1,"issue":2}', "issue: this key is given twice"),
        ('{"issue":NaN}', "issue: NaN is not JSON"),
    ],
)
def test_input_from_outside_is_checked(text: str, why: str) -> None:
    def work(issue: int, times: int = 1) -> None: ...

    parameters = _step(work).parameters
    assert parameters.check('{"issue": "5"}') == '{"issue":5,"times":1}'
    with pytest.raises(InvalidInput) as caught:
        parameters.check(text)
    assert str(caught.value).startswith(f"resolve_issue: {why}")


def test_hints_of_no_use_are_said_at_first_use() -> None:
    class Strange:
        pass

    def work(x: Any) -> None: ...

    work.__annotations__["x"] = Strange
    with pytest.raises(DefinitionError, match="resolve_issue: the type hints cannot become JSON"):
        _step(work).parameters.encode((1,), {})
    work.__annotations__["x"] = "Nowhere"
    with pytest.raises(DefinitionError, match="resolve_issue: a type hint cannot be resolved"):
        _step(work).parameters.encode((1,), {})

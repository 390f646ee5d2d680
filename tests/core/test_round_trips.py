"""What is written can be read back: it is refused where declared, or when written, or equal."""

from __future__ import annotations

import ipaddress
import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    Secret,
    SecretBytes,
    SecretStr,
    SerializeAsAny,
    StringConstraints,
    alias_generators,
    computed_field,
    field_serializer,
)
from typing_extensions import TypedDict

from saga.core import codec
from saga.core.declare.shapes import Shape
from saga.errors import DefinitionError, InvalidInput


class Animal(BaseModel):
    name: str
    age: int = 0


class Dog(Animal):
    breed: str = "lab"


class Cat(Animal):
    """Nothing more, and yet another animal."""


class Home(BaseModel):
    pets: list[Animal] = []
    by_name: dict[str, Animal] = {}
    favourite: Animal | None = None


class Tree(BaseModel):
    animal: Animal
    below: list[Tree] = []


class Paid(BaseModel):
    amount: int = Field(default=0, serialization_alias="amountOut")


class Parsed(BaseModel):
    first: str = Field(validation_alias="firstName")
    second: int = Field(default=1, validation_alias=AliasChoices("b", AliasPath("c", 0)))


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=alias_generators.to_camel, populate_by_name=True)
    first_name: str
    second: Paid = Paid()


class ByName(BaseModel):
    model_config = ConfigDict(validate_by_alias=False, validate_by_name=True)
    inner: int = Field(alias="outer")


class Crossed(BaseModel):
    a: int = Field(validation_alias="b")
    b: int = Field(validation_alias="a")


class Sealed(BaseModel):
    user: str
    token: SecretStr
    raw: SecretBytes = SecretBytes(b"\x01")
    pin: Secret[int] | None = None


class Wide(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int = 0


class Rounded(BaseModel):
    price: float

    @field_serializer("price")
    def short(self, value: float) -> float:
        return round(value, 2)


class Computed(BaseModel):
    side: int
    _seen: bool = PrivateAttr(False)

    @computed_field
    def area(self) -> int:
        return self.side**2


class Constrained(BaseModel):
    count: int = Field(default=1, gt=0)
    word: Annotated[str, StringConstraints(to_lower=True)] = "a"


class Zero(BaseModel):
    amount: float = 0  # which pydantic does not validate
    colour: str = "a"


class Colour(StrEnum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


class Mixed(Enum):
    A = 1
    B = "1"
    C = (1, 2)


class Flags(Flag):
    A = 1
    B = 2


class Valued(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    colour: Colour
    mixed: Mixed = Mixed.A


@dataclass
class Point:
    x: float
    y: float = 0.0


@dataclass
class Point3(Point):
    z: float = 0.0


@dataclass
class Derived:
    a: int
    b: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.b = self.a * 2


@dataclass
class Loose:
    a: int
    b: int = field(init=False, default=0)


@dataclass(eq=False, slots=True)
class Slotted:
    a: int
    when: datetime | None = None


@dataclass
class Opened:
    a: int
    key: InitVar[int] = 3
    made: int = field(init=False, default=0)

    def __post_init__(self, key: int) -> None:
        self.made = key


class Pair(NamedTuple):
    a: int
    b: Animal


class Options(TypedDict, total=False):
    a: int
    b: datetime


X = TypeVar("X")


class Box(BaseModel, Generic[X]):
    inside: X


class OfCat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class OfDog(BaseModel):
    kind: Literal["dog"] = "dog"
    lives: int = 1


Told = Annotated[OfCat | OfDog, Field(discriminator="kind")]
Louder = Annotated[str, AfterValidator(lambda text: text + "!")]
Shown = Annotated[int, PlainSerializer(lambda number: f"no. {number}")]
Read = Annotated[
    int,
    PlainSerializer(lambda number: f"no. {number}"),
    BeforeValidator(lambda text: int(str(text).removeprefix("no. "))),
]


def _short(value: object) -> str:
    shown = repr(value).replace("tests.core.test_round_trips", "")
    return re.sub(r"[^A-Za-z0-9 ]+", " ", shown)[:30]


def _assigned(loose: Loose) -> Loose:
    loose.b = 7
    return loose


BERLIN = ZoneInfo("Europe/Berlin")
TWICE = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Animal, Animal(name="a")),
        (Home, Home(pets=[Animal(name="a")], favourite=Animal(name="b"))),
        (Tree, Tree(animal=Animal(name="a"), below=[Tree(animal=Animal(name="b"))])),
        (Dog | Animal, Dog(name="rex")),
        (Flags, Flags.A | Flags.B),
        (Paid, Paid(amount=5)),
        (list[Parsed], [Parsed.model_validate({"firstName": "ann", "c": [7]})]),
        (Camel, Camel(first_name="a", second=Paid(amount=2))),
        (ByName, ByName.model_validate({"inner": 3})),
        (Wide, Wide.model_validate({"a": 1, "b": [1]})),
        (Rounded, Rounded(price=1.25)),
        (Computed, Computed(side=2)),
        (Zero, Zero()),
        (Zero, Zero.model_construct(amount=1, colour=Colour.RED)),
        (Valued, Valued(colour=Colour.RED, mixed=Mixed.B)),
        (Point | None, Point(1)),
        (Derived, Derived(3)),
        (Slotted, Slotted(3, datetime(2026, 1, 1, tzinfo=UTC))),
        (Pair, Pair(1, Animal(name="a"))),
        (Options, {"b": TWICE}),
        (Box[int], Box[int](inside=3)),
        (Box[Any], Box[Any](inside=(1, {2: None}))),
        (Told, OfDog()),
        (Read, 3),
        (int | str, "1"),
        (bool | int | str, 1),
        (float | int, 1.0),
        (Decimal, Decimal("1.10")),
        (dict[UUID, Colour], {UUID(int=3): Colour.RED}),
        (dict[bool, int], {True: 1}),
        (datetime, TWICE),
        (datetime, datetime(2026, 1, 1)),  # noqa: DTZ001
        (timedelta, timedelta.max),
        (deque[int], deque([1])),
        (Sequence[int], (1, 2)),
        (ipaddress.IPv4Network, ipaddress.IPv4Network("10.0.0.0/8")),
        (Mixed, Mixed.B),
        (Annotated[str, StringConstraints(to_lower=True)], "a"),
        (set[tuple[int, str]], {(1, "a")}),
    ],
    ids=_short,
)
def test_comes_back(type_: Any, value: Any) -> None:
    shape = Shape[Any](lambda: type_, "x")
    text = shape.encode(value, "x")
    back = shape.decode(text, "x")
    assert shape.encode(back, "x") == text
    if value == TWICE:
        assert (back.timestamp(), back.hour) == (value.timestamp(), value.hour)
    elif not isinstance(value, (Slotted, Box, tuple, dict)) and value != Zero():
        assert (type(back), back) == (type(value), value)


@pytest.mark.parametrize(
    ("type_", "value", "why"),
    [
        (Animal, Dog(name="rex"), "result: a Dog would come back as an Animal"),
        (Animal, Cat(name="tom"), "result: a Cat would come back as an Animal"),
        (list[Animal], [Dog(name="rex")], "result.0: a Dog would"),
        (dict[str, Animal], {"a": Dog(name="rex")}, "result.a: a Dog would"),
        (Animal | None, Dog(name="rex"), "result: a Dog would"),
        (Animal | Point, Dog(name="rex"), "result: a Dog would"),
        (SerializeAsAny[Animal], Dog(name="rex"), "result: a Dog would"),
        (Home, Home(pets=[Dog(name="rex")]), "result.pets.0: a Dog would"),
        (Home, Home(by_name={"x": Dog(name="rex")}), "result.by_name.x: a Dog would"),
        (Home, Home(favourite=Dog(name="rex")), "result.favourite: a Dog would"),
        (Tree, Tree(animal=Animal(name=""), below=[Tree(animal=Dog(name=""))]), "below.0.animal"),
        (Point, Point3(1, 2, 3), "result: a Point3 would come back as a Point"),
        (tuple[Point, ...], (Point3(1),), "result.0: a Point3 would"),
        (Pair, Pair(1, Dog(name="")), "result.1: a Dog would"),
        (Options | Animal, Dog(name=""), "a Dog would"),
        (Crossed, Crossed.model_validate({"a": 1, "b": 2}), "result.a"),
        (Loose, _assigned(Loose(1)), "result.b: it would come back otherwise"),
        (Opened, Opened(1, 5), "result.made"),
        (Rounded, Rounded(price=1.2345), "result.price"),
        (Louder, "hey", "result: it would come back otherwise"),
        (Shown, 3, "Input should be a valid integer"),
        (set[int] | list[int], {1}, "result: a set would come back as a list"),
        (Animal, Animal.model_construct(age=1), "result.name: Field required"),
        (Animal, Animal.model_construct(name=3), "result.name: Input should be a valid string"),
        (Animal, Animal.model_construct(name="a", age="x"), "result.age"),
        (Home, Home.model_construct(pets=({},)), "result.pets"),
        (Constrained, Constrained.model_construct(count=-1), "result.count"),
        (Constrained, Constrained.model_construct(word="ABC"), "result.word"),
        (dict[tuple[int, int], str], {(1, 2): "x"}, "result.1,2"),
        (time, time(1, tzinfo=BERLIN), "result"),
        (datetime, datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=5))), "result"),
        (Valued, Valued(colour=Colour.RED), "result.mixed: a Mixed would come back as an int"),
        (Dog | Cat | Animal, Cat(name="tom"), "result: a Cat would come back as a Dog"),
        (dict[str, Any] | Secret[int], {"a": SecretStr("s")}, "result.a: a secret"),
        (Any, [Sealed(user="a", token=SecretStr("s"))], "result.0.token: a secret"),
        (Box[Any], Box[Any](inside=SecretStr("s")), "result.inside: a secret"),
        (float, math.nan, "result: "),
    ],
    ids=_short,
)
def test_refused_when_it_is_written(type_: Any, value: Any, why: str) -> None:
    shape = Shape[Any](lambda: type_, "pay", "result")
    with pytest.raises(InvalidInput) as caught:
        shape.encode(value, "pay")
    assert str(caught.value).startswith("pay: ")
    assert why in str(caught.value)


class Left(BaseModel):
    out: int = Field(default=0, exclude=True)
    other: Animal | None = None


class Deep(BaseModel):
    lefts: dict[str, list[Left]]


@dataclass
class Asked:
    key: InitVar[int]

    def __post_init__(self, key: int) -> None: ...


class Thing:
    pass


class Odd(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    thing: Thing


@pytest.mark.parametrize(
    ("type_", "why"),
    [
        (Left, "pay: what is written could not be read back: result.out: it is left out"),
        (Deep, "result.lefts.out: it is left out of what is written"),
        (int | Left, "result.out"),
        (Asked, "result.key: an InitVar is not kept"),
        (Odd, "result.thing: a Thing is no JSON"),
        (list[Callable[[], int]], "result: a function is no JSON"),
        (Iterable[int], "result: an iterable is gone once it was written: declare a list"),
        (type[int], "result: a class is no JSON"),
    ],
    ids=_short,
)
def test_refused_where_it_is_declared(type_: Any, why: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Shape[Any](lambda: type_, "pay", "result").examine()
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("type_", "value", "text"),
    [
        (SecretStr, SecretStr("hunter2"), '"hunter2"'),
        (SecretBytes, SecretBytes(b"\xff"), '"_w=="'),
        (Secret[int], Secret[int](3), "3"),
        (list[SecretStr | None], [SecretStr(""), None], '["",null]'),
        (dict[str, SecretStr], {"a": SecretStr("****")}, '{"a":"****"}'),
        (
            Sealed,
            Sealed(user="a", token=SecretStr("t"), pin=Secret[int](4)),
            '{"user":"a","token":"t","raw":"\\u0001","pin":4}',
        ),
    ],
    ids=_short,
)
def test_secrets_come_back(type_: Any, value: Any, text: str) -> None:
    shape = Shape[Any](lambda: type_, "x")
    assert shape.encode(value, "x") == text
    assert shape.decode(text, "x") == value
    assert shape.examine().secrets
    assert "****" not in repr(text) or value == {"a": SecretStr("****")}


def test_asterisks_that_are_none_of_ours() -> None:
    assert Shape[Any](lambda: str, "x").encode("**********", "x") == '"**********"'
    assert codec.encode({"a": "**********"}, "x") == '{"a":"**********"}'


def test_what_arrives_as_any_has_the_shapes_of_json() -> None:
    given: Any = {1: (2, {3}), "at": date(2026, 1, 1), "who": Dog(name="rex"), "how": Colour.RED}
    shape = Shape[Any](lambda: Any, "x")
    assert shape.decode(shape.encode(given, "x"), "x") == {
        "1": [2, [3]],
        "at": "2026-01-01",
        "who": {"name": "rex", "age": 0, "breed": "lab"},
        "how": "red",
    }


def test_plain_values_are_not_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is proven costs nothing more."""

    def refuse(*_: Any) -> None:
        raise AssertionError("read back")

    monkeypatch.setattr(Shape, "_hold_against", refuse)
    for type_, value in (
        (int, 1),
        (Any, (1,)),
        (list[str], ["a"]),
        (Animal, Animal(name="a")),
        (Home, Home(pets=[Animal(name="a")], favourite=Animal(name="b"))),
        (Tree, Tree(animal=Animal(name="a"), below=[Tree(animal=Animal(name="b"))])),
        (dict[str, Point], {"a": Point(1.5)}),
        (OfCat, OfCat()),
        (Wide | None, None),
        (Colour | None, Colour.RED),
    ):
        Shape[Any](lambda type_=type_: type_, "x").encode(value, "x")
    with pytest.raises(AssertionError, match="read back"):
        Shape[Any](lambda: Animal, "x").encode(Dog(name="rex"), "x")


# -- as a kind

_words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
_animals = st.builds(Animal, name=_words, age=st.integers(-9, 9))
_dogs = st.builds(Dog, name=_words, breed=_words)
_broken = st.builds(Animal.model_construct, name=st.none() | _words, age=_words | st.integers())
_leaves: st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]] = st.sampled_from(
    [
        (int, st.integers()),
        (bool, st.booleans()),
        (float, st.floats()),
        (str, _words),
        (bytes, st.binary(max_size=5)),
        (None, st.none()),
        (date, st.dates()),
        (datetime, st.datetimes(timezones=st.none() | st.timezones())),
        (time, st.times()),
        (timedelta, st.timedeltas()),
        (Decimal, st.decimals()),
        (UUID, st.builds(UUID, int=st.integers(0, 2**128 - 1))),
        (Path, st.builds(Path, st.from_regex("[a-z]{1,5}"))),
        (Colour, st.sampled_from(Colour)),
        (Number, st.sampled_from(Number)),
        (Mixed, st.sampled_from(Mixed)),
        (Literal["a", 1], st.sampled_from(["a", 1])),
        (Animal, _animals | _dogs | _broken),
        (Point, st.builds(Point, st.floats()) | st.builds(Point3, st.floats())),
        (Left, st.builds(Left, out=st.integers(0, 1))),
        (Paid, st.builds(Paid, amount=st.integers())),
        (Parsed, st.builds(Parsed, firstName=_words, b=st.integers())),
        (Camel, st.builds(Camel, first_name=_words)),
        (Valued, st.builds(Valued, colour=st.sampled_from(Colour))),
        (Rounded, st.builds(Rounded, price=st.floats())),
        (Wide, st.builds(Wide, a=st.integers(), b=st.integers())),
        (SecretStr, st.builds(SecretStr, _words)),
        (Sealed, st.builds(Sealed, user=_words, token=st.builds(SecretStr, _words))),
        (Pair, st.builds(Pair, st.integers(), _animals | _dogs)),
        (Options, st.fixed_dictionaries({}, optional={"a": st.integers(), "b": st.datetimes()})),
        (Told, st.builds(OfCat) | st.builds(OfDog)),
        (Louder, _words),
        (Read, st.integers(0, 99)),
    ]
)
_TypeAndValues = tuple[Any, st.SearchStrategy[Any]]


def _deeper(inner: st.SearchStrategy[_TypeAndValues]) -> st.SearchStrategy[_TypeAndValues]:
    def both(pair: tuple[_TypeAndValues, _TypeAndValues]) -> _TypeAndValues:
        (one, ones), (two, twos) = pair
        return one | two if one is not None or two is not None else None, ones | twos

    def hashable(made: _TypeAndValues) -> _TypeAndValues:
        return tuple[made[0], ...], st.lists(made[1], max_size=3).map(tuple)

    return st.one_of(
        inner.map(lambda made: (list[made[0]], st.lists(made[1], max_size=3))),
        inner.map(lambda made: (dict[str, made[0]], st.dictionaries(_words, made[1], max_size=3))),
        inner.map(lambda made: (Box[made[0]], made[1].map(lambda v: Box[made[0]](inside=v)))),
        inner.map(hashable),
        st.tuples(inner, inner).map(both),
    )


def _equal(one: Any, other: Any) -> bool:
    """Written otherwise than `difference`, which is what is tested here."""
    if isinstance(other, SecretStr):
        other = type(one)(other.get_secret_value())  # a union may take a text for a secret
    if type(one) is not type(other):
        return isinstance(one, (str, int, float)) and one == other
    if isinstance(one, BaseModel):
        return _equal(dict(one), dict(other))
    if isinstance(one, dict):
        pairs: list[tuple[Any, Any]] = [*cast("dict[Any, Any]", one).items()]
        return len(pairs) == len(other) and all(_equal(part, other[key]) for key, part in pairs)
    if isinstance(one, (list, tuple)):
        parts: list[Any] = [*cast("list[Any]", one)]
        return len(parts) == len(other) and all(map(_equal, parts, other))
    if isinstance(one, datetime):
        return one.isoformat() == other.isoformat()
    return bool(one == other)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(st.data())
def test_refused_or_read_back_equal(data: st.DataObject) -> None:
    type_, values = data.draw(st.recursive(_leaves, _deeper, max_leaves=4))
    shape = Shape[Any](lambda: type_, "x")
    try:
        shape.examine()
    except DefinitionError:
        return
    try:
        value = data.draw(values)
    except ValueError:  # no value of a model
        return
    try:
        text = shape.encode(value, "x")
    except InvalidInput:
        return
    back = shape.decode(text, "x")
    if not shape.examine().is_open:  # where it is, JSON's shapes will do
        assert _equal(value, back), (value, text, back)
    assert shape.encode(back, "x") == text

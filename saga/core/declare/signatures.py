"""A function's parameters as a JSON object by name, and back."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    NotRequired,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import ConfigDict, PydanticUserError, TypeAdapter
from typing_extensions import TypedDict  # pydantic refuses typing's own before Python 3.12

from saga.core import codec
from saga.core.declare.shapes import Shape
from saga.errors import DefinitionError, InvalidCall, InvalidInput


class Parameters:
    """The parameters of one function: bind a call, write it as JSON, read it back."""

    __slots__ = ("_function", "_namespace", "_plain_names", "label", "result", "shape", "signature")

    def __init__(
        self, function: Callable[..., Any], label: str, namespace: Mapping[str, Any] | None = None
    ) -> None:
        """`label` starts every error; `namespace` resolves hints of functions inside functions."""
        self._function = function
        self.label = label
        self._namespace = namespace
        self.signature = inspect.signature(function)
        kinds = {parameter.kind for parameter in self.signature.parameters.values()}
        simple = kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD}
        self._plain_names = tuple(self.signature.parameters) if simple else None
        self.shape: Shape[dict[str, Any]] = Shape(self._arguments_type, label)
        self.result: Shape[Any] = Shape(self._result_type, label, "result")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters, in order."""
        return tuple(self.signature.parameters)

    def encode(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """A call's arguments as JSON by parameter name, defaults included."""
        names = self._plain_names
        if names is not None and not kwargs and len(args) == len(names):
            values = dict(zip(names, args, strict=True))
        else:
            values = self.bind(args, kwargs)
        return self.shape.encode(values, self.label)

    def encode_given(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """A call's arguments as JSON without any defaults, a model's included."""
        given = self._bound(args, kwargs).arguments
        return self.shape.encode(given, self.label, only_set=True)

    def decode(self, text: str) -> dict[str, Any]:
        """Typed values by parameter name; one with a default may be missing."""
        return self.shape.decode(text, self.label)

    def check(self, text: str | bytes) -> str:
        """JSON from outside, by parameter name, checked and with the defaults filled in."""
        value = codec.check_text(text, self.label)
        if not value.startswith("{"):
            raise InvalidInput(f"{self.label}: want a JSON object with {self._wanted()}")
        given: dict[str, Any] = codec.parse(value)
        unknown = [name for name in given if name not in self.signature.parameters]
        if unknown:
            raise InvalidInput(f"{self.label}: {unknown[0]}: unknown; want {self._wanted()}")
        return self.shape.encode(self._with_defaults(self.decode(value)), self.label)

    def renewed(self, text: str) -> str | None:
        """Stored arguments as a call with the same would write them today; None: none could."""
        if not codec.parse(text).keys() <= self.signature.parameters.keys():
            return None
        try:
            return self.shape.encode(self._with_defaults(self.decode(text)), self.label)
        except InvalidInput:
            return None

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments by parameter name, defaults included; empty where a type
        has none.
        """
        try:
            schema = TypeAdapter(self._arguments_type()).json_schema()
        except PydanticUserError:
            return {}
        hints = self._hints()
        for name, value in self._with_defaults({}).items():
            shape = Shape[Any](functools.partial(hints.get, name, Any), self.label)
            with suppress(InvalidInput):  # a call that leaves it out will say so
                schema["properties"][name]["default"] = codec.parse(shape.encode(value, self.label))
        return schema

    def result_schema(self) -> dict[str, Any]:
        """The JSON Schema of what is returned; empty where the type has none."""
        try:
            return TypeAdapter(self._result_type()).json_schema()
        except PydanticUserError:
            return {}

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The values by parameter name; InvalidCall if the call does not fit the signature."""
        bound = self._bound(args, kwargs)
        bound.apply_defaults()
        return bound.arguments

    def _bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        try:
            return self.signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise InvalidCall(f"{self.label}: {exc}; want {self._wanted()}") from None

    def admits_none(self, name: str) -> bool:
        """Whether the hint of a parameter leaves room for None; one that cannot be read does."""
        try:
            return _admits_none(self._hints().get(name, Any))
        except DefinitionError:
            return True

    def call(self, function: Callable[..., Any], values: dict[str, Any]) -> Any:
        """Call `function` with values by parameter name, whatever kinds the parameters have."""
        if self._plain_names is not None:
            return function(**values)
        bound = inspect.BoundArguments(self.signature, cast("Any", dict(values)))
        return function(*bound.args, **bound.kwargs)

    def _with_defaults(self, values: dict[str, Any]) -> dict[str, Any]:
        for name, parameter in self.signature.parameters.items():
            if name not in values and parameter.default is not parameter.empty:
                values[name] = parameter.default
        return values

    def _wanted(self) -> str:
        text = str(self.signature.replace(return_annotation=inspect.Signature.empty))
        return text if text != "()" else "no arguments"

    def _hints(self) -> dict[str, Any]:
        try:
            return get_type_hints(self._function, None, self._namespace, include_extras=True)
        except (NameError, TypeError, SyntaxError) as exc:
            raise DefinitionError(f"{self.label}: a type hint cannot be resolved: {exc}") from exc

    def _result_type(self) -> Any:
        return self._hints().get("return", Any)

    def _arguments_type(self) -> Any:
        hints = self._hints()
        fields: dict[str, Any] = {}
        for name, parameter in self.signature.parameters.items():
            hint = hints.get(name, Any)
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                hint = NotRequired[list[hint]]
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                hint = NotRequired[dict[str, hint]]
            elif parameter.default is not parameter.empty:
                hint = NotRequired[hint]
            fields[name] = hint
        made = cast("Any", TypedDict)("Arguments", fields)
        # pydantic's validator asks the TypedDict for this, its serialiser asks whoever calls it.
        made.__pydantic_config__ = ConfigDict(val_json_bytes="base64")
        return made


def _admits_none(hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Annotated:
        return _admits_none(get_args(hint)[0])
    if origin in (Union, UnionType):
        return any(map(_admits_none, get_args(hint)))
    if hasattr(hint, "__value__"):  # `type Name = ...` of Python 3.12
        return _admits_none(hint.__value__)
    return hint in (Any, object, None, NoneType) or isinstance(hint, TypeVar)

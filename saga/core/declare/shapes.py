"""A type as JSON and back: pydantic's validator and serialiser, built once, at first use."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import (
    CoreConfig,
    CoreSchema,
    PydanticSerializationError,
    SchemaSerializer,
    SchemaValidator,
)

from saga.core import codec
from saga.errors import DefinitionError, InvalidInput

T = TypeVar("T")

# NaN becomes a word that is looked for, and not silently null; a model's own settings still hold.
_CONFIG = CoreConfig(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")
_READABLE: dict[str, Any] = {"by_alias": True, "round_trip": True, "warnings": False}


class Shape(Generic[T]):
    """One type that is stored as JSON."""

    __slots__ = ("_build", "_check", "_plain", "_read", "_write")

    def __init__(self, build: Callable[[], Any], field: str) -> None:
        """`build` gives the type hint; it is called at first use. `field` is for errors."""
        self._build = functools.partial(_schema, build, field)
        self._check: Callable[[Any], T] = self._first_check
        self._read: Callable[[str], T] = self._first_read
        self._write: Callable[[T], bytes] = self._unbuilt
        self._plain: Callable[[T], object] = self._unbuilt

    def encode(self, value: Any, field: str, path: str = "") -> str:
        """Validate and serialise; InvalidInput names `field` and what is below `path`."""
        try:
            clean = self._check(value)
        except ValidationError as exc:
            raise InvalidInput(explain(exc, field, path)) from None
        except (ValueError, RecursionError) as exc:
            raise codec.refusal(value, field, exc, path) from None
        try:
            data = self._write(clean)
        except (PydanticSerializationError, ValueError, RecursionError) as exc:
            raise codec.refusal(self._as_far_as_it_goes(clean), field, exc, path) from None
        return codec.vet(data, lambda: self._plain(clean), field, path)

    def decode(self, text: str, field: str, path: str = "") -> T:
        """The typed value of a JSON text; InvalidInput if it does not fit."""
        try:
            return self._read(text)
        except ValidationError as exc:
            raise InvalidInput(explain(exc, field, path)) from None

    def _as_far_as_it_goes(self, value: T) -> object:
        try:
            return self._plain(value)
        except Exception:
            return value

    def build(self) -> None:
        """Build validator and serialiser now: DefinitionError if the hint is of no use."""
        schema = self._build()
        writer, reader = SchemaSerializer(schema, _CONFIG), SchemaValidator(schema, _CONFIG)
        # The aliases and the round trip make what is written readable again by the same type.
        self._write = functools.partial(writer.to_json, **_READABLE)
        self._plain = functools.partial(writer.to_python, **_READABLE)
        self._check = reader.validate_python
        self._read = reader.validate_json

    def _first_check(self, value: Any) -> T:
        self.build()
        return self._check(value)

    def _first_read(self, text: str) -> T:
        self.build()
        return self._read(text)

    def _unbuilt(self, _: Any) -> Any:
        raise AssertionError("a value is checked before it is written")


def explain(exc: ValidationError, field: str, path: str = "") -> str:
    """A validation error as one line that names paths and holds no values."""
    errors = exc.errors(include_url=False, include_context=False, include_input=False)
    lines: list[str] = []
    for error in errors[:3]:
        below = ".".join(part for part in (path, *map(str, error["loc"])) if part)
        lines.append(codec.join(below, error["msg"]))
    more = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
    return codec.join(field, "; ".join(lines)) + more


def _schema(build: Callable[[], Any], field: str) -> CoreSchema:
    try:
        return TypeAdapter[Any](build()).core_schema
    except (PydanticUserError, NameError) as exc:
        reason = str(exc).splitlines()[0]
        raise DefinitionError(f"{field}: the type hints cannot become JSON: {reason}") from exc


@functools.lru_cache(maxsize=512)
def _cached(hint: Any) -> Shape[Any]:
    return Shape(lambda: hint, repr(hint))


def shape_of(hint: Any) -> Shape[Any]:
    """The shape of a type given at run time, as `signal(name, type)` does."""
    try:
        return _cached(hint)
    except TypeError:  # a hint that cannot be hashed
        return Shape(lambda: hint, repr(hint))

"""A type as JSON and back: pydantic's validator and serialiser, built once, at first use."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import (
    CoreConfig,
    CoreSchema,
    PydanticSerializationError,
    SchemaSerializer,
    SchemaValidator,
    core_schema,
)

from saga.core import codec
from saga.core.declare.difference import difference
from saga.core.declare.findings import Findings, examine, is_secret
from saga.core.declare.plain import Plain, always
from saga.core.sets import in_order, may_hold_sets
from saga.errors import DefinitionError, InvalidInput

T = TypeVar("T")

# NaN becomes a word that is looked for, and not silently null; a model's own settings still hold.
_CONFIG = CoreConfig(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")


class Shape(Generic[T]):
    """One type that is stored as JSON."""

    __slots__ = (
        "_build",
        "_check",
        "_findings",
        "_has_floats",
        "_is_plain",
        "_may_hold_sets",
        "_path",
        "_plain",
        "_read",
        "_write",
        "_write_set",
    )

    def __init__(self, build: Callable[[], Any], field: str, path: str = "") -> None:
        """`build` gives the type hint; it is called at first use. `field` is for errors, in which
        the type stands below `path`.
        """
        self._build = functools.partial(_schema, build, field)
        self._path = path
        self._findings: Findings | None = None
        self._may_hold_sets = True
        self._check: Callable[[Any], T] = self._first_check
        self._read: Callable[[str], T] = self._first_read
        self._write: Callable[[T], bytes] = self._unbuilt
        self._write_set: Callable[[T], bytes] = self._unbuilt
        self._plain: Callable[[T], object] = self._unbuilt
        self._is_plain: Plain | None = None
        self._has_floats = True

    def encode(self, value: Any, field: str, only_set: bool = False) -> str:
        """Validate and serialise; InvalidInput names `field` and what is below, also if it would
        not be read back as it is. `only_set`: without what is there by default.
        """
        path = self._path
        try:
            clean = self._check(value)
        except ValidationError as exc:
            raise InvalidInput(explain(exc, field, path)) from None
        except (ValueError, RecursionError) as exc:
            raise codec.refusal(value, field, exc, path) from None
        try:
            data = self._write_set(clean) if only_set else self._write(clean)
        except (PydanticSerializationError, ValueError, RecursionError) as exc:
            raise codec.refusal(self._as_far_as_it_goes(clean), field, exc, path) from None
        is_plain = self._is_plain is None or self._is_plain(clean)
        suspicious = self._has_floats or not is_plain
        text = codec.vet(data, self._plain, clean, field, path, None, suspicious)
        if not is_plain and not only_set:
            self._hold_against(clean, text, field)
        return in_order(clean, text) if self._may_hold_sets else text

    def decode(self, text: str, field: str) -> T:
        """The typed value of a JSON text; InvalidInput if it does not fit."""
        try:
            return self._read(text)
        except ValidationError as exc:
            raise InvalidInput(explain(exc, field, self._path)) from None

    def _hold_against(self, clean: T, text: str, field: str) -> None:
        """What cannot be read back must not be stored: its effect would stand, and nobody know it.

        So pydantic's warnings, of values that do not fit their type, are not needed.
        """
        try:
            back = self._read(text)
        except ValidationError as exc:
            why = explain(exc, "", self._path)
        else:
            fault = difference(clean, back, self.examine().is_open, self._path)
            if fault is not None:
                why = codec.join(*fault)
            elif in_order(back, self._write(back).decode()) == in_order(clean, text):
                return
            else:
                why = "another type of its union reads it"
        raise InvalidInput(f"{field}: cannot be read back from JSON: {why}")

    def _as_far_as_it_goes(self, value: T) -> object:
        try:
            return self._plain(value)
        except Exception:
            return value

    def examine(self) -> Findings:
        """What is known of the type; builds it. Raises DefinitionError if the hint is of no use or
        no value of it could be read back.
        """
        if self._findings is None:
            self._findings = self._built()
        return self._findings

    def _built(self) -> Findings:
        field, schema = self._build()
        findings = examine(schema, self._path)
        self._may_hold_sets = may_hold_sets(schema)
        if findings.losses:
            why = "; ".join(dict.fromkeys(findings.losses))
            raise DefinitionError(f"{field}: what is written could not be read back: {why}")
        writer, reader = _writer(schema, findings), SchemaValidator(schema, _CONFIG)
        # The names and the round trip make what is written readable again by the same type.
        how: dict[str, Any] = {"round_trip": True, "by_alias": not findings.is_renamed}
        how["warnings"] = False
        self._write = functools.partial(writer.to_json, **how)
        self._write_set = functools.partial(writer.to_json, exclude_unset=True, **how)
        self._plain = functools.partial(writer.to_python, **how)
        self._check = reader.validate_python
        self._read = reader.validate_json
        if findings.is_renamed:
            self._read = functools.partial(reader.validate_json, by_alias=True, by_name=True)
        self._is_plain = None if findings.plain is always else findings.plain
        self._has_floats = findings.has_floats
        return findings

    def _first_check(self, value: Any) -> T:
        self.examine()
        return self._check(value)

    def _first_read(self, text: str) -> T:
        self.examine()
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


def _schema(build: Callable[[], Any], field: str) -> tuple[str, CoreSchema]:
    try:
        return field, TypeAdapter[Any](build()).core_schema
    except (PydanticUserError, NameError) as exc:
        reason = str(exc).splitlines()[0]
        raise DefinitionError(f"{field}: the type hints cannot become JSON: {reason}") from exc


def _writer(schema: CoreSchema, findings: Findings) -> SchemaSerializer:
    """A serialiser that writes secrets as they are.

    Each model has one of its own, which would write asterisks: those are not to be used then.
    """
    if not findings.secrets:
        return SchemaSerializer(schema, _CONFIG)
    return cast("Any", SchemaSerializer)(_revealing(schema), _CONFIG, _use_prebuilt=False)


def _revealing(schema: Any) -> Any:
    if isinstance(schema, (list, tuple)):
        parts = cast("list[Any]", schema)
        return type(parts)(map(_revealing, parts))
    if not isinstance(schema, dict):
        return schema
    known = cast("dict[str, Any]", schema)
    if not is_secret(known):
        return {key: _revealing(part) for key, part in known.items()}
    inner = known["json_schema"]["schema"]
    written = core_schema.plain_serializer_function_ser_schema(_reveal, return_schema=inner)
    return {**known, "serialization": written}


def _reveal(secret: Any) -> Any:
    return secret.get_secret_value()


@functools.lru_cache(maxsize=512)
def _cached(hint: Any) -> Shape[Any]:
    return Shape(lambda: hint, repr(hint))


def shape_of(hint: Any) -> Shape[Any]:
    """The shape of a type given at run time, as `signal(name, type)` does."""
    try:
        return _cached(hint)
    except TypeError:  # a hint that cannot be hashed
        return Shape(lambda: hint, repr(hint))

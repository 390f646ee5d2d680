"""What pydantic's core schema says about writing a type's values as JSON and reading them back.

What can never be read back is a loss, said where the type is declared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum, Flag
from types import NoneType
from typing import Any, cast, get_origin
from uuid import UUID

from saga.core.declare.plain import (
    Instance,
    Later,
    OfType,
    Plain,
    always,
    dict_of,
    list_of,
    never,
    typed_dict_of,
)

Schema = Mapping[str, Any]


@dataclass(slots=True)
class Findings:
    """What the schema of a type says about writing its values as JSON and reading them back."""

    plain: Plain
    losses: list[str] = field(default_factory=list[str])
    secrets: list[str] = field(default_factory=list[str])
    """The paths of SecretStr and the like."""
    is_open: bool = False
    """Somewhere it takes `Any`, or any sequence: what arrives there has JSON's shapes."""
    has_floats: bool = False
    """Or something that may be one: NaN is to be looked for."""
    is_renamed: bool = False
    """A field is written by a name by which it is not read."""


def examine(schema: Schema, path: str = "") -> Findings:
    """What is known of the type with this core schema, below `path`."""
    findings = Findings(never)
    findings.plain = _Walk(findings).look(schema, path, held=False)
    return findings


def is_secret(schema: Schema) -> bool:
    """Whether pydantic writes asterisks here."""
    function = schema.get("serialization", {}).get("function")
    return getattr(function, "__name__", "").startswith("_serialize_secret")


_SCALARS: dict[str, type] = {
    "none": NoneType,
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "uuid": UUID,
    "date": date,
}
_UNLIKE = ("none", "bool", "int", "str")  # JSON tells them apart
_BARE = frozenset({"type", "metadata", "ref"})
_HARMLESS = frozenset({"title", "extra_fields_behavior", "frozen", "from_attributes"})
_PARSED = ("function-before", "function-wrap", "chain")  # what is below need not read JSON itself
_NOT_READ = ("python_schema", "strict_schema", "serialization", "metadata", "config")
_PYTHON_ONLY = {
    "is-instance": "a {} is no JSON",
    "is-subclass": "a class is no JSON",
    "callable": "a function is no JSON",
    "generator": "an iterable is gone once it was written: declare a list",
}


class _Walk:
    """`held`: below an instance that was not validated with what contains it."""

    def __init__(self, findings: Findings) -> None:
        self._found = findings
        self._definitions: dict[str, Schema] = {}
        self._known: dict[tuple[str, bool], Later] = {}
        self._by_kind: dict[str, Callable[[Schema, str, bool], Plain]] = {
            "any": self._any,
            "nullable": self._nullable,
            "default": lambda schema, path, held: self.look(schema["schema"], path, held),
            "list": self._list,
            "tuple": self._tuple,
            "set": self._set,
            "frozenset": self._set,
            "dict": self._dict,
            "union": self._union,
            "enum": self._enum,
            "literal": self._literal,
            "typed-dict": self._typed_dict,
            "model": self._instance,
            "dataclass": self._instance,
            "definitions": self._enter,
            "definition-ref": self._reference,
            "json-or-python": self._json,
        }

    def look(self, schema: Schema, path: str, held: bool) -> Plain:
        kind: str = schema["type"]
        if is_secret(schema):
            self._found.secrets.append(path)
            return never
        if kind in _PYTHON_ONLY:
            self._lose(path, _PYTHON_ONLY[kind].format(schema.get("cls_repr") or _name(schema)))
            return never
        if "serialization" in schema and not _takes_any_sequence(schema):
            return self._below(schema, path)
        if kind in _SCALARS:
            self._found.has_floats |= kind == "float"
            if not held:
                return always
            return OfType(_SCALARS[kind]) if schema.keys() <= _BARE else never
        return self._by_kind.get(kind, self._unknown)(schema, path, held)

    def _lose(self, path: str, why: str) -> None:
        self._found.losses.append(f"{path}: {why}" if path else why)

    def _unknown(self, schema: Schema, path: str, _: bool) -> Plain:
        return self._below(schema, path)

    def _below(self, schema: Schema, path: str) -> Plain:
        """Only for losses and secrets, and so that what is below may be open."""
        is_parsed = schema["type"] in _PARSED
        for child in _children(schema):
            if not (is_parsed and child["type"] in _PYTHON_ONLY):
                self.look(child, path, held=True)
        for name, below in _named(schema):
            self._field(name, below, path, held=True)
        return never

    def _any(self, *_: Any) -> Plain:
        self._found.is_open = self._found.has_floats = True
        return always

    def _json(self, schema: Schema, path: str, held: bool) -> Plain:
        if _takes_any_sequence(schema):
            self._found.is_open = True
        if schema["json_schema"]["type"] == "any":
            return self.look(schema["json_schema"], path, held)
        return self._below(schema, path)

    def _nullable(self, schema: Schema, path: str, held: bool) -> Plain:
        plain = self.look(schema["schema"], path, held)
        if plain is always:
            return always
        if isinstance(plain, OfType):
            return OfType(NoneType, *plain.types)
        return lambda value: value is None or plain(value)

    def _list(self, schema: Schema, path: str, held: bool) -> Plain:
        plain = self.look(schema.get("items_schema", _ANY), path, held)
        if plain is always:
            return OfType(list) if held else always
        return list_of(plain)

    def _tuple(self, schema: Schema, path: str, held: bool) -> Plain:
        items = [self.look(item, path, held) for item in schema["items_schema"]]
        return always if not held and all(plain is always for plain in items) else never

    def _set(self, schema: Schema, path: str, held: bool) -> Plain:
        items: Schema = schema.get("items_schema", _ANY)
        self.look(items, path, held)
        return always if not held and items["type"] in _SCALARS else never

    def _dict(self, schema: Schema, path: str, held: bool) -> Plain:
        keys: Schema = schema.get("keys_schema", _ANY)
        self.look(keys, path, held)
        plain = self.look(schema.get("values_schema", _ANY), path, held)
        if keys["type"] == "any":
            return plain if plain is always and not held else never
        if keys["type"] not in ("str", "int") or not keys.keys() <= _BARE:
            return never
        if plain is always and not held:
            return always
        return dict_of(_SCALARS[keys["type"]], plain)

    def _union(self, schema: Schema, path: str, held: bool) -> Plain:
        choices = list(_children({"choices": schema["choices"]}))
        for choice in choices:
            self.look(choice, path, held)
        told_apart = all(c["type"] in _UNLIKE and c.keys() <= _BARE for c in choices)
        if not told_apart or schema.get("mode") == "left_to_right":
            return never
        return OfType(*(_SCALARS[c["type"]] for c in choices)) if held else always

    def _enum(self, schema: Schema, _: str, held: bool) -> Plain:
        values: set[type] = {type(member.value) for member in cast("list[Enum]", schema["members"])}
        if issubclass(schema["cls"], Flag) or "missing" in schema or values not in ({str}, {int}):
            return never
        return OfType(schema["cls"]) if held else always

    def _literal(self, schema: Schema, _: str, held: bool) -> Plain:
        words = frozenset(cast("list[Any]", schema["expected"]))
        if not {str, int}.issuperset(map(type, words)):
            return never
        return (lambda value: type(value) in (str, int) and value in words) if held else always

    def _enter(self, schema: Schema, path: str, held: bool) -> Plain:
        self._definitions.update({below["ref"]: below for below in schema["definitions"]})
        return self.look(schema["schema"], path, held)

    def _reference(self, schema: Schema, path: str, held: bool) -> Plain:
        name: str = schema["schema_ref"]
        known = self._known.get((name, held))
        if known is None:
            known = self._known[name, held] = Later()
            known.plain = self.look(self._definitions[name], path, held)
        return always if known.plain is always else known

    def _typed_dict(self, schema: Schema, path: str, held: bool) -> Plain:
        self._note_extras(schema)
        fields = {n: self._field(n, below, path, held) for n, below in _named(schema)}
        if held:
            return never
        doubtful = [(name, plain) for name, plain in fields.items() if plain is not always]
        return typed_dict_of(doubtful) if doubtful else always

    def _instance(self, schema: Schema, path: str, _: bool) -> Plain:
        inner: Schema = schema["schema"]
        config = {**schema.get("config", {}), **inner.get("config", {})}
        self._note_extras({**inner, "config": config})
        has_own_ways = any(
            schema.get(what) for what in ("custom_init", "post_init", "root_model", "slots")
        )
        if has_own_ways or inner["type"] not in ("model-fields", "dataclass-args"):
            return self._below(schema, path)
        fields = {n: self._field(n, below, path, held=True) for n, below in _named(inner)}
        extra = inner.get("extra_behavior") or config.get("extra_fields_behavior")
        if extra == "allow" or not config.keys() <= _HARMLESS or never in fields.values():
            return never
        return Instance(schema["cls"], fields)

    def _note_extras(self, schema: Schema) -> None:
        config = schema.get("config", {})
        if "allow" in (schema.get("extra_behavior"), config.get("extra_fields_behavior")):
            self._found.is_open = True
        if config.get("validate_by_alias") is False:
            self._found.is_renamed = True

    def _field(self, name: str, schema: Schema, path: str, held: bool) -> Plain:
        where = f"{path}.{name}" if path else name
        if schema.get("serialization_exclude"):
            self._lose(where, "it is left out of what is written (exclude=True)")
        if schema.get("init_only") and schema["schema"]["type"] != "default":
            self._lose(where, "an InitVar is not kept, and is asked for on reading")
        plain = self.look(schema["schema"], where, held)
        written, read = (
            schema.get("serialization_alias", name),
            schema.get("validation_alias", name),
        )
        if written != read:
            self._found.is_renamed |= [written] not in (
                [read] if isinstance(read[0], str) else read
            )
            return never
        odd = schema.get("serialization_exclude_if") or schema.get("init_only")
        return never if odd or schema.get("init") is False else plain


_ANY: Schema = {"type": "any"}


def _children(schema: Schema) -> Iterator[Schema]:
    for key, value in schema.items():
        if key in _NOT_READ:
            continue
        parts: Iterable[Any] = (value,)
        if key == "choices" and isinstance(value, Mapping):
            parts = cast("Mapping[str, Any]", value).values()
        elif isinstance(value, (list, tuple)):
            parts = cast("Sequence[Any]", value)
        for part in parts:
            one = cast("Any", part[0] if isinstance(part, tuple) and part else part)
            if isinstance(one, Mapping) and "type" in one and not _is_field(cast("Schema", one)):
                yield cast("Schema", one)


def _named(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """The fields of a model, a typed dict, a dataclass, a named tuple, or arguments."""
    fields = schema.get("fields", schema.get("arguments_schema"))
    if isinstance(fields, Mapping):
        yield from cast("Mapping[str, Schema]", fields).items()
    elif isinstance(fields, list):
        for below in cast("list[Any]", fields):
            if isinstance(below, Mapping) and "schema" in below:
                yield cast("Schema", below)["name"], cast("Schema", below)


def _is_field(schema: Schema) -> bool:
    return str(schema["type"]).endswith("-field")


def _takes_any_sequence(schema: Schema) -> bool:
    """`Sequence`, which is written as a list and comes back as one."""
    python: Schema = schema.get("python_schema", {})
    first: Schema = python.get("steps", [python])[0]
    return first.get("type") == "is-instance" and get_origin(first.get("cls")) is Sequence


def _name(schema: Schema) -> str:
    return getattr(schema.get("cls"), "__qualname__", "value")

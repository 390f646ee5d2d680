"""Checking an input against the schema that a worker has announced, without the saga's code.

The worker's types have the last word. Here is only refused what they cannot accept: names that do
not exist or are missing, and values of another kind. Numbers in quotes pass, as they do there.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from saga.errors import InvalidInput

Schema = Mapping[str, Any]

_SCALAR = (int, float, str, bool)
_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": _SCALAR,
    "number": _SCALAR,
    "boolean": _SCALAR,
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
_NAMES = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
}


def check_input(saga: str, schema: Schema, given: Mapping[str, Any]) -> None:
    """Raises InvalidInput, which names the field and says what would be right."""
    if "properties" not in schema:
        return
    parameters: Schema = schema["properties"]
    wanted = _signature(schema)
    for name in given:
        if name not in parameters:
            raise InvalidInput(f"{saga}: {name}: unknown; want {wanted}")
    for name in schema.get("required", ()):
        if name not in given:
            raise InvalidInput(f"{saga}: {name}: missing; want {wanted}")
    for name, value in given.items():
        fault = _fault(value, parameters[name], schema, name)
        if fault:
            raise InvalidInput(f"{saga}: {fault}")


def check_value(field: str, schema: Schema, value: Any) -> None:
    """Raises InvalidInput for a value that is not of the announced type."""
    fault = _fault(value, schema, schema, field)
    if fault:
        raise InvalidInput(fault)


def _fault(value: Any, schema: Schema, root: Schema, path: str) -> str | None:
    schema = _resolved(schema, root)
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        faults = [_fault(value, option, root, path) for option in options]
        return None if None in faults else f"{path}: want {_shown(schema, root)}"
    kinds = _KINDS.get(schema.get("type", ""))
    if kinds is not None and not isinstance(value, kinds):
        return f"{path}: want {_shown(schema, root)}, not {_kind_of(value)}"
    if isinstance(value, dict):
        return _fault_of_object(cast("dict[str, Any]", value), schema, root, path)
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        items = enumerate(cast("list[Any]", value))
        return _first(_fault(item, schema["items"], root, f"{path}.{n}") for n, item in items)
    return None


def _fault_of_object(
    value: Mapping[str, Any], schema: Schema, root: Schema, path: str
) -> str | None:
    missing = [name for name in schema.get("required", ()) if name not in value]
    if missing:
        return f"{path}.{missing[0]}: missing"
    fields: Schema = schema.get("properties", {})
    if schema.get("additionalProperties") is False:
        unknown = [name for name in value if name not in fields]
        if unknown:
            return f"{path}.{unknown[0]}: unknown; want {', '.join(fields)}"
    return _first(
        _fault(item, fields[name], root, f"{path}.{name}")
        for name, item in value.items()
        if name in fields
    )


def _first(faults: Iterable[str | None]) -> str | None:
    return next((fault for fault in faults if fault), None)


def _resolved(schema: Schema, root: Schema) -> Schema:
    """Follow one reference into `$defs`; they never point at each other alone."""
    reference = schema.get("$ref", "")
    if reference.startswith("#/$defs/"):
        return root.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})
    return schema


def _signature(schema: Schema) -> str:
    """The parameters as `item: string, amount: integer (may be left out)`."""
    required = schema.get("required", ())
    parts = [
        f"{name}: {_shown(field, schema)}" + ("" if name in required else " (may be left out)")
        for name, field in schema["properties"].items()
    ]
    return ", ".join(parts) or "no arguments"


def _shown(schema: Schema, root: Schema) -> str:
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return " or ".join(dict.fromkeys(_shown(option, root) for option in options))
    schema = _resolved(schema, root)
    return str(schema.get("type") or "anything")


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    kind: type = type(cast("object", value))
    return _NAMES.get(kind, "an object")

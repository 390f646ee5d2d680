"""A command that starts a saga, to be copied."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

_SAMPLES: dict[str, Any] = {
    "string": "text",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": [],
    "object": {},
}


def start_command(name: str, schema: Mapping[str, Any]) -> str:
    """With a value for each argument that is required, by its type as far as it is simple."""
    properties: dict[str, Any] = schema.get("properties", {})
    required: list[str] = schema.get("required", [])
    values = {one: _sample(properties.get(one, {})) for one in required}
    shown = f" --input {shlex.quote(json.dumps(values))}" if values else ""
    return f"saga start {shlex.quote(name)}{shown} --wait 60"


def _sample(schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    return _SAMPLES.get(str(schema.get("type")), {})

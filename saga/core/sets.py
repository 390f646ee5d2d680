"""Sets as JSON in an order of their own: that of Python differs from process to process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast

from pydantic import RootModel

_PLAIN = frozenset({str, int, float, bool, type(None), bytes})
_HOLDS = ("set", "frozenset", "any", "is-instance", "is-subclass", "generator", "function-")


def may_hold_sets(schema: object) -> bool:
    """Whether values of a pydantic schema may hold a set, as far as the schema tells."""
    if isinstance(schema, Mapping):
        node = cast("Mapping[str, object]", schema)
        if str(node.get("type")).startswith(_HOLDS) or "allow" in (
            node.get("extra_behavior"),
            node.get("extra_fields_behavior"),
        ):
            return True
        return any(may_hold_sets(part) for key, part in node.items() if key != "metadata")
    if isinstance(schema, (list, tuple)):
        return any(map(may_hold_sets, cast("Sequence[object]", schema)))
    return False


def in_order(value: object, text: str) -> str:
    """`text`, which is `value` as JSON, with the elements of its sets in order: numbers by size,
    then all else by their own text.
    """
    if "[" not in text or not _holds_set(value):
        return text
    return json.dumps(_ordered(value, json.loads(text)), ensure_ascii=False, separators=(",", ":"))


def _holds_set(value: object) -> bool:
    kind = type(value)
    if kind in _PLAIN:
        return False
    if kind is dict:  # as most are; the general way takes ten times as long
        return any(map(_holds_set, cast("dict[Any, object]", value).values()))
    if kind is list:
        return any(map(_holds_set, cast("list[object]", value)))
    parts = list(_parts(value))
    if isinstance(value, (set, frozenset)) and len(parts) > 1:
        return True
    return any(_holds_set(part) for _, part in parts)


def _ordered(value: object, written: Any) -> Any:
    if isinstance(value, RootModel):
        return _ordered(cast("Any", value).root, written)
    parts = list(_parts(value))
    if isinstance(written, list):
        items = cast("list[Any]", written)
        if len(items) != len(parts):
            return items  # a serialiser of the user's
        items = [_ordered(part, item) for (_, part), item in zip(parts, items, strict=True)]
        return sorted(items, key=_rank) if isinstance(value, (set, frozenset)) else items
    if isinstance(written, dict):
        below = cast("dict[str, Any]", written)
        if isinstance(value, Mapping) and len(below) == len(parts):  # a key may be no text
            return {k: _ordered(p, w) for (_, p), (k, w) in zip(parts, below.items(), strict=True)}
        known = dict(parts)
        return {key: _ordered(known.get(key), item) for key, item in below.items()}
    return written


def _parts(value: object) -> Iterable[tuple[Any, object]]:
    """What a value holds, with its key in JSON if it has one."""
    if isinstance(value, Mapping):
        return cast("Mapping[Any, object]", value).items()
    if isinstance(value, (Sequence, set, frozenset)) and not isinstance(
        value, (str, bytes, bytearray)
    ):
        return ((None, part) for part in cast("Sequence[object]", value))
    named: Mapping[str, Any] | None = getattr(type(value), "__pydantic_fields__", None)
    if named is not None:
        extra: dict[str, Any] | None = getattr(value, "__pydantic_extra__", None)
        own = {
            f.serialization_alias or name: getattr(value, name, None) for name, f in named.items()
        }
        return (own | (extra or {})).items()
    if is_dataclass(value):
        return ((field.name, getattr(value, field.name, None)) for field in fields(value))
    return ()


def _rank(item: Any) -> tuple[bool, float, str]:
    number = isinstance(item, (int, float))
    return not number, item if number else 0, json.dumps(item)

"""Whether what was read back is what was written."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, time
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

Fault = tuple[str, str]
"""A path, and what is wrong there."""

_SHAPES = (str, int, float, bool, list, dict)
_CONVERTED = (str, int, float, bytes)
_LOST = "it would come back otherwise"


def difference(written: Any, back: Any, is_open: bool = False, path: str = "") -> Fault | None:
    """The first difference, or None. `is_open`: somewhere JSON's shapes will do.

    A model's private attributes, what it has computed and the name of a time zone do not count.
    """
    if written is back:
        return None
    if type(written) is not type(back):
        if _is_converted(written, back) or (is_open and _has_its_shape(written, back)):
            return None
        return path, f"{_a(written)} would come back as {_a(back)}"
    parts = _parts(written, back)
    if parts is None:
        return None if _is_equal(written, back) else (path, _LOST)
    mine, other = parts
    if mine.keys() != other.keys():
        return None if is_open and _has_its_shape(written, back) else (path, _LOST)
    faults = (
        difference(part, other[name], is_open, f"{path}.{name}" if path else str(name))
        for name, part in mine.items()
    )
    return next((fault for fault in faults if fault), None)


def _is_converted(written: Any, back: Any) -> bool:
    """An int for a float, a StrEnum for a str: what pydantic makes of it."""
    return type(back) in _CONVERTED and isinstance(written, _CONVERTED) and bool(written == back)


def _has_its_shape(written: Any, back: Any) -> bool:
    return type(back) in _SHAPES and _jsonable(written) == _jsonable(back)


def _parts(written: Any, back: Any) -> tuple[Mapping[Any, Any], Mapping[Any, Any]] | None:
    """What both hold, by name; None if they hold nothing by name."""
    if isinstance(written, Mapping):
        return cast("Mapping[Any, Any]", written), back
    if isinstance(written, (list, tuple)):
        return dict(enumerate(cast("list[Any]", written))), dict(enumerate(cast("list[Any]", back)))
    if isinstance(written, BaseModel) or dataclasses.is_dataclass(written):
        return dict(_fields(written)), dict(_fields(back))
    if type(cast("object", written)).__eq__ is object.__eq__ and hasattr(written, "__dict__"):
        return dict(vars(cast("object", written))), dict(vars(cast("object", back)))
    return None


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, BaseModel):
        yield from ((n, value.__dict__[n]) for n in type(value).model_fields if n in value.__dict__)
        yield from (value.model_extra or {}).items()
    else:
        names = (field.name for field in dataclasses.fields(value))
        yield from ((name, getattr(value, name)) for name in names if hasattr(value, name))


def _is_equal(written: Any, back: Any) -> bool:
    if isinstance(written, (datetime, time)):
        zones = (written.tzinfo is None) == (back.tzinfo is None)
        return zones and _wall(written) == _wall(back)
    if isinstance(written, float) and math.isnan(written):
        return math.isnan(back)
    if isinstance(written, AbstractSet):
        return len(cast("AbstractSet[Any]", written)) == len(back) and bool(written == back)
    return bool(written == back)


def _wall(at: datetime | time) -> Any:
    """With its offset: where an hour comes twice, the same instant in two zones is not equal."""
    return at.replace(tzinfo=None, fold=0), at.utcoffset()


def _jsonable(value: Any) -> Any:
    return to_jsonable_python(value, by_alias=True, bytes_mode="base64", inf_nan_mode="constants")


def _a(value: Any) -> str:
    name = "None" if value is None else type(value).__qualname__
    return name if value is None else f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"

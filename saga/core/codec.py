"""JSON at the edge: everything that is stored passes here and is refused if `jsonb` would.

Python's own `json` accepts NaN, lone surrogates, NUL and numbers that Postgres then refuses, and
it dies on deep nesting. So a text is checked before it is parsed, and an error names the field.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import PydanticSerializationError, SchemaSerializer, core_schema, to_json

from saga.core.sets import in_order
from saga.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest JSON that is stored: bytes of UTF-8, and levels of nesting."""

    size: int = 1 << 20
    depth: int = 100


LIMITS = Limits()
"""What holds everywhere; `saga.check_json` in the database has the same numbers."""

Fault = tuple[str, str]
"""A path, and what is wrong there."""

_DEEPEST = 200
_ANY = SchemaSerializer(core_schema.any_schema())
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BRACKET = re.compile(rb"[\[\]{}]")
_MOST_DIGITS = 4300  # what Python, and pydantic, still read back as an int
_MOST_BITS = int(_MOST_DIGITS / math.log10(2))
_TOO_LONG = f"a whole number of more than {_MOST_DIGITS} digits"
_ENDLESS = re.compile(rb"\d{%d}" % (_MOST_DIGITS + 1))
_N, _I, _ASTERISK = b"NI*"
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def check_json(value: object, field: str, limits: Limits | None = None) -> str:
    """Check a JSON text (`str` or `bytes`), or encode any other value, and return compact JSON.

    Raises InvalidInput, whose text starts with `field` and the path below it.
    """
    if isinstance(value, (str, bytes)):
        return check_text(value, field, limits)
    return encode(value, field, limits)


def encode(value: object, field: str, limits: Limits | None = None) -> str:
    """A Python value as compact JSON text; a `str` is a value here, not JSON."""
    try:
        data = to_json(value, inf_nan_mode="constants")
    except (PydanticSerializationError, ValueError, RecursionError) as exc:
        raise refusal(value, field, exc) from None
    return in_order(value, vet(data, _ANY.to_python, value, field, limits=limits))


def check_text(text: str | bytes, field: str, limits: Limits | None = None) -> str:
    """A JSON text that came from outside, made compact."""
    return _compact(_read(text, field, limits))


def refuse_text(text: str | bytes, field: str, limits: Limits) -> None:
    """Raises InvalidInput for a JSON text from outside that cannot be stored."""
    _read(text, field, limits)


def _read(text: str | bytes, field: str, limits: Limits | None) -> Any:
    held = limits or LIMITS
    data = _as_bytes(text, field)
    _check_bounds(data, field, held)
    try:
        value = json.loads(data, object_pairs_hook=_Pairs)
    except RecursionError:
        raise InvalidInput(f"{field}: nested too deep") from None
    except ValueError as exc:
        raise InvalidInput(f"{field}: not JSON: {_reason(exc)}") from None
    fault = find_fault(value)
    if fault:
        raise InvalidInput(f"{join(field, fault[0])}: {fault[1]}")
    return value


def parse(text: str) -> Any:
    """The Python value of a JSON text that was checked when it was stored."""
    return json.loads(text)


def vet(
    data: bytes,
    plain: Callable[[Any], object],
    value: object,
    field: str,
    path: str = "",
    limits: Limits | None = None,
    may_be_anything: bool = True,
) -> str:
    """Check JSON that pydantic has just written; a few scans unless it looks suspicious.

    It writes NaN as `null` or `NaN`, NUL as an escape and a secret as asterisks, so those words
    cause a closer look at `plain(value)`: as dicts, lists, numbers and text.
    """
    held = limits or LIMITS
    if len(data) > held.size or (
        len(data) > held.depth and data.count(b"[") + data.count(b"{") > held.depth
    ):
        _check_bounds(data, field, held)
    if (
        data.find(b"\\u") >= 0
        or (may_be_anything and _is_suspicious(data))
        or (len(data) > _MOST_DIGITS and _ENDLESS.search(data))
    ):
        fault = find_fault(plain(value), path)
        if fault:
            raise InvalidInput(f"{join(field, fault[0])}: {fault[1]}")
    return data.decode()


def _is_suspicious(data: bytes) -> bool:
    # To look for one byte is cheap, and `in` dear for more than one.
    return (
        data.find(b"null") >= 0
        or (_N in data and data.find(b"NaN") >= 0)
        or (_I in data and data.find(b"Infinity") >= 0)
        or (_ASTERISK in data and data.find(b"****") >= 0)
    )


def refusal(value: object, field: str, exc: BaseException, path: str = "") -> InvalidInput:
    """The error for a value that could not be serialised at all."""
    fault = find_fault(value, path)
    if fault:
        return InvalidInput(f"{join(field, fault[0])}: {fault[1]}")
    return InvalidInput(f"{join(field, path)}: {_reason(exc)}")


def find_fault(value: object, path: str = "", depth: int = 0) -> Fault | None:
    """The path of the first part of a Python value that is not JSON, and why; None if none is."""
    if depth > _DEEPEST:
        return path, "nested too deep, or it contains itself"
    if isinstance(value, (str, int, float)):
        reason = _leaf_fault(value)
        return (path, reason) if reason else None
    if hasattr(value, "get_secret_value"):
        return path, "a secret is stored where its type is declared, and not where anything may be"
    for name, key, item in _parts(value):
        below = _below(path, name)
        if isinstance(key, str) and (reason := _leaf_fault(key)):
            return below, reason
        fault = find_fault(item, below, depth + 1)
        if fault:
            return fault
    return _repeated(value, path)


def join(field: str, path: str) -> str:
    """`resolve_issue` and `issue.amount` as `resolve_issue: issue.amount`."""
    where = path if len(path) <= 200 else path[:200] + "..."
    return f"{field}: {where}" if field and where else field or where


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written, so that a key given twice is seen."""

    __slots__ = ()


def _parts(value: object) -> Iterable[tuple[str, object, object]]:
    """What a container holds: the name of each part in a path, its key if it has one, itself."""
    if isinstance(value, _Pairs):
        return ((key, key, item) for key, item in value)
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return ((str(key), key, item) for key, item in items)
    if isinstance(value, (Sequence, AbstractSet)) and not isinstance(value, (bytes, bytearray)):
        parts = cast("Sequence[object]", value)
        return ((str(number), None, item) for number, item in enumerate(parts))
    return ()


def _repeated(value: object, path: str) -> Fault | None:
    seen: set[str] = set()
    for key, _ in value if isinstance(value, _Pairs) else ():
        if key in seen:
            return _below(path, key), "this key is given twice"
        seen.add(key)
    return None


def _leaf_fault(value: str | float) -> str | None:
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{_number(value)} is not JSON"
    if isinstance(value, int):
        return _TOO_LONG if value.bit_length() > _MOST_BITS else None
    if "\0" in value:
        return "the character NUL (\\u0000) cannot be stored"
    if not value.isascii() and _SURROGATE.search(value):
        return "a lone surrogate (\\ud800 to \\udfff) is not Unicode text"
    return None


def _below(path: str, name: str) -> str:
    shown = repr(name)[1:-1][:80]
    return f"{path}.{shown}" if path else shown


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _as_bytes(text: str | bytes, field: str) -> bytes:
    if isinstance(text, bytes):
        try:
            text.decode()
        except UnicodeDecodeError:
            raise InvalidInput(f"{field}: not UTF-8") from None
        return text
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{field}: a lone surrogate is not Unicode text") from None


def _check_bounds(data: bytes, field: str, held: Limits) -> None:
    if len(data) > held.size:
        raise InvalidInput(f"{field}: {len(data)} bytes of JSON, at most {held.size} are stored")
    depth = _depth(data)
    if depth > held.depth:
        raise InvalidInput(f"{field}: nested {depth} levels deep, at most {held.depth} are stored")


def _depth(data: bytes) -> int:
    deepest = level = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", data)):
        if bracket in b"[{":
            level += 1
            deepest = max(deepest, level)
        else:
            level -= 1
    return deepest


def _compact(value: Any) -> str:
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {key: _plain(item) for key, item in value}
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[Any]", value)]
    return value


def _reason(exc: BaseException) -> str:
    text = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
    return text.removeprefix("Error serializing to JSON: ")[:200]

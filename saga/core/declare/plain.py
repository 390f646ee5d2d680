"""Predicates of values of which nothing can be lost in JSON, cheap enough for every value.

Of all others nobody knows before they were read back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

Plain = Callable[[Any], bool]

_MOST_SEEN = 64


def always(_: Any) -> bool:
    """Nothing that has been validated can be lost."""
    return True


def never(_: Any) -> bool:
    """Not known before it was read back."""
    return False


class OfType:
    """Scalars, and containers of whatever: exactly of one of these types."""

    __slots__ = ("types",)

    def __init__(self, *types: type) -> None:
        self.types = frozenset(types)

    def __call__(self, value: Any) -> bool:
        return type(value) in self.types


class Instance:
    """A model or dataclass, which pydantic takes as it is: of a subclass, incomplete, assigned to.

    Which types its fields held together is remembered, as it repeats.
    """

    __slots__ = ("_class", "_deep", "_get", "_scalars", "_seen")

    def __init__(self, class_: type, fields: Mapping[str, Plain]) -> None:
        self._class = class_
        self._get = _getter(list(fields))
        numbered = list(enumerate(fields.values()))
        self._scalars = [(n, plain) for n, plain in numbered if isinstance(plain, OfType)]
        self._deep = [(n, plain) for n, plain in numbered if not isinstance(plain, OfType)]
        self._seen: set[tuple[type, ...]] = set()

    def __call__(self, value: Any) -> bool:
        if type(value) is not self._class:
            return False
        try:
            held = self._get(value.__dict__)
        except KeyError:
            return False
        types = tuple(map(type, held))
        if types not in self._seen and not self._learn(held, types):
            return False
        for number, plain in self._deep:  # noqa: SIM110 - on the hot path
            if not plain(held[number]):
                return False
        return True

    def _learn(self, held: Sequence[Any], types: tuple[type, ...]) -> bool:
        if not all(plain(held[number]) for number, plain in self._scalars):
            return False
        if len(self._seen) < _MOST_SEEN:
            self._seen.add(types)
        return True


def _getter(names: list[str]) -> Callable[[dict[str, Any]], Sequence[Any]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda held: [held[name] for name in names]


def list_of(plain: Plain) -> Plain:
    of_type = plain.types.issuperset if isinstance(plain, OfType) else None

    def is_plain(value: Any) -> bool:
        class_ = type(value)  # pyright: ignore[reportUnknownVariableType]
        if class_ is not list:
            return False
        return of_type(map(type, value)) if of_type else all(map(plain, value))

    return is_plain


def dict_of(key: type, plain: Plain) -> Plain:
    of_type = {key}.issuperset

    def is_plain(value: Any) -> bool:
        class_ = type(value)  # pyright: ignore[reportUnknownVariableType]
        return class_ is dict and of_type(map(type, value)) and all(map(plain, value.values()))

    return is_plain


def typed_dict_of(fields: Sequence[tuple[str, Plain]]) -> Plain:
    def is_plain(value: Any) -> bool:
        for name, plain in fields:  # noqa: SIM110 - on the hot path
            if name in value and not plain(value[name]):
                return False
        return True

    return is_plain


class Later:
    """A type that contains itself."""

    __slots__ = ("plain",)

    def __init__(self) -> None:
        self.plain: Plain = never

    def __call__(self, value: Any) -> bool:
        return self.plain(value)

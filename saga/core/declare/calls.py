"""What a saga was called with outside the engine: its coroutine does not tell."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from saga.errors import InvalidInput

if TYPE_CHECKING:
    from saga.core.declare.definitions import SagaDefinition


class Call(NamedTuple):
    """A saga and its arguments."""

    definition: SagaDefinition[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


_calls: WeakKeyDictionary[Coroutine[Any, Any, Any], Call] = WeakKeyDictionary()


def remember(coroutine: Coroutine[Any, Any, Any], call: Call) -> None:
    """For as long as the coroutine is there."""
    _calls[coroutine] = call


def take_up(coroutine: Coroutine[Any, Any, Any]) -> Call:
    """What a coroutine was called with; it is closed, as somebody else runs the saga."""
    try:
        call = _calls.pop(coroutine)
    except (KeyError, TypeError):
        raise InvalidInput(f"{coroutine!r} is no call of a saga, like order('lamp')") from None
    coroutine.close()
    return call

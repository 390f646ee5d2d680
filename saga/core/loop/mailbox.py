"""Signals that no code has taken yet, and waits that no signal has come for."""

from __future__ import annotations

from collections import deque
from collections.abc import Container

from saga.core.loop.events import Event


class Mailbox:
    """By name: the earliest wait takes the earliest letter."""

    __slots__ = ("_letters", "_waits")

    def __init__(self) -> None:
        self._letters: dict[str, deque[Event]] = {}
        self._waits: dict[str, deque[int]] = {}

    def take(self, name: str, position: int) -> Event | None:
        """The first letter of a name; with none, the wait at this position gets the next."""
        letters = self._letters.get(name)
        if letters:
            return letters.popleft()
        self._waits.setdefault(name, deque()).append(position)
        return None

    def put(self, letter: Event, still_open: Container[int]) -> int | None:
        """The position of the wait that takes a letter; None: it is kept for the next."""
        waits = self._waits.get(letter.name)
        while waits:
            position = waits.popleft()
            if position in still_open:
                return position
        self._letters.setdefault(letter.name, deque()).append(letter)
        return None

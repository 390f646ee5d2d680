"""What the loop keeps: callbacks that are ready, and callbacks that wait for a timer."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any


class Turn(asyncio.Handle):
    """A callback that is ready; asyncio's own handle with less to fill in."""

    __slots__ = ("args", "callback", "context", "is_cancelled")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True

    def cancelled(self) -> bool:
        return self.is_cancelled

    def __repr__(self) -> str:
        return f"<Turn {self.callback!r}>"


class Alarm(asyncio.TimerHandle):
    """A callback that waits for a durable timer, the one at `position` (0: for none)."""

    __slots__ = ("position",)

    position: int

    def fire(self) -> None:
        """Run the callback unless it was cancelled in the meantime."""
        if not self._cancelled:
            self._run()

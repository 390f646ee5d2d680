"""What workers have announced that sagas take, kept for a moment."""

import threading
import time
from typing import Any

from saga.core.codec import parse
from saga.core.schema_check import check_input
from saga.errors import InvalidInput
from saga.storage import announcements
from saga.storage.starts import Executor, Start

_FRESH = 5.0  # seconds
_MOST = 1000  # names; a caller that makes them up gains nothing


class Announced:
    """Checks what is started by name. Safe for threads."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int | None], tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def check(self, execute: Executor, asked: Start) -> None:
        """Raises InvalidInput for what the saga cannot take; nothing if no worker announced it.

        A refusal is never by what is kept: the saga may have a newer version by now.
        """
        given = parse(asked.input)
        read_at, schema = self._kept(asked)
        if schema is not None and time.monotonic() - read_at < _FRESH:
            try:
                return check_input(asked.name, schema, given)
            except InvalidInput:
                pass
        schema = announcements.announced_input(execute, asked.name, asked.version)
        if schema is not None:
            self._keep(asked, schema)
            check_input(asked.name, schema, given)
        return None

    def _kept(self, asked: Start) -> tuple[float, Any]:
        with self._lock:
            return self._known.get((asked.name, asked.version), (0.0, None))

    def _keep(self, asked: Start, schema: Any) -> None:
        with self._lock:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[asked.name, asked.version] = time.monotonic(), schema

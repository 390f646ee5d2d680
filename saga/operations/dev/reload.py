"""Changes of the user's code, for workers that are to have it."""

import importlib.util
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


def is_installed() -> bool:
    """Whether the extra `reload` is."""
    return importlib.util.find_spec("watchfiles") is not None


class Changes:
    """Whether a Python file below a folder has changed since it was last asked."""

    def __init__(self) -> None:
        self._changed = threading.Event()
        self._stop = threading.Event()

    def take(self) -> bool:
        """Once for all changes so far."""
        changed = self._changed.is_set()
        self._changed.clear()
        return changed

    @contextmanager
    def watched(self, folder: Path) -> Generator[None]:
        """Looks, inside the block."""
        thread = threading.Thread(target=self._watch, args=(folder,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(5)

    def _watch(self, folder: Path) -> None:
        from watchfiles import PythonFilter, watch

        for _ in watch(folder, watch_filter=PythonFilter(), stop_event=self._stop):
            self._changed.set()

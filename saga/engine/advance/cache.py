"""The sagas this process worked on last, and which of its threads is at which of them."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

from saga.engine.advance.live import Live
from saga.storage.hot.rows import Known


class Cache:
    """At most so many bytes of them, by estimate. Safe for threads."""

    def __init__(self, size: int, close: Callable[[Live], None]) -> None:
        self._most = size
        self._close = close
        self._size = 0
        self._lock = threading.Lock()
        self._live: OrderedDict[UUID, Live] = OrderedDict()

    def take(self, saga_id: UUID) -> Live | None:
        """The saga, for the caller alone until it is kept again."""
        with self._lock:
            live = self._live.pop(saga_id, None)
            if live is None:
                return None
            self._size -= live.size
        if live.status == "compensating" or live.has_kept_up:
            return live
        self._close(
            live
        )  # it took in news and then decided nothing: what comes later would not fit
        return None

    def known(self, saga_id: UUID) -> Known | None:
        """What is known of a saga that nobody is at."""
        with self._lock:
            live = self._live.get(saga_id)
            return None if live is None else live.known

    def keep(self, live: Live) -> None:
        """For whoever is at it next; what was not used for longest makes room."""
        gone: list[Live] = []
        with self._lock:
            self._live[live.saga_id] = live
            self._size += live.size
            while self._size > self._most and self._live:
                gone.append(self._live.popitem(last=False)[1])
                self._size -= gone[-1].size
        for each in gone:
            self._close(each)

    def clear(self) -> None:
        with self._lock:
            gone = list(self._live.values())
            self._live.clear()
            self._size = 0
        for live in gone:
            self._close(live)


class Owners:
    """One thread at a time decides about a saga; who comes meanwhile leaves it the news."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._has_news: dict[UUID, bool] = {}

    def enter(self, saga_id: UUID, *, tell: bool = True) -> bool:
        """Whether the saga is the caller's now; if not, who has it is told that there is news."""
        with self._lock:
            if saga_id not in self._has_news:
                self._has_news[saga_id] = False
                return True
            if tell:
                self._has_news[saga_id] = True
            return False

    def has(self, saga_id: UUID) -> bool:
        """Whether some thread has it."""
        return saga_id in self._has_news

    def leave(self, saga_id: UUID) -> bool:
        """Gives the saga up; False if there is news: then it is still the caller's."""
        with self._lock:
            if self._has_news[saga_id]:
                self._has_news[saga_id] = False
                return False
            del self._has_news[saga_id]
            return True

    def abandon(self, saga_id: UUID) -> None:
        """Gives the saga up, whatever news there is."""
        with self._lock:
            self._has_news.pop(saga_id, None)

"""How often somebody may ask: a bucket of tokens each, in this process's memory."""

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable

_MOST = 10_000  # buckets that are kept; those that were used longest ago go first


class Rates:
    """`rate` a second in the long run, `burst` at once. Safe for threads."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._lock = threading.Lock()
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, who: Hashable, now: float | None = None) -> float:
        """0 if `who` may ask now, else the seconds until they may."""
        now = time.monotonic() if now is None else now
        with self._lock:
            left, since = self._buckets.pop(who, (self._burst, now))
            left = min(self._burst, left + (now - since) * self._rate)
            wait = 0.0 if left >= 1 else (1 - left) / self._rate
            self._buckets[who] = (left if wait else left - 1, now)
            if len(self._buckets) > _MOST:
                self._buckets.popitem(last=False)
        return wait

    def give_back(self, who: Hashable) -> None:
        """What was taken last was not to count."""
        with self._lock:
            left, since = self._buckets.get(who, (self._burst, 0.0))
            self._buckets[who] = (min(self._burst, left + 1), since)

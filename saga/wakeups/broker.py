"""The broker as a worker sees it that must not depend on it: whether it takes messages, and those
that are put aside there.
"""

import logging
import time
from collections.abc import Mapping, Sequence

from saga.errors import Unavailable
from saga.wakeups.publisher import redis_client

log = logging.getLogger("saga.wakeups")

_PATIENCE = 1.0  # seconds; whoever is slower than that is away
_PROBE = "saga.probe"
_PROBE_LIVES = 60  # seconds

# A script that has begun to write is not refused for want of memory.
_MOVE = """
local moved = {}
for i, message in ipairs(ARGV) do
  moved[i] = redis.call('LREM', KEYS[1], -1, message)
  if moved[i] == 1 and KEYS[i + 1] ~= '' then
    redis.call('LPUSH', KEYS[i + 1], message)
  end
end
return moved
"""


class Broker:
    """A connection of its own, with less patience than those of messages. Its calls raise
    Unavailable. Threads may share it.
    """

    def __init__(self, url: str, key_prefix: str = "") -> None:
        import redis

        self._redis = redis_client(url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE)
        self._errors = (redis.RedisError, OSError)
        self._prefix = key_prefix

    def takes_messages(self) -> bool:
        """Whether it answers and may be written to: it may be full, or a replica by now."""
        try:
            self._redis.set(self._prefix + _PROBE, str(int(time.time())), ex=_PROBE_LIVES)
        except self._errors:
            return False
        return True

    def length(self, queue: str) -> int:
        """Messages that wait in it."""
        try:
            return int(self._redis.llen(self._prefix + queue))  # type: ignore[arg-type]
        except self._errors as error:
            raise _away(error) from None

    def put(self, queue: str, messages: Sequence[bytes]) -> None:
        """Behind all others that wait there."""
        try:
            self._redis.lpush(self._prefix + queue, *messages)
        except self._errors as error:
            raise _away(error) from None

    def oldest(self, queue: str, most: int) -> list[bytes]:
        """At most so many, which stay where they are."""
        try:
            found = self._redis.lrange(self._prefix + queue, -most, -1)
        except self._errors as error:
            raise _away(error) from None
        return list(found)[::-1]  # type: ignore[arg-type]

    def move(self, queue: str, to: Mapping[bytes, str | None]) -> list[bytes]:
        """Puts messages of a queue behind all others of another, or of the same (None: nowhere).
        Those that were still there; all of it is done at once, or nothing.
        """
        places = ["" if place is None else self._prefix + place for place in to.values()]
        try:
            script = self._redis.eval
            moved = script(_MOVE, 1 + len(to), self._prefix + queue, *places, *to)
        except self._errors as error:
            raise _away(error) from None
        return [message for message, count in zip(to, moved, strict=True) if count]  # type: ignore[arg-type]

    def close(self) -> None:
        self._redis.close()


def _away(error: Exception) -> Unavailable:
    return Unavailable(f"the broker takes no message: {type(error).__name__}")

"""Celery's Redis transport, which here survives what others put into its lists.

Whatever stands there and is no message (somebody's LPUSH) would end the worker that reads it.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# kombu has no types.

import mmap
import struct
import time
from contextlib import suppress
from queue import Empty
from typing import Any

from kombu.connection import Connection
from kombu.transport import redis
from kombu.utils.json import dumps
from redis.exceptions import RedisError

from saga.execution.refusals import fault_of, thrown_away

PASSING = (RedisError, OSError, Empty, *redis.Transport.connection_errors)
"""Of the broker, not of a message."""


class Reading:
    """When a worker last asked its broker for messages. The processes of its pool see it, too."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _TIMES.size)  # stays shared after a fork

    def asks(self, patience: float) -> None:
        """It is answered within so many seconds."""
        _TIMES.pack_into(self._shared, 0, time.monotonic(), patience)

    @property
    def goes_on(self) -> bool:
        """Also of one that never asked: it has a transport of its own, or has just begun."""
        asked, patience = _TIMES.unpack_from(self._shared)
        return not asked or time.monotonic() - asked < patience + _GRACE


_TIMES = struct.Struct("dd")
reading = Reading()
_GRACE = 2.0  # seconds


class SafeChannel(redis.Channel):
    """Throws away, and says so, what cannot be read; knows whether anybody hears it."""

    heard_by: int | None = None
    """So many heard what was last said to all who listen; None: nothing was said."""

    def _put_fanout(self, exchange: str, message: Any, routing_key: str, **options: Any) -> None:
        """As kombu's own, which does not look at the answers."""
        if options.get("_publish_batch") is not None:
            super()._put_fanout(exchange, message, routing_key, **options)
            return
        with self.conn_or_acquire() as client:
            text = dumps(message)
            topics = self._get_publish_topics(exchange, routing_key)
            self.heard_by = sum(client.publish(topic, text) for topic in topics)

    def _brpop_start(self, timeout: float | None = None) -> None:
        reading.asks(timeout or self.brpop_timeout)
        super()._brpop_start(timeout)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except PASSING:
            raise
        except Exception as error:
            thrown_away(self._queue_cycle.items[-1] if self._queue_cycle.items else "", error)
        return True

    def _receive_one(self, c: Any) -> Any:
        try:
            return super()._receive_one(c)
        except PASSING:
            raise
        except Exception as error:
            thrown_away("of all workers", error)
        return None


class SafeTransport(redis.Transport):
    """Throws away, and says so, what can be read but is no message."""

    Channel = SafeChannel

    def _deliver(self, message: Any, queue: str) -> None:
        why: str | Exception | None = fault_of(message)
        if why is None:
            try:
                super()._deliver(message, queue)
                return
            except PASSING:
                raise
            except Exception as error:
                why = error
                self._forget(message)
        thrown_away(queue, why)

    def _forget(self, message: Any) -> None:
        """Else it would be put back into its queue when the worker stops."""
        tag = message["properties"]["delivery_tag"]
        for channel in self.channels or ():
            if tag in channel.qos._delivered:
                with suppress(KeyError):
                    channel.basic_reject(tag, requeue=False)


# Logs name a broker by its transport: a path of ours where redis:// is meant.
Connection.resolve_aliases[f"{__name__}:{SafeTransport.__qualname__}"] = "redis"


def read_safely(app: Any) -> None:
    """Has the workers of an app that has not chosen a transport use this one."""
    if not app.conf.broker_transport:
        app.conf.broker_transport = f"{__name__}:{SafeTransport.__qualname__}"

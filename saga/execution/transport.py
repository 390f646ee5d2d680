"""The safe transport, with four more differences.

It takes several messages at a time. kombu asks for one, goes once round its event loop, and
asks again, which costs more than all the rest of a message. This one follows up each message with
a request for as many as the worker has free slots. What a worker has taken when it dies is sent
again by the sweeper.

It takes messages only while slots are free, as `worker_disable_prefetch` does, but knows when
the event loop waits for one.

A worker that stops does not wait until its last BRPOP has run out.

And one that has nothing to do looks up less often.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# kombu has no types.

import json
from contextlib import suppress
from typing import Any

from kombu.connection import Connection
from kombu.transport import virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from redis.exceptions import RedisError, ResponseError

from saga.execution.refusals import thrown_away
from saga.execution.safe_transport import SafeChannel, SafeTransport
from saga.execution.slots import slots

_BINDINGS = 5.0  # seconds

_MOST = 32  # messages that follow one


class Credit(virtual.QoS):
    """Lets messages come as long as slots are free."""

    def can_consume(self) -> bool:
        return slots.may_take()


class Channel(SafeChannel):
    """Asks for as many messages as there are free slots."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.ack_emulation:  # else kombu's own keeps what is not acknowledged in Redis
            self.QoS = Credit
        self._reads_from: Any = None  # the socket
        self._client_id: int | None = None

    def close(self) -> None:
        """Its last BRPOP must be answered, else the message in an answer would be lost."""
        if self._in_poll and slots.are_closed:
            self._unblock()
        super().close()

    def _brpop_start(self, timeout: float | None = None) -> None:
        socket = self.client.connection._sock
        if socket is not None and socket is not self._reads_from:
            self._reads_from, self._client_id = socket, self._ask_client_id()
        super()._brpop_start(timeout)

    def _ask_client_id(self) -> int | None:
        try:
            return self.client.client_id()
        except ResponseError:  # this user may not; then to stop takes seconds
            return None

    def _unblock(self) -> None:
        if self._client_id is None:
            return
        with suppress(RedisError), self.conn_or_acquire() as client:
            client.client_unblock(self._client_id)

    def _brpop_read(self, **options: Any) -> Any:
        super()._brpop_read(**options)
        free = slots.free
        if free > 0 and self._queue_cycle.items:  # none after its consumers were cancelled
            # The queue that was just read from is last in turn now.
            self._take_more(self._queue_cycle.items[-1], min(free, _MOST))
        return True

    def _take_more(self, queue: str, most: int) -> None:
        for item in self.client.rpop(self._q_for_pri(queue, 0), most) or ():
            try:
                message = _read(item)
            except Exception as error:
                thrown_away(queue, error)
            else:
                self.connection._deliver(message, queue)


def _read(item: bytes) -> Any:
    """Kombu's JSON has types of its own, and is slow; most messages have none of them."""
    return loads(bytes_to_str(item)) if b"__type__" in item else json.loads(item)


class Transport(SafeTransport):
    """For the workers of our own app."""

    Channel = Channel
    brpop_timeout = 5  # seconds; asking anew each second was most of what an idle worker cost

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Kombu looks each second whether bindings are to be renewed that live for an hour."""
        super().register_with_event_loop(connection, loop)
        poller: Any = self.cycle
        with suppress(AttributeError):  # another version looks in another way
            poller._binding_expiry_tref.cancel()
            poller._binding_expiry_tref = loop.call_repeatedly(
                _BINDINGS, poller.maybe_refresh_binding_expiry
            )


# Logs name a broker by its transport: a path of ours where redis:// is meant.
Connection.resolve_aliases[f"{__name__}:{Transport.__qualname__}"] = "redis"

"""Where wake-ups go: a Redis broker, or nowhere (then the sweeper finds what is due)."""

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from saga.errors import InvalidInput
from saga.wakeups.message import HANDOVER, Publisher, WakeUp, encode, ended_channel

if TYPE_CHECKING:
    import redis
    from redis.client import PubSub

log = logging.getLogger("saga.wakeups")

_HANDED_OVER = 3600  # seconds
_TIMEOUT = 2.0  # seconds
_MOST_EARS = 8  # connections kept for those who wait for the ends of sagas


def publisher_for(broker_url: str | None, key_prefix: str = "") -> Publisher:
    """The publisher for a broker's URL; None: wake-ups are left to the sweeper."""
    if not broker_url:
        return SilentPublisher()
    if broker_url.startswith(("redis://", "rediss://")):
        return RedisPublisher(broker_url, key_prefix)
    scheme, colon, _ = broker_url.partition("://")
    told = f", not {scheme}://" if colon and scheme.isalnum() else ""
    raise InvalidInput(f"broker_url: redis:// or rediss://{told}")


def redis_client(url: str, **options: Any) -> "redis.Redis":
    """One that finds out early whether its server is there. Raises InvalidInput, without the URL:
    a password is in it.
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # A connection that was cut while it was idle is no news; a silent server is.
    retry = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    try:
        return redis.Redis.from_url(url, retry=retry, socket_keepalive=True, **options)
    except ValueError:
        raise InvalidInput(
            "broker_url: want redis://:password@host:6379/0, with the special characters of the "
            "password percent-encoded (/ as %2F)"
        ) from None


class SilentPublisher:
    """For clients that have no broker at hand."""

    def publish(self, wakeups: Iterable[WakeUp], ended: Sequence[UUID] = ()) -> None:
        del wakeups, ended

    def length(self, queue: str) -> int | None:
        del queue
        return None

    def intact(self) -> bool:
        return True

    @contextmanager
    def announcements(self, saga_id: UUID) -> Generator[Callable[[float], None]]:
        del saga_id
        yield lambda seconds: time.sleep(min(seconds, 0.1))

    def close(self) -> None:
        pass


class RedisPublisher:
    """Wake-ups of a whole batch in one pipeline on a Redis broker.

    After a failure it stays quiet for a second, or for twice as long as the failure took; then one
    thread tries it, and the others stay quiet meanwhile: a broker that is away, or hangs, costs
    little.
    """

    def __init__(self, url: str, key_prefix: str = "", quiet: float = 1.0) -> None:
        import redis

        self._redis = redis_client(
            url,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            health_check_interval=10,
        )
        self._errors = (redis.RedisError, OSError)
        self._prefix = key_prefix
        self._quiet = quiet
        self._quiet_until = 0.0
        self._lock = threading.Lock()
        self._ears: list[PubSub] = []  # subscribed to nothing

    def publish(self, wakeups: Iterable[WakeUp], ended: Sequence[UUID] = ()) -> None:
        by_queue: dict[str, list[bytes]] = {}
        for wakeup in wakeups:
            by_queue.setdefault(self._prefix + wakeup.queue, []).append(encode(wakeup))
        if (by_queue or ended) and not self._is_tried():
            self._send(by_queue, ended)

    def _send(self, by_queue: Mapping[str, Sequence[bytes]], ended: Sequence[UUID]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for key, messages in by_queue.items():
            pipe.lpush(key, *messages)
            if key.startswith(self._prefix + HANDOVER):
                pipe.expire(key, _HANDED_OVER)  # when code is gone for good, nobody reads it
        for saga_id in ended:
            pipe.publish(ended_channel(saga_id), b"")
        since = time.monotonic()
        try:
            pipe.execute()
        except self._errors as error:
            self._fall_quiet(since)
            log.warning("wake-ups not sent, the sweeper will send them: %s", type(error).__name__)
        else:
            self._quiet_until = 0.0

    def _is_tried(self) -> bool:
        """Whether it is quiet, or another thread finds out if the broker is back; else this one
        does.
        """
        with self._lock:
            now = time.monotonic()
            is_tried = now < self._quiet_until
            if self._quiet_until and not is_tried:
                self._quiet_until = now + _TIMEOUT  # for the others
            return is_tried

    def length(self, queue: str) -> int | None:
        if self._is_quiet:
            return None
        since = time.monotonic()
        try:
            return int(self._redis.llen(self._prefix + queue))  # type: ignore[arg-type]
        except self._errors:
            self._fall_quiet(since)
            return None

    def intact(self) -> bool:
        if self._is_quiet:
            return True
        since = time.monotonic()
        try:
            return not self._redis.set(self._prefix + "saga.intact", b"1", nx=True)
        except self._errors:
            self._fall_quiet(since)
            return True

    @property
    def _is_quiet(self) -> bool:
        return time.monotonic() < self._quiet_until

    def _fall_quiet(self, since: float) -> None:
        now = time.monotonic()
        self._quiet_until = now + max(self._quiet, 2 * (now - since))

    @contextmanager
    def announcements(self, saga_id: UUID) -> Generator[Callable[[float], None]]:
        with self._lock:
            ear = self._ears.pop() if self._ears else self._redis.pubsub()
        channel = ended_channel(saga_id)
        try:
            ear.subscribe(channel)
        except self._errors:
            yield lambda seconds: time.sleep(min(seconds, 0.1))
            return

        def heard(seconds: float) -> None:
            until = time.monotonic() + seconds
            try:
                while (left := until - time.monotonic()) > 0:
                    if _is_news(ear.get_message(timeout=left)):
                        return
            except self._errors:
                time.sleep(min(seconds, 0.1))

        try:
            yield heard
        finally:
            self._rest(ear, channel)

    def _rest(self, ear: "PubSub", channel: str) -> None:
        """Keeps the connection for the next who waits: to open one costs more than to wait."""
        with suppress(*self._errors):
            ear.unsubscribe(channel)
            with self._lock:
                if len(self._ears) < _MOST_EARS:
                    self._ears.append(ear)
                    return
        with suppress(*self._errors):
            ear.close()

    def close(self) -> None:
        with self._lock:
            ears, self._ears = self._ears, []
        with suppress(*self._errors):
            for ear in ears:
                ear.close()
            self._redis.close()


def _is_news(message: Any) -> bool:
    """Not the answer to a subscription, nor nothing."""
    return message is not None and message["type"] == "message"

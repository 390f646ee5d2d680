"""Tells those who asked of the ends of sagas: at least once each, for about a day.

The sweeper's leader hands over what is due. A crash before a result is written down leaves the
delivery to the next leader, once its lease has run out.
"""

import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import psycopg

from saga.client.connections import Connections
from saga.core.callbacks import parse_secrets, signature
from saga.engine.callbacks.safe_post import BadAnswer, Policy, Refused, post
from saga.errors import SagaError
from saga.storage import deliveries
from saga.storage.deliveries import Delivery, Result

log = logging.getLogger("saga.callbacks")

_SLOTS = 8
_EACH = 2  # at a time and host
_TIMEOUT = 10.0
_LEASE = 60.0
_ATTEMPTS = 30  # about a day
_FIRST, _FACTOR, _LONGEST = 5.0, 3.0, 3600.0
_GONE = 410
_NO_SECRET = "SAGA_WEBHOOK_SECRET is not set on the workers"  # noqa: S105 - this is none


@dataclass(frozen=True, slots=True)
class CallbackSettings:
    """`secrets` sign; without one nothing is sent. `policy`: what may be called."""

    secrets: tuple[bytes, ...] = ()
    policy: Policy = field(default_factory=Policy)

    @classmethod
    def from_environment(cls) -> "CallbackSettings":
        """SAGA_WEBHOOK_SECRET and SAGA_WEBHOOK_ALLOW; raises InvalidInput."""
        secret, allowed = "SAGA_WEBHOOK_SECRET", "SAGA_WEBHOOK_ALLOW"
        return cls(
            parse_secrets(os.environ.get(secret, ""), secret),
            Policy.parse(os.environ.get(allowed, ""), allowed),
        )


class Courier:
    """Delivers from a few threads of its own; `on_free` is called when one has nothing to do."""

    def __init__(
        self, database_url: str, settings: CallbackSettings, on_free: Callable[[], None]
    ) -> None:
        self._connections = Connections(database_url, "saga courier")
        self._settings = settings
        self._on_free = on_free
        self._lock = threading.Lock()
        self._busy: dict[str, int] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._quiet_until = 0.0

    @property
    def is_free(self) -> bool:
        """Whether there is any use in asking for what is due."""
        with self._lock:
            return sum(self._busy.values()) < _SLOTS and time.monotonic() >= self._quiet_until

    def collect(self, connection: psycopg.Connection) -> None:
        """Takes what is due, as far as there are threads for it."""
        with self._lock:
            free = _SLOTS - sum(self._busy.values())
            busy = [host for host, number in self._busy.items() if number >= _EACH]
        if free <= 0:
            return
        claimed = deliveries.claim(connection, free, _EACH, busy, _LEASE)
        if not claimed:  # all of it is for busy hosts
            self._quiet_until = time.monotonic() + 1.0
        for delivery in claimed:
            host = _host(delivery.url)
            with self._lock:
                self._busy[host] = self._busy.get(host, 0) + 1
            self._threads().submit(self._run, delivery, host)

    def close(self) -> None:
        """Waits for what is on its way, which has a deadline; what is not is left to others."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._connections.close()

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_SLOTS, "saga-courier")
        return self._pool

    def _run(self, delivery: Delivery, host: str) -> None:
        try:
            self._settle(delivery, self._attempt(delivery))
        except SagaError as error:
            log.warning("callback %s: its result is lost: %s", delivery.id, error)
        except Exception:
            log.exception("callback %s", delivery.id)
        finally:
            with self._lock:
                self._busy[host] -= 1
                if not self._busy[host]:
                    del self._busy[host]
                self._quiet_until = 0.0
            self._on_free()

    def _settle(self, delivery: Delivery, result: Result) -> None:
        """Raises Unavailable: then it is done again once the lease has run out."""
        try:
            self._connections.call(lambda run: deliveries.settle(run, delivery, result))
        except psycopg.Error as refusal:  # of the text, which came from elsewhere
            plain = replace(result, error=f"not to be written down: {type(refusal).__name__}")
            self._connections.call(lambda run: deliveries.settle(run, delivery, plain))

    def _attempt(self, delivery: Delivery) -> Result:
        """What came of it, whatever was raised: that is its result, too."""
        response, error = None, _NO_SECRET
        if self._settings.secrets:
            try:
                response, error = self._post(delivery)
            except Exception as unexpected:
                error = f"{type(unexpected).__name__}: {_words(unexpected)}"
        if error is None:
            return Result("delivered", response)
        final = response == _GONE or delivery.tries >= _ATTEMPTS
        log.warning(
            "callback %s of saga %s, attempt %s: %s%s",
            delivery.id,
            delivery.saga_id,
            delivery.tries,
            error,
            "; given up" if final else "",
        )
        if final:
            return Result("given_up", response, error)
        return Result("due", response, error, delay(delivery.tries, random.random()))

    def _post(self, delivery: Delivery) -> tuple[int | None, str | None]:
        """The answer's status, and what is wrong with it."""
        body = message(delivery)
        timestamp = int(time.time())
        headers = {
            "User-Agent": "saga-orchestrator",
            "webhook-id": str(delivery.id),
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(
                self._settings.secrets, str(delivery.id), timestamp, body
            ),
        }
        try:
            status = post(delivery.url, body, headers, self._settings.policy, seconds=_TIMEOUT)
        except (Refused, BadAnswer) as error:
            return None, str(error)
        except (OSError, UnicodeError) as error:
            return None, f"{type(error).__name__}: {_words(error)}"
        return status, None if 200 <= status < 300 else f"the answer's status is {status}"


def delay(attempt: int, chance: float) -> float:
    """Seconds between an attempt and the next; `chance` in [0, 1) spreads them."""
    wait = min(_LONGEST, _FIRST * _FACTOR ** min(attempt - 1, 20))
    return wait * (0.9 + 0.2 * chance)


def message(delivery: Delivery) -> bytes:
    """What is sent."""
    completed = delivery.status == "completed"
    data: dict[str, Any] = {
        "id": str(delivery.saga_id),
        "name": delivery.name,
        "version": delivery.version,
        "key": delivery.key,
        "status": delivery.status,
        "result": _value(delivery.result if completed else None),
        "error": _value(None if completed else delivery.error),
        "attributes": _value(delivery.attributes),
    }
    moment = datetime.fromtimestamp(delivery.ended_at, UTC).isoformat()
    text = {"type": "saga.ended", "timestamp": moment, "data": data}
    return json.dumps(text, ensure_ascii=False, separators=(",", ":")).encode()


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _host(url: str) -> str:
    """As the claim has it, whatever the URL is like."""
    return url.split("/", 3)[2] if url.count("/") > 1 else ""


def _words(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return str(text).splitlines()[0][:200] if str(text) else ""

"""Celery's task events of each attempt of a step, for Flower, also of steps without a message.

Celery's own events of our tasks are off: they tell of messages, which come twice, carry many steps
or none, and always succeed. Ours carry ids only, never a payload, and go out in batches from a
thread of their own. They are for looking at: when the broker is away they are dropped, and while
nobody listens most are not made, since they cost a worker a tenth of a short step, or more.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
# Celery and kombu have no types.

import logging
import threading
import time
from collections import deque
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from saga.core.states import StepState
from saga.engine.attempt.work import Outcome, Work
from saga.engine.worker.watchers import Watcher

log = logging.getLogger("saga.events")

_EVERY = 0.2  # seconds
_MOST = 20_000  # events that wait, a minute's worth of a busy worker; then the oldest are dropped
_BATCH = 500
_UNHEARD = 2.0  # seconds without events after some that nobody has heard

_Event = dict[str, Any]


class TaskEvents(Watcher):
    """A watcher of steps, one a process."""

    def __init__(self, app: Celery, hostname: str) -> None:
        self._app = app
        self._hostname = hostname
        self._waiting: deque[_Event] = deque(maxlen=_MOST)
        self._told: set[str] = set()  # attempts that have started, as those who listen know
        self._quiet_until = 0.0  # a time of `time.monotonic`
        self._dispatcher: Any = None
        self._connection: Any = None
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="saga-events", daemon=True)
        self._thread.start()

    def started(self, work: Work, at: float) -> None:
        """Received and started at once: it has waited in Postgres, not here."""
        del at  # Flower knows this machine's clock only
        if time.monotonic() >= self._quiet_until:
            self._tell_start(work, time.time())
            self._tell()

    def _tell_start(self, work: Work, now: float) -> None:
        key = _uuid(work)
        self._told.add(key)
        self._waiting.append(
            {
                "type": "task-received",
                "uuid": key,
                "timestamp": now,
                "name": work.intent.name,
                "args": described(work),
                "kwargs": "{}",
                "root_id": str(work.key.saga_id),
                "parent_id": None,
                "retries": work.attempt - 1,
            }
        )
        self._waiting.append({"type": "task-started", "uuid": key, "timestamp": now})

    def ended(self, work: Work, outcome: Outcome, seconds: float) -> None:
        """The class of what was raised, and not its text: it may quote what the step was given."""
        key, now = _uuid(work), time.time()
        if time.monotonic() < self._quiet_until:
            self._told.discard(key)
            return
        if key not in self._told:
            self._tell_start(work, now - seconds)
        self._told.discard(key)
        event: _Event = {"uuid": key, "timestamp": now}
        if outcome.state == "succeeded":
            event |= {"type": "task-succeeded", "result": "(not shown)", "runtime": seconds}
        else:
            is_retried = outcome.state in (StepState.RETRYING, StepState.UNKNOWN)
            raised = outcome.cause
            event |= {
                "type": "task-retried" if is_retried else "task-failed",
                "exception": outcome.state if raised is None else type(raised).__name__,
                "traceback": None,
            }
        self._waiting.append(event)
        self._tell()

    def _tell(self) -> None:
        if not self._news.is_set():
            self._news.set()

    def stopped(self) -> None:
        """Sends what waits."""
        self._stopping.set()
        self._news.set()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._news.wait()
            self._stopping.wait(_EVERY)
            self._news.clear()
            self._send_all()
        self._disconnect()

    def _send_all(self) -> None:
        try:
            while self._waiting:
                self._send(
                    [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                )
        except (OperationalError, OSError, *self._app.connection().connection_errors) as error:
            log.warning("task events are lost: %s", type(error).__name__)
            self._waiting.clear()
            self._disconnect()
        except Exception:
            log.exception("task events")
            self._disconnect()

    def _send(self, events: list[_Event]) -> None:
        if self._dispatcher is None:
            self._connection = self._app.connection_for_write()
            self._dispatcher = self._app.events.Dispatcher(
                self._connection,
                hostname=self._hostname,
                buffer_while_offline=False,
                buffer_group=["task"],
                buffer_limit=10 * _BATCH,  # we flush ourselves
            )
        for event in events:
            self._dispatcher.send(**event)
        self._dispatcher.flush()
        # Only our own transport of Redis knows.
        if getattr(self._dispatcher.producer.channel, "heard_by", None) == 0:
            self._quiet_until = time.monotonic() + _UNHEARD
            self._told.clear()

    def _disconnect(self) -> None:
        connection, self._connection, self._dispatcher = self._connection, None, None
        if connection is not None:
            connection.release()


def described(work: Work) -> str:
    """What Flower shows as the arguments of a step."""
    undo = " undo" if work.key.undo else ""
    where = f"saga={work.key.saga_id} position={work.key.position}{undo}"
    return f"{where} attempt={work.attempt} of {work.saga_name}"


def _uuid(work: Work) -> str:
    return f"{work.idempotency_key}:{work.attempt}"

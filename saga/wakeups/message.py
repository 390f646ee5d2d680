"""Wake-ups: hints that something may run. They carry ids only; a lost one costs time, not work."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from saga.core.context import idempotency_key
from saga.core.rows import StepKey

ADVANCE = "saga.advance"


_STEP = "saga.step."


def task_of(step: str) -> str:
    """The Celery task that the wake-ups of a step are for. A step with a dot in its name may be
    made of a task of that name, and is not to be taken for it by a worker that knows only the task.
    """
    return _STEP + step if "." in step else step


def step_of(task: str) -> str:
    """The opposite."""
    return task.removeprefix(_STEP)


class WakeUp(NamedTuple):
    """One hint: `task` is for the step (see `task_of`; or ADVANCE), `queue` where it may run."""

    queue: str
    task: str
    saga_id: UUID
    position: int = 0
    undo: bool = False
    attempt: int = 0

    @classmethod
    def for_step(cls, queue: str, name: str, key: StepKey, attempt: int = 0) -> "WakeUp":
        return cls(queue, task_of(name), key.saga_id, key.position, key.undo, attempt)


def key_of(*arguments: object) -> StepKey | None:
    """The step that the arguments of a wake-up name, or the saga (position 0); None if they name
    none.
    """
    match arguments:
        case (str(saga_id), int(position), bool(undo)) if 0 <= position < 2**31:
            with suppress(ValueError):
                return StepKey(UUID(saga_id), position, undo)
        case _:
            pass
    return None


class Sink(Protocol):
    """Takes wake-ups, and the ids of sagas whose end somebody waits for."""

    def publish(self, wakeups: Iterable[WakeUp], ended: Sequence[UUID] = ()) -> None: ...


class Publisher(Sink, Protocol):
    """Sends wake-ups. It never raises for a broker that is away: the sweeper sends them again."""

    def length(self, queue: str) -> int | None:
        """Messages that wait in the broker for `queue`; None when it cannot be asked."""
        ...

    def intact(self) -> bool:
        """False once after the broker has lost its content."""
        ...

    def announcements(self, saga_id: UUID) -> AbstractContextManager[Callable[[float], None]]:
        """Inside the block, the function waits for the end of a saga, or at most so long."""
        ...

    def close(self) -> None: ...


HANDOVER = "saga.for."
"""What the names of queues begin with on which wake-ups are handed over."""


def handover_queue(code: Iterable[str], queues: Iterable[str]) -> str:
    """The one that workers of this code and these queues share."""
    known = json.dumps([sorted(code), sorted(queues)])
    return HANDOVER + hashlib.sha256(known.encode()).hexdigest()[:16]


def ended_channel(saga_id: UUID) -> str:
    """Where the end of a saga is announced to those who wait for its result."""
    return f"saga.ended.{saga_id}"


def encode(wakeup: WakeUp) -> bytes:
    """A Celery message (protocol 2, as kombu's Redis transport stores it) made by hand.

    A client that starts sagas so needs no Celery, and a message costs a tenth of `send_task`. The
    argument representations, which Flower shows, hold ids only.
    """
    key = idempotency_key(wakeup.saga_id, wakeup.position, wakeup.undo)
    where = f"saga={wakeup.saga_id} position={wakeup.position}" + (" undo" if wakeup.undo else "")
    headers = {
        "lang": "py",
        "task": wakeup.task,
        "id": f"{key}:{time.monotonic_ns()}",
        "root_id": str(wakeup.saga_id),
        "parent_id": None,
        "group": None,
        "argsrepr": where,
        "kwargsrepr": "{}",
        "origin": "saga",
        "ignore_result": True,
        "retries": 0,
        "timelimit": [None, None],
    }
    arguments = [str(wakeup.saga_id), wakeup.position, wakeup.undo]
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return envelope(wakeup.queue, headers, json.dumps([arguments, {}, embed]))


def envelope(queue: str, headers: Mapping[str, Any], body: str) -> bytes:
    """As kombu's Redis transport stores it. The headers have the message's `id`."""
    message: dict[str, Any] = {
        "body": body,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "correlation_id": headers["id"],
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "delivery_tag": headers["id"],
        },
    }
    return json.dumps(message, separators=(",", ":")).encode()

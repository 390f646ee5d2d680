"""What a worker has found in its user's modules: which queues that needs, and its log lines."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportMissingTypeStubs=false
# Celery and kombu have no types.

import logging
import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from kombu.entity import Exchange, Queue

from saga.core.declare.registry import registry
from saga.errors import InvalidInput
from saga.execution.own_process import queues_of
from saga.execution.settings import settings_of
from saga.storage import workers
from saga.storage.connect import connect

log = logging.getLogger("saga.worker")

_MOST = 30  # names in a line
_UNFIT = ("eventlet", "gevent")


def refuse_pool(pool: Any) -> None:
    """Raises InvalidInput for a pool on which no step would be run, or not safely."""
    name = str(pool.__module__).rpartition(".")[2]
    if name in _UNFIT:
        raise InvalidInput(
            f"-P {name}: sagas do not run on it; use threads for steps that wait, prefork for "
            "steps that compute, or solo"
        )


def users_of_queues(*, with_tasks: bool = True) -> dict[str, list[str]]:
    """What uses each queue: steps, undos and sagas. Without tasks: not what the app itself routes,
    as it does its tasks.
    """
    used: dict[str, list[str]] = {}
    for step in registry.steps():
        for made in (step, *((step.undo,) if step.undo else ())):
            routed = made.made_of is not None and "queue" not in made.made_of.options
            if with_tasks or not routed:
                used.setdefault(made.queue, []).append(made.name)
    for saga in registry.sagas():
        used.setdefault(saga.queue, []).append(saga.name)
    return used


def serve_own_queues(app: Any) -> None:
    """A worker that was given no queues takes those of the app, and those of its sagas, too."""
    queues = app.amqp.queues
    if queues._consume_from is None:
        for name in users_of_queues(with_tasks=False):
            if name not in queues.consume_from:
                queues.select_add(Queue(name, Exchange(name), routing_key=name))


def tell(app: Any, database_url: str) -> None:
    """What was found, whatever the level of the log; and a warning of each queue of it that no live
    worker serves.
    """
    sagas = [f"{saga.name} (version {saga.version})" for saga in registry.sagas()]
    steps = [step.name for step in registry.steps()]
    serves = sorted(queues_of(app))
    broker = without_password(settings_of(app).broker_url)
    elsewhere = os.environ.get("SAGA_BROKER_URL")
    if elsewhere and elsewhere != settings_of(app).broker_url:
        log.warning(
            "the app has a broker of its own, %s, and not that of SAGA_BROKER_URL, %s: clients "
            "that use the latter do not reach it, and the Redis there is not used",
            broker,
            without_password(elsewhere),
        )
    if not sagas and not steps:
        log.warning("found no saga and no step in what was imported: --app names their modules")
    _say(f"broker: {broker}")
    for what, names in (("sagas", sagas), ("steps", steps), ("serves the queues", serves)):
        _say(f"{what}: {_listed(names)}")
    with connect(database_url, "saga announce") as connection:
        missing = users_of_queues().keys() - set(serves) - workers.served(connection)
    for queue, users in sorted(users_of_queues().items()):
        if queue in missing:
            log.warning(
                "no live worker serves the queue %r of %s: start one with -Q %s",
                queue,
                _listed(users),
                queue,
            )


def without_password(url: str) -> str:
    """A broker's URL that may be shown."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _say(text: str) -> None:
    record = log.makeRecord(log.name, logging.INFO, __file__, 0, text, (), None)
    log.handle(record)


def _listed(names: Iterable[str]) -> str:
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return (", ".join(names[:_MOST]) or "none") + more

"""`saga worker`: a Celery worker for the queues of what the user's modules define."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
# Celery and kombu have no types.

import gc
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import TextIOWrapper
from typing import Any

from celery import Celery, signals
from celery.utils.nodenames import host_format  # pyright: ignore[reportUnknownVariableType]

from saga.engine.worker.watchers import Watcher
from saga.errors import InvalidInput
from saga.execution import threads
from saga.execution.app import make_app
from saga.execution.autoscale import BacklogAutoscaler
from saga.execution.found import users_of_queues
from saga.execution.modules import apps_in, import_each
from saga.execution.pool import TaskPool
from saga.execution.settings import keep, settings_of
from saga.execution.step_log import log_as_json
from saga.execution.steps import is_installed
from saga.execution.task_steps import adopt_tasks
from saga.execution.tracing import is_wanted, make_spans

_HEARTBEAT = 5.0
"""Seconds between the events by which Flower knows that a worker is there; twice as long without
one, and it is offline. Celery's two seconds cost an idle worker a third of all that it does.
"""
_COLLECTED_AT = 10_000  # objects that are new since the last time

POOLS = ("threads", "prefork", "solo")


def run_worker(
    app_modules: Sequence[str],
    queues: Sequence[str] | None = None,
    pool: str = "threads",
    concurrency: int = 32,
    *,
    database_url: str | None = None,
    broker_url: str | None = None,
    hostname: str | None = None,
    loglevel: str = "WARNING",
    events: bool = False,
    lease: float = 10.0,
    drain: float | None = None,
    autoscale: tuple[int, int] | None = None,
    watchdog: float | None = None,
    code_limit: float | None = None,
    log_json: bool = False,
    watchers: Sequence[Callable[[], Watcher]] = (),
    traces: bool | None = None,
) -> int:
    """Runs a worker in this process until it is told to stop; returns its exit code.

    `queues` None: all that the modules' steps and sagas name. A module may hold a Celery app of the
    user's on which `saga.install` was called; else one of our own is made, with this `lease` (see
    there). `drain`, `watchdog` and `code_limit`: see there, too; None: as the app was installed.
    `autoscale`: the most and the fewest slots, instead of `concurrency`. `log_json`: one JSON
    object a line. `watchers`: make what each process tells of its steps. `traces`: see
    `saga.install`. Raises InvalidInput.
    """
    if pool not in POOLS:
        raise InvalidInput(f"--pool: one of {', '.join(POOLS)}, not {pool!r}")
    if autoscale and pool == "solo":
        raise InvalidInput("--autoscale: the solo pool runs one step at a time")
    _print_by_lines()
    app = load_app(app_modules, database_url, broker_url, lease=lease)
    chosen = list(queues) if queues else known_queues(app)
    if not queues and installed_app(app_modules) is app:
        chosen += [name for name in app.amqp.queues.consume_from if name not in chosen]
    logging.getLogger("saga").setLevel(loglevel)
    name = host_format(hostname or f"saga-{os.getpid()}@%h")
    if log_json:
        signals.setup_logging.connect(log_as_json, weak=False)
    watchers = [*watchers, *settings_of(app).watchers]
    if traces and is_wanted(traces) and make_spans not in watchers:
        watchers = [*watchers, make_spans]
    told = {"drain": drain, "watchdog": watchdog, "code_limit": code_limit}
    settings = replace(
        settings_of(app),
        watchers=tuple(watchers),
        events=events,
        exits=True,
        **{name: value for name, value in told.items() if value is not None},
    )
    keep(app, settings)
    worker: Any = app.Worker(
        queues=chosen,
        pool=TaskPool if pool == "threads" else pool,
        concurrency=concurrency,
        autoscale=list(autoscale) if autoscale else None,
        autoscaler_cls=BacklogAutoscaler,
        hostname=name,
        loglevel=loglevel,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=not events,
        heartbeat_interval=_HEARTBEAT,
        quiet=True,
    )
    _collect_less()
    worker.start()
    return _leave(int(worker.exitcode or 0))


def _collect_less() -> None:
    """What is there from the start stays as long as the process, and the garbage collector went
    through it again and again: a twentieth of what steps cost that do little.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECTED_AT, 10, 10)


def _print_by_lines() -> None:
    """What a step prints is seen at once, and is not lost with a worker that dies."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


def _leave(code: int) -> int:
    """Python would wait for threads whose steps did not finish; their leases are others' by now."""
    ours = [t for t in threading.enumerate() if t.name.startswith(threads.NAME)]
    for thread in ours:
        thread.join(timeout=0.2)
    if any(thread.is_alive() for thread in ours):
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
    return code


def load_app(
    app_modules: Sequence[str],
    database_url: str | None,
    broker_url: str | None,
    *,
    lease: float = 10.0,
) -> Celery:
    """Imports the user's modules; the first Celery app among them that sagas were installed on, or
    a new one.
    """
    app = installed_app(app_modules) or make_app(database_url, broker_url, lease=lease)
    app.loader.init_worker()
    app.finalize()
    adopt_tasks(app)
    return app


def installed_app(app_modules: Sequence[str]) -> Celery | None:
    """The first Celery app in the user's modules that sagas were installed on. Raises InvalidInput
    for an attribute that is named and is none.
    """
    found: list[Celery] = []
    for name, named in import_each(app_modules):
        apps: list[Celery] = [app for app in apps_in(name, named) if is_installed(app)]
        if ":" in name and not apps:
            raise InvalidInput(f"--app: {name} is no Celery app with saga.install(app)")
        found += apps
    return found[0] if found else None


def known_queues(app: Celery | None) -> list[str]:
    """Every queue that a step, a compensation or a saga of this process names; `app`: whose tasks
    steps are made of, if it is known.
    """
    adopt_tasks(app)
    return sorted(users_of_queues())

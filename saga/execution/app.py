"""The Celery app: our own, or a user's own that is taught to run sagas."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
# Celery and kombu have no types.

import os
from typing import Any, cast

from celery import Celery

from saga.engine.advance.conductor import CACHE_BYTES
from saga.errors import InvalidInput
from saga.execution.app_check import broker_of, check, fit
from saga.execution.handover import HandoverStep
from saga.execution.refusals import Refusing
from saga.execution.settings import Settings, keep, publisher_of
from saga.execution.steps import SagaStep
from saga.execution.tracing import is_wanted, make_spans
from saga.storage.urls import libpq_url

# What a message costs is mostly the bookkeeping of unacknowledged ones, which leases and the
# sweeper make needless. `ack_emulation` off also ends the redelivery of tasks that outlive a
# visibility timeout.
_TRANSPORT = {
    "ack_emulation": False,
    "priority_steps": [0],
    "socket_timeout": 5,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    "health_check_interval": 10,
}


def make_app(
    database_url: str | None = None,
    broker_url: str | None = None,
    *,
    lease: float = 10.0,
    drain: float = 30.0,
) -> Celery:
    """A Celery app that does nothing but run sagas, with the settings that make that fast.

    The arguments are those of `install`; `broker_url` defaults to SAGA_BROKER_URL.
    """
    broker = broker_url or os.environ.get("SAGA_BROKER_URL")
    if not broker:
        raise InvalidInput("broker_url: give one, or set SAGA_BROKER_URL")
    app = Celery("saga", broker=broker, set_as_current=False)
    app.conf.update(
        broker_transport="saga.execution.transport:Transport",
        broker_transport_options=_TRANSPORT,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,  # a failover makes Redis answer with errors for a while
        task_ignore_result=True,
        task_create_missing_queues=True,
        worker_disable_rate_limits=True,
        worker_prefetch_multiplier=1,
        worker_enable_prefetch_count_reduction=False,
        worker_enable_remote_control=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        accept_content=["json"],
        worker_redirect_stdouts=False,  # print() is no log, and would be a line for each argument
    )
    return install(app, database_url, lease=lease, drain=drain)


def install(
    app: Celery,
    database_url: str | None = None,
    *,
    lease: float = 10.0,
    drain: float = 30.0,
    checks: bool | None = None,
    traces: bool | None = None,
    watchdog: float = 60.0,
    code_limit: float = 10.0,
    cache: int = CACHE_BYTES,
    private_errors: bool | None = None,
) -> Celery:
    """Makes a Celery app run sagas: its workers gain the steps as tasks, a lease and the sweeper.

    Call it when the app is configured. Its tasks and settings stay as they are, but two that are
    set unless the app has set them: `broker_channel_error_retry`, without which a failover of Redis
    ends the workers, and in workers `broker_transport`, Celery's own for Redis, which here outlives
    what is no message. The broker is the app's. Returns the app. Raises InvalidInput, also for
    settings with which no worker would take a step; calling it twice changes nothing.

    Args:
        app: The user's own Celery app, on a Redis broker.
        database_url: The Postgres of the sagas; SAGA_DATABASE_URL by default.
        lease: Seconds without a sign of life after which a worker's steps are anyone's.
        drain: Seconds that a worker which is told to stop gives its steps to finish. The leases of
            the others are then handed over at once.
        checks: Whether workers warn, when they start, of steps and sagas that are declared so that
            they will probably surprise; by default they do, unless SAGA_CHECKS is `off`.
        traces: Whether workers make OpenTelemetry spans, with the extra `otel`; by default they do
            if SAGA_TRACES is `on`.
        watchdog: Seconds of standstill, though Postgres and Redis answer, after which a worker
            process ends itself, with code 70; 0: never.
        code_limit: Seconds that a saga's code may compute without awaiting; what only blocks has
            three times as long. Then it is parked, with its line, until somebody retries it, and
            its code is taken off its thread.
        cache: Bytes of sagas that each process keeps in memory, by estimate, so that their next
            decision needs no replay.
        private_errors: Whether the messages and tracebacks of what steps and sagas raise, which may
            quote what they were given, are kept out of the database and the logs; their types and
            lines stay. By default they are told, unless SAGA_PRIVATE_ERRORS is `on`.
    """
    url = database_url or os.environ.get("SAGA_DATABASE_URL")
    if not url:
        raise InvalidInput("database_url: give one, or set SAGA_DATABASE_URL")
    url = libpq_url(url)
    if checks is None:
        checks = _is_on("SAGA_CHECKS", "on")
    if private_errors is None:
        private_errors = _is_on("SAGA_PRIVATE_ERRORS", "off")
    broker = broker_of(app)
    check(app)
    fit(app)
    watchers = (make_spans,) if is_wanted(traces) else ()
    prefix = _key_prefix(app)
    settings = Settings(
        url,
        broker,
        prefix,
        lease,
        drain,
        checks,
        watchdog,
        code_limit=code_limit,
        cache=cache,
        watchers=watchers,
        private_errors=private_errors,
    )
    publisher_of(settings).close()  # refuses a broker that we cannot publish to here, not later
    keep(app, settings)
    steps: Any = cast("Any", app).steps
    steps["worker"].add(SagaStep)
    steps["consumer"] |= {HandoverStep, Refusing}
    return app


def _is_on(variable: str, default: str) -> bool:
    return os.environ.get(variable, default).lower() not in ("off", "0", "no", "false", "")


def _key_prefix(app: Celery) -> str:
    options: dict[str, Any] = app.conf.broker_transport_options or {}
    return str(options.get("global_keyprefix", ""))

"""`saga worker`."""

import difflib
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import click

from saga.engine.worker.watchers import Watcher
from saga.execution.modules import import_each
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import console
from saga.operations.cli.params import AUTOSCALE, QUEUES
from saga.operations.cli.safe import safe
from saga.operations.cli.settings import settings

_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's


@click.command("worker", cls=SagaCommand)
@click.option("--queues", "-Q", type=QUEUES, help="Parted by commas; by default all of the app's.")
@click.option(
    "--pool",
    "-P",
    type=click.Choice(["threads", "prefork", "solo"]),
    default="threads",
    show_default=True,
    help="Threads share one process; prefork for work that burns CPU; solo runs one at a time.",
)
@click.option(
    "--concurrency",
    "-c",
    type=click.IntRange(1, 10_000),
    default=32,
    show_default=True,
    help="Steps at a time.",
)
@click.option(
    "--autoscale",
    type=AUTOSCALE,
    metavar="MAX,MIN",
    help="As many slots as there is work that may run now, instead of --concurrency.",
)
@click.option(
    "--drain",
    type=click.FloatRange(0, 3600),
    help="Seconds that steps get to finish when the worker is told to stop: what the app was "
    "installed with, or 30.",
)
@click.option(
    "--watchdog",
    type=click.FloatRange(0, 3600),
    help="Seconds of standstill after which a worker ends itself, with code 70; 0: never. What "
    "the app was installed with, or 60.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Serve this worker's counts and durations to Prometheus, at /metrics.",
)
@click.option("--metrics-host", default="127.0.0.1", show_default=True)
@click.option("--name", metavar="NAME", help="As Flower and the logs show it, like worker1@%h.")
@click.option(
    "--loglevel",
    "-l",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="WARNING",
    show_default=True,
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option(
    "-E",
    "--events/--no-events",
    default=True,
    show_default=True,
    help="Let Flower see every step: ids only, some 0.03 ms of CPU each.",
)
@click.option(
    "--traces",
    is_flag=True,
    help="Make OpenTelemetry spans of steps and sagas, as SAGA_TRACES=on does; OTEL_* say where "
    "they go.",
)
def command(
    *,
    queues: list[str] | None,
    pool: str,
    concurrency: int,
    autoscale: tuple[int, int] | None,
    drain: float | None,
    watchdog: float | None,
    metrics_port: int | None,
    metrics_host: str,
    name: str | None,
    loglevel: str,
    log_format: str,
    events: bool,
    traces: bool,
) -> int:
    """Run the sagas and steps of --app until told to stop.

    SIGTERM or Ctrl-C finishes the steps that run; a worker that dies loses nothing.
    """
    used = settings()
    if not used.app_modules:
        raise click.UsageError(
            "No app: name the module that defines your steps and sagas, with --app or SAGA_APP."
        )
    watchers: list[Callable[[], Watcher]] = []
    if metrics_port is not None and pool == "prefork":
        click.get_current_context().with_resource(_counting_together())
    import_each(used.app_modules)
    if metrics_port is not None:
        watchers.append(_metrics(metrics_port, metrics_host))
    from saga.execution.worker import installed_app, known_queues, run_worker

    installed = installed_app(used.app_modules)
    _warn_of_strange(queues or [], known_queues(installed))
    if installed is None:
        _ = used.database_url
        if not used.broker_url:
            raise click.UsageError("No broker: give --broker-url or set SAGA_BROKER_URL.")
    return run_worker(
        list(used.app_modules),
        queues,
        pool,
        concurrency,
        database_url=None if installed else used.database_url,
        broker_url=used.broker_url,
        hostname=name,
        loglevel=loglevel.upper(),
        events=events,
        drain=drain,
        autoscale=autoscale,
        watchdog=watchdog,
        log_json=log_format == "json",
        watchers=watchers,
        traces=traces or None,
    )


@contextmanager
def _counting_together() -> Generator[None]:
    """Lets the processes of a pool count in files of a folder that goes with the worker, or in the
    user's, if there is one. Before anything imports prometheus_client.
    """
    if os.environ.get(_DIRECTORY):
        yield
        return
    with TemporaryDirectory(prefix="saga-metrics-") as folder:
        os.environ[_DIRECTORY] = folder
        yield


def _metrics(port: int, host: str) -> Callable[[], Watcher]:
    """Serves them; the watcher that feeds them."""
    from saga.operations.cli.metrics import serve

    try:
        from saga.operations.metrics import worker_registry
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"metrics need {error.name}: pip install 'saga-orchestrator[metrics]'"
        ) from error
    registry, watcher = worker_registry()
    console(stderr=True).print(f"metrics: http://{host}:{serve(registry, port, host)}/metrics")
    return lambda: watcher


def _warn_of_strange(queues: Sequence[str], known: Sequence[str]) -> None:
    """A queue that no definition names is misspelt, or holds other tasks of the user's."""
    screen = console(stderr=True)
    for queue in queues:
        if queue not in known:
            near = difflib.get_close_matches(queue, known, n=3)
            hint = f"did you mean {', '.join(near)}?" if near else f"they use {', '.join(known)}"
            text = f"Warning: no step or saga of your modules uses the queue {queue!r}; {hint}"
            screen.print(safe(text), markup=False)

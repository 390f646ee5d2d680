"""`saga metrics`."""

import signal
import sys
from threading import Event
from typing import TYPE_CHECKING

import click

from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import console
from saga.operations.cli.settings import settings
from saga.storage.queries import reader

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from saga.operations.metrics import SystemCollector


@click.command("metrics", cls=SagaCommand)
@click.option("--port", type=click.IntRange(0, 65535), help="Serve them here until told to stop.")
@click.option("--host", default="127.0.0.1", show_default=True)
def command(port: int | None, host: str) -> None:
    """Print what Prometheus would scrape: backlogs by queue, what is blocked, the sweeper's lag.

    With --port they are served instead, at /metrics. Counts and durations of steps are with the
    workers: `saga worker --metrics-port`.
    """
    system = _collector(settings().database_url)
    if port is None:
        sys.stdout.write(system.render().decode())
        return
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry(auto_describe=False)
    registry.register(system)
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stop.set())  # noqa: ARG005
    console(stderr=True).print(f"http://{host}:{serve(registry, port, host)}/metrics")
    stop.wait()


def serve(registry: "CollectorRegistry", port: int, host: str) -> int:
    """Serves from threads of its own. Returns the port; raises a usage error if it is taken."""
    from prometheus_client import start_http_server

    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        raise click.UsageError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return int(server.server_port)


def _collector(database_url: str) -> "SystemCollector":
    try:
        from saga.operations.metrics import SystemCollector
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"metrics need {error.name}: pip install 'saga-orchestrator[metrics]'"
        ) from error
    return SystemCollector(reader(database_url, pool_size=1))

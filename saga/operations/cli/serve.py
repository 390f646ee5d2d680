"""`saga serve`."""

import os
import socket
from typing import TYPE_CHECKING

import click

from saga.operations.cli.group import SagaCommand
from saga.operations.cli.settings import settings

if TYPE_CHECKING:
    import uvicorn

_BACKLOG = 2048
_PROXIES = "FORWARDED_ALLOW_IPS"  # whose X-Forwarded-For is believed: nobody's by default
_GRACE = 5  # seconds for requests that are on their way when the server is told to stop


@click.command("serve", cls=SagaCommand)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any."
)
@click.option(
    "--loglevel",
    "-l",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="WARNING",
    show_default=True,
    help="INFO has a line for each request, without its content.",
)
@click.option("--quiet", is_flag=True, help="Do not say where it listens.")
def command(*, host: str, port: int, loglevel: str, quiet: bool) -> None:
    """Serve the HTTP API until told to stop.

    Requests need a token: `saga token create NAME --role ROLE`. The document is at /openapi.json.
    Put a reverse proxy with TLS before it; it keeps no state, so there may be several.
    """
    used = settings()
    server = _server(used.database_url, used.broker_url, loglevel)
    try:
        listener = socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host} port {port}: {error}") from error
    with listener:
        url = f"http://{host}:{listener.getsockname()[1]}"
        if not quiet:
            used.output.say({"url": url}, f"The API is at {url}; Ctrl-C stops it.")
        server.run(sockets=[listener])


def _server(database_url: str, broker_url: str | None, loglevel: str) -> "uvicorn.Server":
    try:
        import uvicorn

        from saga.operations.api import ApiSettings, create_app
        from saga.operations.api.memory import give_back_large_blocks
        from saga.operations.api.protocol import Http
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"`saga serve` needs {error.name}: pip install 'saga-orchestrator[api]'"
        ) from error
    import logging

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("saga").setLevel(loglevel.upper())
    give_back_large_blocks()
    app = create_app(ApiSettings.from_environment(database_url, broker_url))
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        http=Http,
        ws="none",
        forwarded_allow_ips=os.environ.get(_PROXIES, ""),
        timeout_graceful_shutdown=_GRACE,
    )
    return uvicorn.Server(config)

"""`saga dev`."""

import signal
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click

from saga.operations.cli.group import SagaCommand
from saga.operations.cli.output import console
from saga.operations.cli.params import AUTOSCALE, QUEUES
from saga.operations.cli.safe import safe
from saga.operations.cli.settings import settings

if TYPE_CHECKING:
    from saga.operations.dev import DevStack

_MISSING = {
    "api": "No HTTP API: pip install 'saga-orchestrator[api]' brings it.",
    "flower": "No Flower: pip install 'saga-orchestrator[flower]' brings it.",
}


@click.command("dev", cls=SagaCommand)
@click.option("--queues", "-Q", type=QUEUES, help="Parted by commas; by default all of the app's.")
@click.option("--pool", "-P", type=click.Choice(["threads", "prefork", "solo"]), default="threads")
@click.option("--concurrency", "-c", type=click.IntRange(1, 10_000), default=8, show_default=True)
@click.option(
    "--autoscale",
    type=AUTOSCALE,
    metavar="MAX,MIN",
    help="As many slots as there is work, within these bounds, instead of --concurrency.",
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option(
    "--loglevel",
    "-l",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="INFO",
    show_default=True,
    help="Of the workers: INFO has a line for each step.",
)
@click.option(
    "--reload/--no-reload",
    default=None,
    help="Start workers again when a Python file here changes; by default where the extra "
    "`reload` is installed.",
)
@click.option("--flower/--no-flower", default=True, help="If it is installed; needs task events.")
@click.option("--api/--no-api", default=True, help="The HTTP API, if its extra is installed.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keeps the data from one run to the next; by default .saga here.",
)
def command(
    *,
    queues: list[str] | None,
    pool: str,
    concurrency: int,
    autoscale: tuple[int, int] | None,
    workers: int,
    loglevel: str,
    reload: bool | None,
    flower: bool,
    api: bool,
    directory: Path | None,
) -> None:
    """Start Postgres, Redis, workers for --app, the HTTP API and Flower here; Ctrl-C stops them.

    Prints what to export for other commands and for your own code: the two URLs, the API's URL and
    a token for it, Flower's URL, and the secret that signs callbacks.
    """
    try:
        from saga.operations.dev import DevStack, Plan, default_directory
        from saga.operations.dev.reload import is_installed as is_reload_installed
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"`saga dev` needs {error.name}: pip install 'saga-orchestrator[embedded]'"
        ) from error
    options = ["--pool", pool, "--concurrency", str(concurrency), "--loglevel", loglevel.upper()]
    if reload and not is_reload_installed():
        raise click.ClickException(
            "--reload needs watchfiles: pip install 'saga-orchestrator[reload]'"
        )
    if autoscale:
        options += ["--autoscale", f"{autoscale[0]},{autoscale[1]}"]
    if queues:
        options += ["--queues", ",".join(queues)]
    app = settings().app_modules
    reloads = is_reload_installed() if reload is None else reload
    plan = Plan(directory or default_directory(), app, options, workers, flower, api, reloads)
    stop = _stop_signal()
    _say("Starting Postgres and Redis ...")
    stack = DevStack(plan, _say)
    stack.start()
    try:
        _announce(stack)
        stack.watch(stop.is_set)
    finally:
        _say("Stopping ...")
        stack.stop()


def _stop_signal() -> Event:
    """Set by Ctrl-C and SIGTERM; the second Ctrl-C is not needed, and ignored."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stop.set())  # noqa: ARG005
    return stop


def _say(text: str) -> None:
    console(stderr=True).print(safe(text), markup=False)


def _announce(stack: "DevStack") -> None:
    flower = stack.flower
    value = {
        "database_url": stack.environment["SAGA_DATABASE_URL"],
        "broker_url": stack.environment["SAGA_BROKER_URL"],
        "environment_file": str(stack.environment_file),
        "workers": [child.pid for child in stack.workers],
        "flower": flower and {"url": flower.url, "user": flower.user, "password": flower.password},
        "api": stack.api and {"url": stack.api.url, "token": stack.api.token},
        "missing_extras": stack.missing,
    }
    lines = [f"export {name}={url}" for name, url in stack.environment.items()]
    lines += ["", f"In another terminal: . {stack.environment_file}"]
    if flower:
        lines.append(f"Flower: {flower.url}  user {flower.user}, password {flower.password}")
    lines += [_MISSING[extra] for extra in stack.missing]
    if not stack.workers:
        lines.append("No workers: name your module with --app to have some.")
    lines.append("Ctrl-C stops everything; the data stays.")
    example = stack.example() if stack.workers else None
    if example:
        lines.append(f"To start a saga in the other terminal: {example}")
    settings().output.emit(value, lambda screen: screen.print("\n".join(lines), markup=False))

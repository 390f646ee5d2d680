"""`saga health`."""

import click

from saga.client.units import duration
from saga.engine.worker.health_file import Sign, signs
from saga.operations.cli.group import SagaCommand
from saga.operations.cli.settings import settings


@click.command("health", cls=SagaCommand)
@click.option(
    "--within",
    type=click.FloatRange(0.1, 3600),
    default=20.0,
    show_default=True,
    help="Seconds for which a worker may be silent.",
)
@click.option("--name", metavar="NAME", help="Only the worker of that --name.")
def command(within: float, name: str | None) -> None:
    """Tell whether the workers on this machine work; a liveness probe.

    It looks at what they leave in $SAGA_HEALTH_DIR, and asks neither Postgres nor Redis: when
    those are away, new workers would be of no use. Exits with 1 if one of them hangs, or if there
    is none.
    """
    found = [sign for sign in signs() if name in (None, sign.name)]
    silent = [sign for sign in found if sign.age > within]
    if not found:
        raise click.ClickException("there is no worker" + (f" named {name}" if name else ""))
    if silent:
        raise click.ClickException("; ".join(_complaint(sign) for sign in silent))
    text = f"{len(found)} worker{'s' if len(found) > 1 else ''} at work"
    settings().output.say({"workers": [sign._asdict() for sign in found]}, text)


def _complaint(sign: Sign) -> str:
    return f"worker {sign.name} (pid {sign.pid}): no sign of life for {duration(sign.age)}"

"""`saga demo`."""

from pathlib import Path

import click

from saga.operations.cli.group import SagaCommand
from saga.operations.cli.settings import settings


@click.command("demo", cls=SagaCommand)
@click.option(
    "--input",
    "given",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSONL or CSV with a column `text`; by default 100 bundled messages.",
)
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True)
@click.option("--concurrency", type=click.IntRange(1, 1000), default=8, show_default=True)
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the services' ledgers and all logs there.",
)
def command(given: Path | None, workers: int, concurrency: int, directory: Path | None) -> int:
    """Run the support agent on servers of its own, kill a worker, flush Redis, and count.

    Exit code 0 only if nothing was lost and no effect was doubled.
    """
    try:
        from saga.operations.demo.driver import run_demo
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"The demo needs {error.name}: pip install 'saga-orchestrator[demo]'"
        ) from error
    return run_demo(given, settings().json, workers, concurrency, directory)

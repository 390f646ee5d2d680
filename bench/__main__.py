"""`python -m bench`: run the workloads and print the table."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench import table
from bench.adapters import ENGINES
from bench.engine import Engine
from bench.profile import POSTGRES_SETTINGS, Profile
from bench.runner import Runner
from bench.servers import stage
from bench.sizes import FULL, QUICK
from bench.workloads import WORKLOADS


def _leave(*_: object) -> None:
    sys.exit(143)


@click.command(name="bench")
@click.argument("workloads", nargs=-1, type=click.Choice(list(WORKLOADS)))
@click.option("--repeat", default=3, show_default=True, help="Turns of each engine; medians.")
@click.option("--engine", "names", multiple=True, type=click.Choice([e.name for e in ENGINES]))
@click.option("--json", "output", type=click.Path(path_type=Path), help="Write all numbers there.")
@click.option("--quick", is_flag=True, help="Tiny sizes: does it run at all?")
@click.option("--logs", type=click.Path(path_type=Path), help="Keep the workers' logs there.")
@click.option("--profile", is_flag=True, help="Also show where the time goes.")
def main(workloads: tuple[str, ...], output: Path | None, **options: Any) -> None:
    """Run WORKLOADS (default: all), the engines in turns, and print medians."""
    # Ended by a supervisor, it still stops its servers and removes its folder.
    signal.signal(signal.SIGTERM, _leave)
    engines = [e for e in ENGINES if not options["names"] or e.name in options["names"]]
    results = _run(workloads or tuple(WORKLOADS), engines, **options)
    click.echo(table.render(results, [engine.name for engine in engines]))
    noise = table.noise(results)
    click.echo(f"\nOther programs kept {noise:.2f} cores busy (median of the turns).")
    if output:
        turns = [
            {"workload": r.workload, "engine": r.engine, "numbers": r.numbers} for r in results
        ]
        text = json.dumps({"medians": table.medians(results), "turns": turns}, indent=2)
        output.write_text(text + "\n")


def _run(
    workloads: Sequence[str],
    engines: Sequence[type[Engine]],
    *,
    repeat: int,
    quick: bool,
    profile: bool,
    logs: Path | None,
    **_: Any,
) -> list[table.Result]:
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        # Postgres, when root starts it, runs as somebody else who has to get in.
        folder.chmod(0o755)
        with stage(folder, POSTGRES_SETTINGS if profile else None) as servers:
            runner = Runner(servers, QUICK if quick else FULL, Profile() if profile else None)
            try:
                return runner.run(workloads, engines, repeat, _tell)
            finally:
                if logs is not None:
                    _keep_logs(folder, logs)


def _keep_logs(folder: Path, logs: Path) -> None:
    for path in folder.glob("turn*/*.log"):
        target = logs / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def _tell(result: table.Result) -> None:
    numbers = "  ".join(f"{name}={number:.4g}" for name, number in result.numbers.items())
    click.echo(f"{result.workload:8} {result.engine:6} {numbers}", err=True)


if __name__ == "__main__":
    main()

"""Where the time goes: a worker's stacks, the database's statements, the broker's commands."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
import psycopg

from bench.engine import Engine

# The wheel's Postgres comes without pg_stat_statements, so that the server's own log has to do.
# It slows the server a little: the shares are to be trusted, the rates of such a run are not.
POSTGRES_SETTINGS = {
    "log_min_duration_statement": "0",
    "log_parameter_max_length": "0",
    "log_line_prefix": "",
}
TOP = 35
OWN = "/* bench */"
_DURATION = re.compile(
    r"duration: ([\d.]+) ms  (parse|bind|execute|statement)[^:]*: (.*)", re.DOTALL
)


@dataclass
class Statement:
    """One text of SQL, over all its executions."""

    calls: int = 0
    ms: dict[str, float] = field(default_factory=dict[str, float])


class Profile:
    """Prints what it saw after each turn, per step body."""

    @contextmanager
    def of(self, engine: Engine) -> Generator[Counter[str]]:
        """Watch the block, which puts the number of bodies that it ran under `bodies`."""
        log_start = engine.stage.postgres_log.stat().st_size
        commands, commits = self._commands(engine), self._commits(engine)
        seen: Counter[str] = Counter()
        with ExitStack() as recorders:
            samples = [
                recorders.enter_context(_recorded(worker.pid, engine.stage.folder))
                for worker in engine.workers
            ]
            yield seen
        bodies = max(1, seen["bodies"])
        spent = {name: n - commands[name] for name, n in self._commands(engine).items()}
        click.echo(f"\n== {engine.name}: {bodies} bodies")
        click.echo(f"commits a body: {(self._commits(engine) - commits) / bodies:.2f}")
        _print_commands(spent, bodies)
        _print_statements(engine.stage.postgres_log, log_start, bodies)
        _print_samples([path for path in samples if path.exists()])

    def _commands(self, engine: Engine) -> Counter[str]:
        stats = engine.stage.redis.info("commandstats")
        return Counter({name.removeprefix("cmdstat_"): row["calls"] for name, row in stats.items()})

    def _commits(self, engine: Engine) -> int:
        with psycopg.connect(engine.stage.postgres_url) as connection:
            # A backend tells of its last transactions only after a while, or when it is idle.
            connection.execute(f"SELECT pg_sleep(1.5) {OWN}")
            row = connection.execute(
                "SELECT sum(xact_commit)::int FROM pg_stat_database"
            ).fetchone()
        return row[0] if row else 0


@contextmanager
def _recorded(pid: int, folder: Path) -> Generator[Path]:
    """Sample the stacks of `pid` and its children into the file, which is there afterwards."""
    output = folder / f"samples{pid}"
    program = shutil.which("py-spy")
    if program is None:
        click.echo("py-spy is not installed: no stacks", err=True)
        yield output
        return
    watched = ["-p", str(pid), "--subprocesses", "--gil"]
    arguments = [*watched, "-r", "250", "-f", "raw", "-o", str(output)]
    recorder = subprocess.Popen(
        [program, "record", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield output
    finally:
        recorder.send_signal(signal.SIGINT)
        recorder.wait()


def _print_commands(spent: Mapping[str, int], bodies: int) -> None:
    click.echo(f"broker commands a body: {sum(spent.values()) / bodies:.2f}")
    for name, count in sorted(spent.items(), key=lambda item: -item[1])[:10]:
        if count > 0:
            click.echo(f"  {count / bodies:8.3f}  {name}")


def _print_statements(log: Path, start: int, bodies: int) -> None:
    with log.open(errors="replace") as file:
        file.seek(start)
        statements = _statements(file.read())
    total = sum(sum(statement.ms.values()) for statement in statements.values())
    calls = sum(statement.calls for statement in statements.values())
    click.echo(f"statements a body: {calls / bodies:.2f}, {total / bodies:.3f} ms in the server")
    ranked = sorted(statements.items(), key=lambda item: -sum(item[1].ms.values()))
    for text, statement in ranked[:12]:
        parts = ", ".join(f"{kind} {ms / bodies:.3f}" for kind, ms in statement.ms.items())
        click.echo(f"  {statement.calls / bodies:6.3f} calls  ms a body: {parts}  {text}")


def _statements(log: str) -> dict[str, Statement]:
    found: dict[str, Statement] = {}
    for entry in re.split(r"\n(?!\t)", log):
        match = _DURATION.search(entry)
        if match and OWN not in match.group(3):
            ms, kind, text = match.groups()
            statement = found.setdefault(" ".join(text.split())[:150], Statement())
            statement.calls += kind in {"execute", "statement"}
            statement.ms[kind] = statement.ms.get(kind, 0) + float(ms)
    return found


def _print_samples(paths: Sequence[Path]) -> None:
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in (line for path in paths for line in path.read_text().splitlines()):
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        own[frames[-1]] += int(count)
        for frame in {re.sub(r":\d+\)$", ")", frame) for frame in frames}:
            within[frame] += int(count)
    total = sum(own.values()) or 1
    # What encloses everything says nothing.
    telling = Counter({frame: n for frame, n in within.items() if n < 0.9 * total})
    for title, counter in (("in the line itself", own), ("within the function", telling)):
        click.echo(f"workers, holding the GIL {title} (% of {total} samples):")
        for frame, count in counter.most_common(TOP):
            click.echo(f"  {100 * count / total:5.1f}  {frame}")

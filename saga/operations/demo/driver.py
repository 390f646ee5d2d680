"""The demo: the support agent on an embedded stack, with a worker killed and Redis flushed.

Everything that it starts it stops again: after success, after a failure and after Ctrl-C.
"""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from saga.operations.demo.audit import Audit, audit, effects_so_far
from saga.operations.demo.cases import Cases, Counts, issues
from saga.operations.demo.messages import BadInputError, read
from saga.operations.demo.processes import DemoError, Workers, start_services
from saga.operations.demo.progress import Display, table
from saga.operations.demo.services import settings
from saga.operations.demo.trouble import Mishap, Troublemaker
from saga.operations.embedded import EmbeddedError, EmbeddedStack
from saga.storage.migrate import migrate
from saga.tasks.support import QUEUES, Issue

TROUBLE = 0.03
EFFECTS_PER_SAGA = 4
KILL_AT, FLUSH_AT = 0.25, 0.5
STANDSTILL = 120.0
TICK = 0.1

FAILED, WRONG_INPUT, INTERRUPTED = 1, 2, 130


def run_demo(
    input: Path | None = None,  # noqa: A002 - named like the option
    json_only: bool = False,
    workers: int = 2,
    concurrency: int = 8,
    directory: Path | None = None,
) -> int:
    """Run the support agent over all messages; gives the exit code.

    Args:
        input: JSONL or CSV with a column `text`; by default the hundred messages of the package.
        json_only: Print the closing JSON line only.
        workers: How many worker processes.
        concurrency: Threads in each of them.
        directory: Keeps the ledgers and logs; by default a temporary one that is removed.

    Returns:
        0 when nothing is lost or doubled and all sagas have ended as they should, 1 when not or
        when the demo could not run, 2 for bad input, 130 after Ctrl-C.
    """
    try:
        texts = read(input)
        with _directory(directory) as place, _stoppable():
            return _Demo(place, issues(texts), json_only, workers, concurrency).run()
    except BadInputError as error:
        click.echo(f"Error: {error}", err=True)
        return WRONG_INPUT
    except (DemoError, EmbeddedError) as error:
        click.echo(f"Error: {error}", err=True)
        return FAILED
    except KeyboardInterrupt:
        click.echo("Interrupted; everything that was started is stopped.", err=True)
        return INTERRUPTED


@dataclass(frozen=True, slots=True)
class _Demo:
    directory: Path
    issues: list[Issue]
    json_only: bool
    workers: int
    concurrency: int

    def run(self) -> int:
        with Display(len(self.issues), quiet=self.json_only) as display, ExitStack() as stack:
            display.say("starting Postgres, Redis, the services and the workers …")
            servers = stack.enter_context(EmbeddedStack())
            migrate(servers.database_url)
            services, addresses = start_services(self.directory, TROUBLE)
            stack.callback(services.stop)
            environment = settings(addresses) | {
                "SAGA_DATABASE_URL": servers.database_url,
                "SAGA_BROKER_URL": servers.broker_url,
            }
            fleet = Workers(self._command(), self.directory, environment)
            stack.callback(fleet.stop)
            fleet.start(self.workers)
            cases = Cases(servers.database_url, servers.broker_url)
            stack.callback(cases.close)
            mishaps = Troublemaker(
                [
                    Mishap(KILL_AT, "a worker was killed with -9", fleet.kill_one),
                    Mishap(FLUSH_AT, "Redis was flushed", servers.redis.flushall),
                ]
            )
            started = time.monotonic()
            cases.start(self.issues)
            counts = self._watch(cases, mishaps, fleet, display)
            seconds = time.monotonic() - started
        found = audit(self.directory, [issue.id for issue in self.issues])
        return self._report(found, counts, mishaps, seconds)

    def _command(self) -> list[str]:
        return [
            *("--app", "saga.tasks.support", "--queues", ",".join(QUEUES)),
            *("--pool", "threads", "--concurrency", str(self.concurrency)),
        ]

    def _watch(
        self, cases: Cases, mishaps: Troublemaker, fleet: Workers, display: Display
    ) -> Counts:
        """Approve and make trouble until all sagas have ended, or nothing moves any more."""
        expected = EFFECTS_PER_SAGA * len(self.issues)
        moved_at, before = time.monotonic(), -1
        while True:
            effects = effects_so_far(self.directory)
            what = mishaps.look(effects / expected)
            if what is not None:
                display.say(f"{effects} effects stand: {what}")
            counts = cases.counts()
            # The last case waits until everything has gone wrong, so that nothing is left out.
            cases.approve(counts.waiting[:-1] if mishaps.pending else counts.waiting)
            display.show(counts, effects / expected)
            if counts.ended == len(self.issues):
                return counts
            fleet.check()
            if effects != before:
                moved_at, before = time.monotonic(), effects
            if time.monotonic() - moved_at > STANDSTILL:
                display.say(f"nothing has moved for {STANDSTILL:g} s; giving up")
                return counts
            time.sleep(TICK)

    def _report(self, found: Audit, counts: Counts, mishaps: Troublemaker, seconds: float) -> int:
        result = {
            "sagas": len(self.issues),
            "completed": counts.by_status.get("completed", 0),
            "compensated": counts.by_status.get("compensated", 0),
            "lost": len(found.lost),
            "effects": found.effects,
            "duplicate_effects": found.duplicate_effects,
            "worker_kills": sum("killed" in what for what in mishaps.done),
            "redis_flushes": sum("flushed" in what for what in mishaps.done),
            "seconds": round(seconds, 2),
            "requests": found.requests,
            "repeated_requests": found.repeated_requests,
            "money_is_conserved": found.money_is_conserved,
        }
        if not self.json_only:
            table("The support agent", result, NOTES)
        click.echo(json.dumps(result))
        ended_well = result["completed"] + result["compensated"] == result["sagas"]
        nothing_wrong = not found.lost and not found.duplicate_effects and found.money_is_conserved
        return 0 if nothing_wrong and ended_well else FAILED


NOTES = {
    "completed": "ticket, hold, confirmation and refund stand",
    "compensated": "refund declined: ticket closed, hold released, mail corrected",
    "lost": "cases whose effects are not what they should be, by the services' ledgers",
    "effects": "changes that the services applied",
    "duplicate_effects": "applied twice for the same case, by the services' ledgers",
    "repeated_requests": "sent again under the same key, and deduplicated",
    "money_is_conserved": "budget, holds and refunds sum to what they did before",
}


@contextmanager
def _directory(wanted: Path | None) -> Generator[Path]:
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
        yield wanted
        return
    with tempfile.TemporaryDirectory(prefix="saga-demo-") as temporary:
        yield Path(temporary)


@contextmanager
def _stoppable() -> Generator[None]:
    """Make SIGTERM end the demo like Ctrl-C, and let nothing interrupt the tidying up."""

    def stop(number: int, frame: object) -> None:
        del number, frame
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {name: signal.signal(name, stop) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)

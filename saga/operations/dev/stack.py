"""Servers, workers, API and Flower of one folder."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from saga.core.twice import CHECK_REPLAYS
from saga.errors import SagaError
from saga.operations.child_process import Child
from saga.operations.dev import api as dev_api
from saga.operations.dev.api import DevApi
from saga.operations.dev.directory import claim, write_environment
from saga.operations.dev.example import start_command
from saga.operations.dev.kept import Kept
from saga.operations.dev.lasting import Lasting, LastingChild, LastingServer
from saga.operations.dev.plan import Plan
from saga.operations.dev.reload import Changes
from saga.operations.embedded import EmbeddedPostgres, EmbeddedRedis
from saga.operations.flower import Flower
from saga.operations.flower import is_installed as is_flower_installed
from saga.storage import queries
from saga.storage.migrate import migrate

_ANNOUNCED = 15.0
_POLL = 0.2
_IMPORT = """
import sys
from saga.errors import SagaError
from saga.execution.modules import import_each
try:
    import_each(sys.argv[1:])
except SagaError as error:
    sys.exit(str(error))
"""
# Containers run everything as root; on a developer's machine this is noise.
_QUIET = "ignore:You're running the worker with superuser privileges"


class DevStack:
    """The servers, workers, API and Flower of one folder. None of it outlives this process.

    Whatever of it ends is started again, at the same place.
    """

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._say = say
        self._resources = ExitStack()
        self._environment: dict[str, str] = {}
        self._servers: list[Lasting] = []
        self._workers: list[LastingChild] = []
        self._others: list[LastingChild] = []
        self.flower: Flower | None = None
        self.api: DevApi | None = None
        self.missing: list[str] = []
        """The extras that would bring what was asked for and is not there."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The URLs with their passwords and the API's token, as variables to export."""
        return self._environment

    @property
    def environment_file(self) -> Path:
        """A file with them, for a shell to read. They are the same in the next run."""
        return self._plan.directory / "env"

    @property
    def workers(self) -> list[Child]:
        """Those of now."""
        return [worker.child for worker in self._workers]

    def start(self) -> None:
        """Start everything. Raises SagaError, and then nothing of it runs."""
        with ExitStack() as undo:
            undo.callback(self.stop)
            self._resources.enter_context(claim(self._plan.directory))
            kept = Kept(self._plan.directory / "kept.json", self._say)
            self._start_servers(kept)
            self._environment |= dev_api.webhooks(kept)
            if self._plan.flower:
                self._start_flower(kept)
            if self._plan.app:
                self._workers += [self._worker() for _ in range(self._plan.workers)]
            if self._plan.api:
                self._start_api(kept)
            write_environment(self.environment_file, self._environment)
            self._await_workers()
            undo.pop_all()

    def watch(self, stopped: Callable[[], bool]) -> None:
        """Start again what ends, until `stopped`; workers also when their code changes. DevError
        when something cannot even start.
        """
        changes = Changes()
        with changes.watched(Path.cwd()) if self._plan.reload else contextlib.nullcontext():
            self._watch(stopped, changes)

    def _watch(self, stopped: Callable[[], bool], changes: Changes) -> None:
        while not stopped():
            if changes.take():
                self._say("the code has changed: workers start again")
                for worker in self._workers:
                    worker.renew()
            # Servers first: nothing else can start without them.
            for one in (*self._servers, *self._workers, *self._others):
                one.look(stopped)
            time.sleep(_POLL)

    def _had_begun(self, worker: Child) -> bool:
        """Whether it took up steps, as far as Postgres can tell now."""
        reader = queries.reader(self._environment["SAGA_DATABASE_URL"], pool_size=1)
        try:
            with queries.snapshot(reader) as connection:
                return queries.has_worked(connection, worker.pid, worker.age)
        except SagaError:
            return True
        finally:
            reader.dispose()

    def example(self) -> str | None:
        """A command that starts one of the sagas that workers have announced."""
        reader = queries.reader(self._environment["SAGA_DATABASE_URL"], pool_size=1)
        try:
            with queries.snapshot(reader) as connection:
                known = queries.known_sagas(connection)
                name = known[0][0] if known else None
                schema = name and queries.announced_input(connection, name, None)
        finally:
            reader.dispose()
        return None if name is None else start_command(name, schema or {})

    def stop(self) -> None:
        """Let workers finish their steps, then end the servers; again is harmless."""
        children = [*self.workers, *(other.child for other in self._others)]
        for child in children:
            child.ask()
        for child in children:
            child.stop()
        self._workers.clear()
        self._others.clear()
        self._servers.clear()
        self.flower = self.api = None
        self._resources.close()

    def _start_servers(self, kept: Kept) -> None:
        folder = self._plan.directory
        postgres = EmbeddedPostgres(folder / "postgres", port=kept.port("Postgres"))
        password = kept.secret("redis")
        redis = EmbeddedRedis(folder / "redis", port=kept.port("Redis"), password=password)
        for name, server in (("Postgres", postgres), ("Redis", redis)):
            self._resources.callback(server.stop)
            server.start()
            self._servers.append(LastingServer(name, server, self._say))
        migrate(postgres.url)
        self._environment = {"SAGA_DATABASE_URL": postgres.url, "SAGA_BROKER_URL": redis.url}

    def _start_flower(self, kept: Kept) -> None:
        if not is_flower_installed():
            self.missing.append("flower")
            return
        flower = self.flower = Flower(kept.port("Flower"), kept.secret("flower"))
        broker = self._environment["SAGA_BROKER_URL"]
        self._last("Flower", lambda: flower.start(broker), "--no-flower")
        self._environment["SAGA_FLOWER_URL"] = flower.url_for_programs

    def _start_api(self, kept: Kept) -> None:
        if not dev_api.is_installed():
            self.missing.append("api")
            return
        token = dev_api.valid_token(self._environment["SAGA_DATABASE_URL"], kept)
        api = self.api = DevApi(kept.port("the API"), token)
        settings = dict(self._environment)
        self._last("the API", lambda: api.start(settings), "--no-api")
        self._environment |= {"SAGA_URL": api.url, "SAGA_TOKEN": api.token}

    def _last(self, name: str, start: Callable[[], Child], without: str) -> None:
        hint = f" ({without} does without it)"
        self._others.append(LastingChild(name, start, self._say, hint))

    def _await_workers(self) -> None:
        """Until sagas can be started by name; not for ever, as an app may have none."""
        deadline = time.monotonic() + _ANNOUNCED
        with contextlib.closing(_Announced(self._environment["SAGA_DATABASE_URL"])) as announced:
            while self._workers and time.monotonic() < deadline and not announced.any():
                if not all(child.running for child in self.workers):
                    return  # `watch` says so
                time.sleep(_POLL)

    def _worker(self) -> LastingChild:
        events = ["--events"] if self.flower else []
        apps = [option for name in self._plan.app for option in ("--app", name)]
        command = [sys.executable, "-m", "saga.operations.cli", "worker"]
        command += [*apps, *self._plan.worker_options, *events]
        checks = {CHECK_REPLAYS: os.environ.get(CHECK_REPLAYS, "1")}
        environment = {**self._environment, **checks, "PYTHONWARNINGS": _QUIET}
        return LastingChild(
            "a worker",
            lambda: Child(command, environment),
            self._say,
            explain=lambda: _import_error(self._plan.app, environment),
            had_begun=self._had_begun,
        )


def _import_error(app: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """What a worker says that cannot import its modules; it has said it far above."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT, *app],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip().rpartition("\n")[2] or None if done.returncode else None


class _Announced:
    """What workers have said of themselves, to this run or an earlier one."""

    def __init__(self, database_url: str) -> None:
        self._reader = queries.reader(database_url, pool_size=1)

    def any(self) -> bool:
        with queries.snapshot(self._reader) as connection:
            return bool(queries.known_sagas(connection) or queries.workers(connection, limit=1))

    def close(self) -> None:
        self._reader.dispose()

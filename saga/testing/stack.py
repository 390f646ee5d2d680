"""The real thing for tests: Postgres, Redis and workers, as `saga dev` starts them."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self
from unittest import mock

from saga.client.client import Client
from saga.operations.dev import DevStack, Plan

log = logging.getLogger("saga.testing")


class Stack:
    """Servers and workers of their own, in a temporary folder; also as root. A context manager.

    `app`: the modules that workers import. Each saga's code is run twice at each decision.
    """

    def __init__(self, app: Sequence[str], *, workers: int = 1) -> None:
        self._app = tuple(app)
        self._workers = workers
        self._resources = ExitStack()
        self.database_url = ""
        """For what connects to Postgres itself."""
        self.broker_url = ""
        """The same of Redis."""
        self.client: Client
        """Starts sagas, signals them and waits for them."""

    def start(self) -> Self:
        """Returns when workers have said which sagas they can run. Raises SagaError."""
        with ExitStack() as undo:
            undo.callback(self.stop)
            name = tempfile.TemporaryDirectory(prefix="saga-stack-")
            folder = Path(self._resources.enter_context(name))
            folder.chmod(0o711)  # Postgres is another account's when we are root
            options = ("--pool", "threads", "--concurrency", "8")
            plan = Plan(folder, self._app, options, self._workers, flower=False, api=False)
            stack = DevStack(plan, log.info)
            self._resources.callback(stack.stop)
            # What the test can import, its workers can.
            with mock.patch.dict(os.environ, {"PYTHONPATH": os.pathsep.join(sys.path)}):
                stack.start()
            self.database_url = stack.environment["SAGA_DATABASE_URL"]
            self.broker_url = stack.environment["SAGA_BROKER_URL"]
            self.client = Client(self.database_url, self.broker_url)
            self._resources.callback(self.client.close)
            undo.pop_all()
        return self

    def stop(self) -> None:
        """Lets steps finish, and ends everything; again is harmless."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

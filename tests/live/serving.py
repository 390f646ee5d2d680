"""`saga serve`, and tokens for it."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from saga.client.connections import Connections
from saga.operations.tokens import ROLES, hashed, new_token
from saga.storage import tokens
from tests.live.http import Api
from tests.live.processes import saga_process, until


def make_tokens(database_url: str) -> dict[str, str]:
    """One for each role, named after it."""
    made: dict[str, str] = {}
    connections = Connections(database_url, "test")
    for role in ROLES:
        token, hint = new_token()
        connections.call(
            lambda run: tokens.create(run, f"the-{role}", role, hashed(token), hint, "test", None)  # noqa: B023
        )
        made[role] = token
    connections.close()
    return made


@contextmanager
def serving(
    database_url: str, broker_url: str | None, log: Path, **environment: str
) -> Generator[Api]:
    """A server that answers; without a token."""
    urls = {"SAGA_DATABASE_URL": database_url} | (
        {"SAGA_BROKER_URL": broker_url} if broker_url else {}
    )
    command = ("serve", "--port", "0", "--json", "--loglevel", "INFO")
    with saga_process(*command, environment=urls | environment, log=log) as server:

        def url() -> str:
            lines = [line for line in server.output.splitlines() if line.startswith('{"url"')]
            return json.loads(lines[0])["url"] if lines else ""

        api = Api(until(url, "the server listens", describe=lambda: server.output))
        until(lambda: api.get("/health/live").status == 200, "the server answers")
        yield api

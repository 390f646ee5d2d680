"""The HTTP API of the development stack, with a token that may do everything."""

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from saga.client.connections import Connections
from saga.operations.child_process import Child
from saga.operations.dev.kept import Kept
from saga.operations.embedded.ports import LOOPBACK
from saga.operations.tokens import hashed, new_token
from saga.storage import tokens
from saga.storage.starts import Executor

_NAME = "saga dev"


@dataclass(frozen=True, slots=True)
class DevApi:
    """A `saga serve`, on loopback only."""

    port: int
    token: str = field(repr=False)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self, environment: Mapping[str, str]) -> Child:
        """Run it, for these databases."""
        command = [sys.executable, "-m", "saga.operations.cli", "serve"]
        return Child([*command, "--port", str(self.port), "--quiet"], environment)


def is_installed() -> bool:
    """Whether the extra `api` is."""
    return all(importlib.util.find_spec(name) for name in ("fastapi", "uvicorn"))


def webhooks(kept: Kept) -> dict[str, str]:
    """Settings with which workers call receivers on this machine."""
    secret = kept.secret("webhook")
    return {"SAGA_WEBHOOK_SECRET": secret, "SAGA_WEBHOOK_ALLOW": "127.0.0.0/8,::1"}


def valid_token(database_url: str, kept: Kept) -> str:
    """The one of the last run, or a new one if that database does not know it or it was revoked."""
    connections = Connections(database_url, _NAME)
    try:
        return connections.call(lambda run: _valid(run, kept))
    finally:
        connections.close()


def _valid(run: Executor, kept: Kept) -> str:
    known = kept.known_secret("api")
    if known and tokens.find(run, hashed(known)):
        return known
    token, hint = new_token()
    # Kept first: a crash in between leaves a token that the next run replaces.
    kept.keep("api", token)
    tokens.revoke(run, _NAME, _NAME)
    tokens.create(run, _NAME, "admin", hashed(token), hint, _NAME, None)
    return token

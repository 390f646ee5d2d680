"""What stays the same from one run to the next, so that a shell need not read it anew."""

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from saga.operations.dev.directory import write_private
from saga.operations.dev.errors import DevError
from saga.operations.embedded.ports import free_port, is_free

_BYTES = 24


class Kept:
    """The ports and secrets of one folder, by the names of what uses them.

    A port that somebody else has taken is replaced, which `say` tells. Deleting the file makes
    everything new.
    """

    def __init__(self, file: Path, say: Callable[[str], None]) -> None:
        self._file = file
        self._say = say
        known = self._read()
        self._ports: dict[str, int] = known.get("ports", {})
        self._secrets: dict[str, str] = known.get("secrets", {})

    def port(self, name: str) -> int:
        """Of the loopback interface, and free."""
        known = self._ports.get(name)
        if known is not None and is_free(known):
            return known
        port = self._ports[name] = free_port()
        self._save()
        if known is not None:
            self._say(
                f"port {known} of {name} is taken by another program: it listens on {port} now, "
                "and shells have to read what there is to export again"
            )
        return port

    def secret(self, name: str) -> str:
        """Random, and safe in a URL."""
        return self._secrets.get(name) or self.keep(name, secrets.token_urlsafe(_BYTES))

    def known_secret(self, name: str) -> str | None:
        """The same, but None if there is none yet."""
        return self._secrets.get(name)

    def keep(self, name: str, secret: str) -> str:
        """From now on it is this one."""
        self._secrets[name] = secret
        self._save()
        return secret

    def _read(self) -> dict[str, Any]:
        try:
            return json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise DevError(f"{self._file}: {error}. Delete it to have new secrets.") from error

    def _save(self) -> None:
        write_private(self._file, json.dumps({"ports": self._ports, "secrets": self._secrets}))

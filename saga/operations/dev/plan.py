"""What the development stack consists of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start. `app` empty: no workers. `worker_options` go to `saga worker`."""

    directory: Path
    app: Sequence[str]
    worker_options: Sequence[str] = ()
    workers: int = 1
    flower: bool = True
    api: bool = True
    reload: bool = False

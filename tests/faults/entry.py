"""A worker process: `python -m tests.faults.entry '{"modules": [...], ...}'`."""

import json
import sys
from typing import Any

from saga.execution.worker import run_worker
from tests.faults import unreliable


def main(options: dict[str, Any]) -> int:
    """Runs a worker; the options are those of `run_worker`. Its exit code."""
    unreliable.install()
    return run_worker(options.pop("modules"), **options)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))

"""What the sweeper of this process has done, in plain numbers, for whoever exports them."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Leases that it ended, whose outcomes nobody knows. `takeovers`: of dead workers; `timeouts`:
    of steps whose time was up.
    """

    takeovers: int = 0
    timeouts: int = 0


COUNTERS = Counters()
"""Those of this process."""

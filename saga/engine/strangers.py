"""Wake-ups for sagas that this database does not have."""

import logging
import time
from uuid import UUID

log = logging.getLogger("saga.wakeups")

_EVERY = 60.0  # seconds


class Strangers:
    """Says that they come, at most once a minute.

    Two installations that share a broker's database take each other's wake-ups: nothing is lost, as
    the sweeper sends them again, but everything is late, and nobody would know why.
    """

    def __init__(self) -> None:
        self._quiet_until = 0.0

    def met(self, saga_id: UUID) -> None:
        """A wake-up came for this one."""
        now = time.monotonic()
        if now < self._quiet_until:
            return
        self._quiet_until = now + _EVERY
        log.warning(
            "a wake-up came for saga %s, which is not in this database: unless it was pruned,"
            " or lost with a failover, another installation uses the same broker database, and each"
            " takes the other's",
            saga_id,
        )

"""How often the sweeper looks at what waits for a worker.

Whatever may run, or waits for a wake-up, has a `due_at` within the horizon: what is asked for all
of it reads a range of a partial index, however many sagas sleep for days.
"""

from typing import LiteralString

LONGEST: LiteralString = "30"
"""Seconds, in SQL: the longest pause between two looks. `due` doubles the pauses up to it."""

HORIZON: LiteralString = "interval '40 seconds'"
"""In SQL: within this from now, all of it is due. Longer than LONGEST by what a look may take."""

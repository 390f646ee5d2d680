"""What a look at the text of users' code finds, before anything runs."""

from saga.operations.check.check import check
from saga.operations.check.finding import Finding

__all__ = ["Finding", "check"]

"""The idempotency key of the step that runs here."""

from __future__ import annotations

import uuid

from saga import current
from saga.errors import OutsideStep

UNDO = ":undo"


def own_key() -> str:
    """The key of the running step or compensation; outside of one a new one each time."""
    try:
        return current().idempotency_key
    except OutsideStep:
        return str(uuid.uuid4())


def forward_key() -> str:
    """The key of the step itself, also within its compensation and its probe."""
    return own_key().removesuffix(UNDO)

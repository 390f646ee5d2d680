"""Settings of the step library, all from the environment."""

from __future__ import annotations

import os

from saga import Permanent


def required(name: str, purpose: str) -> str:
    """The value of an environment variable; `Permanent` says what it is for when it is not set."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise Permanent(f"{name} is not set: {purpose} (`saga demo` sets it by itself)")
    return value

"""The engines that the harness can measure."""

from __future__ import annotations

from bench.adapters.chain import Chain
from bench.adapters.ours import Ours
from bench.engine import Engine

ENGINES: tuple[type[Engine], ...] = (Ours, Chain)

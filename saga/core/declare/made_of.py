"""The Celery task that a step or a compensation is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class MadeOf:
    """A task, and which `options` the declaration has of its own: these are not the task's."""

    task: Any
    options: frozenset[str]

    @classmethod
    def of(cls, task: Any, options: Iterable[str]) -> MadeOf:
        return cls(task, frozenset(options))

    def with_options(self, options: Iterable[str]) -> MadeOf:
        return replace(self, options=self.options | frozenset(options))

    @property
    def former_name(self) -> str | None:
        """What 0.1.0 named it: by the task's name without its module."""
        short = str(self.task.name).rpartition(".")[2]
        return None if "name" in self.options or short == self.task.name else short

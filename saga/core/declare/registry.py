"""The steps and sagas that this process has imported, by name."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from saga.errors import DefinitionError, UnknownSaga, UnknownStep

if TYPE_CHECKING:
    from saga.core.declare.definitions import SagaDefinition, StepDefinition


class Registry:
    """Steps by name, sagas by name and version."""

    def __init__(self) -> None:
        self._steps: dict[str, StepDefinition[..., Any]] = {}
        self._sagas: dict[str, dict[int, SagaDefinition[..., Any]]] = {}

    def add_step(self, step: StepDefinition[..., Any]) -> None:
        """Raises DefinitionError if another step has this name."""
        old = self._steps.get(step.name)
        if old is not None and old.place != step.place:
            raise DefinitionError(_twice(f"step {step.name!r}", old.place, step.place))
        self._steps[step.name] = step

    def add_saga(self, saga: SagaDefinition[..., Any]) -> None:
        """Raises DefinitionError if another saga has this name and version."""
        versions = self._sagas.setdefault(saga.name, {})
        old = versions.get(saga.version)
        if old is not None and old.place != saga.place:
            raise DefinitionError(
                _twice(f"saga {saga.name!r} version {saga.version}", old.place, saga.place)
            )
        versions[saga.version] = saga

    def step(self, name: str) -> StepDefinition[..., Any]:
        """The step of this name; UnknownStep lists near names."""
        try:
            return self._steps[name]
        except KeyError:
            raise UnknownStep(name, self._steps) from None

    def saga(self, name: str, version: int | None = None) -> SagaDefinition[..., Any]:
        """The saga of this name and version (None: the newest); UnknownSaga lists near names."""
        versions = self._sagas.get(name)
        if not versions:
            raise UnknownSaga(name, self._sagas)
        if version is None:
            return versions[max(versions)]
        if version not in versions:
            known = ", ".join(map(str, sorted(versions)))
            detail = f"saga {name!r} has no version {version} here; this process knows {known}"
            raise UnknownSaga(name, self._sagas, detail)
        return versions[version]

    def renamed(self, name: str, undo: bool = False) -> str:
        """What a step, or an undo, that 0.1.0 has written down by this name is called now."""
        if undo:
            named = {step.undo.name: step.undo for step in self._steps.values() if step.undo}
        else:
            named = self._steps
        if name in named:
            return name
        now = [
            one.name
            for one in named.values()
            if one.made_of is not None and one.made_of.former_name == name
        ]
        return now[0] if len(now) == 1 else name

    def steps(self) -> tuple[StepDefinition[..., Any], ...]:
        """All steps, by name."""
        return tuple(self._steps[name] for name in sorted(self._steps))

    def sagas(self) -> tuple[SagaDefinition[..., Any], ...]:
        """All sagas, by name and version."""
        return tuple(
            versions[version]
            for _, versions in sorted(self._sagas.items())
            for version in sorted(versions)
        )

    @contextlib.contextmanager
    def sandbox(self) -> Generator[None]:
        """For tests: what is defined inside is forgotten afterwards, and nothing else is known."""
        kept = self._steps, self._sagas
        self._steps, self._sagas = {}, {}
        try:
            yield
        finally:
            self._steps, self._sagas = kept


def _twice(what: str, first: str, second: str) -> str:
    return f"{what} is defined twice, at {first} and at {second}: give one of them name="


registry = Registry()
"""Where `@step` and `@saga` put what they define."""

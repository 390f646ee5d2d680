"""What this process can run, looked up by the names that stand in the database."""

from saga.core.code_names import saga_code, step_code
from saga.core.declare.definitions import Compensation, SagaDefinition, StepDefinition
from saga.core.declare.registry import Registry
from saga.errors import DefinitionError, UnknownStep

_GRACE = 1.0  # seconds a worker has to report its own timeout before the sweeper does


class Catalog:
    """The registry as the engine asks it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._undos: dict[str, Compensation] = {}
        for step in registry.steps():
            if step.undo is not None:
                self._add(step.undo)

    def _add(self, undo: Compensation) -> None:
        if self._undos.setdefault(undo.name, undo) is not undo:
            raise DefinitionError(
                f"two steps have a compensation named {undo.name!r}: give one of them "
                "@step.compensation(name=...)"
            )

    def step(self, name: str) -> StepDefinition[..., object]:
        try:
            return self._registry.step(name)
        except UnknownStep:
            return self._registry.step(self._registry.renamed(name))

    def undo(self, name: str) -> Compensation:
        undo = self._undos.get(name) or self._undos.get(self._registry.renamed(name, undo=True))
        if undo is None:
            raise UnknownStep(name, self._undos)
        return undo

    def saga(self, name: str, version: int) -> SagaDefinition[..., object]:
        return self._registry.saga(name, version)

    def sagas(self) -> tuple[SagaDefinition[..., object], ...]:
        return self._registry.sagas()

    def steps(self) -> tuple[StepDefinition[..., object], ...]:
        return self._registry.steps()

    def names(self) -> set[str]:
        """Of all steps and compensations, also those that 0.1.0 gave them."""
        return {step.name for step in self._registry.steps()} | self._undos.keys() | self._former()

    def _former(self) -> set[str]:
        steps = [step for step in self._registry.steps() if step.made_of]
        undos = [undo for undo in self._undos.values() if undo.made_of]
        names = {one.made_of.former_name for one in (*steps, *undos) if one.made_of}
        return {name for name in names if name is not None and self._is_known(name)}

    def _is_known(self, name: str) -> bool:
        return self.can_run(name, undo=False) or self.can_run(name, undo=True)

    def code(self) -> list[str]:
        """All that this process can run, as `saga_code` and `step_code` name it."""
        sagas = {saga_code(saga.name, saga.version) for saga in self._registry.sagas()}
        return sorted(sagas | {step_code(name) for name in self.names()})

    def can_run(self, name: str, undo: bool) -> bool:
        try:
            self.undo(name) if undo else self.step(name)
        except UnknownStep:
            return False
        return True

    def limit(self, name: str, undo: bool) -> float | None:
        """Seconds after which the sweeper takes an attempt for lost; None without a timeout."""
        timeout = self.undo(name).timeout if undo else self.step(name).timeout
        return None if timeout is None else timeout.total_seconds() + _GRACE

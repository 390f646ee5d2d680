"""Celery's canvas as a saga: the same tasks in the same order, each of them a step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from saga.core.declare.decorators import saga, step
from saga.core.declare.definitions import SagaDefinition, StepDefinition
from saga.core.declare.options import is_task
from saga.core.declare.registry import registry
from saga.errors import DefinitionError

_Node = Callable[[tuple[Any, ...]], Awaitable[Any]]
"""Runs a part of a canvas: takes what comes before its own arguments, returns its result."""

_INSTEAD = {
    "link": "put it into the chain",
    "link_error": "give the task's step a compensation",
    "countdown": "write a saga with asyncio.sleep()",
    "eta": "write a saga with asyncio.sleep()",
    "queue": "give the step its queue: step(task, queue=...)",
    "routing_key": "give the step its queue: step(task, queue=...)",
    "priority": "give the step a queue of its own",
}


def canvas(
    name: str, signature: Any, *, version: int = 1, queue: str = "sagas"
) -> SagaDefinition[..., Any]:
    """Make a saga of a `chain`, a `group`, a `chord` or a signature of tasks.

    It runs the same tasks with the same arguments and returns what the canvas would: of a group a
    list. Started with `args=[...]`, it puts these before the arguments of the tasks that begin it,
    as `apply_async(args)` does. A task that is no step yet becomes one; one that has a
    compensation is undone when a later one fails for good.

    Raises DefinitionError for what cannot be carried over, with what to do instead: links, delays
    and queues of single signatures, `map`, `starmap` and `chunks`.
    """
    root = _node(name, signature)

    async def run(args: list[Any] | None = None) -> Any:
        return await root(tuple(args or ()))

    return saga(name=name, version=version, queue=queue)(run)


def _node(name: str, signature: Any) -> _Node:
    if not isinstance(signature, Mapping) or "task" not in signature:
        raise DefinitionError(f"{name}: want a signature, a chain, a group or a chord")
    told = cast("Mapping[str, Any]", signature)
    _check(name, told)
    match told.get("subtask_type"):
        case "chain":
            return _chain([_node(name, part) for part in told["kwargs"]["tasks"]])
        case "group":
            return _group([_node(name, part) for part in told["kwargs"]["tasks"]])
        case "chord":
            parts = told["kwargs"]
            return _chain([_header(name, parts["header"]), _node(name, parts["body"])])
        case None if not str(told["task"]).startswith("celery."):
            return _task(name, told)
        case _:
            raise DefinitionError(f"{name}: {told['task']} cannot be carried over: use a group")


def _check(name: str, told: Mapping[str, Any]) -> None:
    for option, value in told.get("options", {}).items():
        if value and option not in ("task_id", "reply_to", "shadow"):
            instead = _INSTEAD.get(option, "leave it out")
            raise DefinitionError(
                f"{name}: {told['task']}: {option} cannot be carried over: {instead}"
            )


def _header(name: str, header: Any) -> _Node:
    if isinstance(header, Mapping):
        return _node(name, header)
    return _group([_node(name, part) for part in header])


def _chain(nodes: Sequence[_Node]) -> _Node:
    async def run(before: tuple[Any, ...]) -> Any:
        for node in nodes:
            before = (await node(before),)
        return before[0] if before else None

    return run


def _group(nodes: Sequence[_Node]) -> _Node:
    async def run(before: tuple[Any, ...]) -> Any:
        return await asyncio.gather(*(node(before) for node in nodes))

    return run


def _task(name: str, told: Mapping[str, Any]) -> _Node:
    made = _step_of(name, told)
    own, named = tuple(told["args"] or ()), dict(told["kwargs"] or {})
    immutable = bool(told.get("immutable"))

    async def run(before: tuple[Any, ...]) -> Any:
        return await made(*(() if immutable else before), *own, **named)

    return run


def _step_of(name: str, told: Mapping[str, Any]) -> StepDefinition[..., Any]:
    """The step that is made of the task, or is made now."""
    for known in registry.steps():
        if known.made_of is not None and known.made_of.task.name == told["task"]:
            return known
    task: Any = getattr(told, "type", None)
    if not is_task(task):
        where = "make the canvas where the task is"
        raise DefinitionError(f"{name}: {told['task']}: only its name is known here: {where}")
    return step(task)

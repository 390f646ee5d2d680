"""A small language of what people write with asyncio, interpreted by one saga.

It needs only the core and anyio, which any Python of the machine can have.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import anyio

from saga.core.declare.decorators import saga, step
from saga.core.declare.registry import registry
from saga.core.loop.scopes import scope
from saga.core.verbs import approval, expose, now, random, signal
from saga.errors import StepFailed

Program = list[Any]

with registry.sandbox():

    @step
    def plain(tag: int) -> int:
        return tag

    @step
    def undoable(tag: int) -> int:
        return tag

    @undoable.compensation
    def undo_it(result: int | None, tag: int) -> None: ...

    @step(pivot=True)
    def pivotal(tag: int) -> int:
        return tag

    @saga
    async def inner(tag: int) -> int:
        return tag

    @saga
    async def interpreted(program: Any) -> list[Any]:
        trace: list[Any] = []
        await _run(program, trace)
        return trace


STEPS = {"plain": plain, "undoable": undoable, "pivotal": pivotal, "child": inner}


class Raised(Exception):
    """What a program raises by itself."""


def _note(trace: list[Any], what: Any) -> None:
    trace.append(what)
    expose(trace)


async def _run(program: Program, trace: list[Any]) -> Any:
    kind, *rest = program
    try:
        result = await OPERATIONS[kind](trace, *rest)
    except BaseException as exc:
        _note(trace, f"{kind}: {type(exc).__name__}")
        raise
    _note(trace, [kind, result])
    return result


async def _step(trace: list[Any], name: str, tag: int) -> Any:
    return await STEPS[name](tag)


async def _sleep(trace: list[Any], seconds: float) -> None:
    await asyncio.sleep(seconds)


async def _seq(trace: list[Any], parts: list[Program]) -> None:
    for part in parts:
        await _run(part, trace)


async def _gather(trace: list[Any], parts: list[Program], keep: bool) -> int:
    results = await asyncio.gather(*(_run(p, trace) for p in parts), return_exceptions=keep)
    return sum(isinstance(result, BaseException) for result in results)


async def _group(trace: list[Any], parts: list[Program]) -> None:
    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(_run(part, trace))


async def _try(trace: list[Any], body: Program, handler: Program) -> None:
    try:
        await _run(body, trace)
    except StepFailed as exc:
        _note(trace, [exc.step, exc.position, exc.type])
        await _run(handler, trace)
    except Exception as exc:
        _note(trace, type(exc).__name__)


async def _finally(trace: list[Any], body: Program, cleanup: Program) -> None:
    try:
        await _run(body, trace)
    finally:
        await _run(cleanup, trace)


async def _timeout(trace: list[Any], seconds: float, body: Program) -> None:
    async with asyncio.timeout(seconds):
        await _run(body, trace)


async def _move_on(trace: list[Any], seconds: float, body: Program) -> bool:
    with anyio.move_on_after(seconds) as late:
        await _run(body, trace)
    return late.cancelled_caught


async def _wait_for(trace: list[Any], seconds: float, body: Program) -> None:
    await asyncio.wait_for(_run(body, trace), seconds)


async def _cancel(trace: list[Any], body: Program, trigger: Program) -> bool:
    task = asyncio.create_task(_run(body, trace))
    await _run(trigger, trace)
    task.cancel()
    await asyncio.wait([task])
    return task.cancelled()


async def _race(trace: list[Any], parts: list[Program]) -> int:
    tasks = [asyncio.create_task(_run(part, trace)) for part in parts]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        _note(trace, ["won", tasks.index(task), type(task.exception()).__name__])
    for task in pending:
        task.cancel()
    return len(pending)


async def _completed(trace: list[Any], parts: list[Program]) -> None:
    for each in asyncio.as_completed([_run(part, trace) for part in parts]):
        try:
            await each
        except Exception as exc:
            _note(trace, ["as_completed", type(exc).__name__])


async def _background(trace: list[Any], body: Program) -> None:
    _BACKGROUND.append(asyncio.create_task(_run(body, trace)))
    await asyncio.sleep(0)
    _BACKGROUND.clear()


async def _signal(trace: list[Any], name: str, seconds: float | None) -> Any:
    timeout = None if seconds is None else timedelta(seconds=seconds)
    return await signal(name, int, timeout)


async def _approval(trace: list[Any], name: str) -> Any:
    decision = await approval(name, {"of": name}, timedelta(hours=1))
    return [decision.approved, decision.timed_out, decision.at.timestamp()]


async def _scope(trace: list[Any], body: Program) -> None:
    async with scope():
        await _run(body, trace)


async def _raise(trace: list[Any]) -> None:
    raise Raised


async def _look(trace: list[Any]) -> Any:
    return [now().timestamp(), random().random()]


async def _queue(trace: list[Any], parts: list[Program]) -> int:
    queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)

    async def produce(part: Program) -> None:
        try:
            await _run(part, trace)
        finally:
            await queue.put(1)

    tasks = [asyncio.create_task(produce(part)) for part in parts]
    total = sum([await queue.get() for _ in tasks])
    await asyncio.gather(*tasks, return_exceptions=True)
    return total


async def _locked(trace: list[Any], parts: list[Program]) -> None:
    lock = asyncio.Lock()

    async def one(part: Program) -> None:
        async with lock:
            await _run(part, trace)

    await asyncio.gather(*(one(part) for part in parts), return_exceptions=True)


async def _semaphore(trace: list[Any], parts: list[Program]) -> None:
    gate = asyncio.Semaphore(2)

    async def one(part: Program) -> None:
        async with gate:
            await _run(part, trace)

    await asyncio.gather(*(one(part) for part in parts), return_exceptions=True)


async def _shield(trace: list[Any], seconds: float, body: Program) -> Any:
    task = asyncio.create_task(_run(body, trace))
    try:
        async with asyncio.timeout(seconds):
            await asyncio.shield(task)
    except TimeoutError:
        _note(trace, "shielded")
    return await task


async def _condition(trace: list[Any], parts: list[Program]) -> None:
    condition, ended = asyncio.Condition(), 0

    async def one(part: Program) -> None:
        nonlocal ended
        try:
            await _run(part, trace)
        finally:
            async with condition:
                ended += 1
                condition.notify_all()

    tasks = [asyncio.create_task(one(part)) for part in parts]
    async with condition:
        await condition.wait_for(lambda: ended == len(tasks))
    await asyncio.gather(*tasks, return_exceptions=True)


async def _event(trace: list[Any], first: Program, then: Program) -> None:
    event = asyncio.Event()

    async def waiter() -> None:
        await event.wait()
        await _run(then, trace)

    task = asyncio.create_task(waiter())
    try:
        await _run(first, trace)
    finally:
        event.set()
        await task


async def _barrier(trace: list[Any], parts: list[Program]) -> None:
    barrier = asyncio.Barrier(len(parts))

    async def one(part: Program) -> None:
        await barrier.wait()
        await _run(part, trace)

    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(one(part))


async def _settled(trace: list[Any], body: Program, beside: Program, then: Program) -> None:
    """What is gathered has ended before, while another task has yet to begin."""
    ended = [asyncio.create_task(_run(body, trace))]
    await asyncio.wait(ended)
    other = asyncio.create_task(_run(beside, trace))
    await asyncio.gather(*ended, return_exceptions=True)
    await _run(then, trace)
    await other


async def _completed_later(trace: list[Any], parts: list[Program], first: Program) -> None:
    """The iterator is made, and looked at when something else was asked for."""
    each_of = asyncio.as_completed([_run(part, trace) for part in parts])
    await _run(first, trace)
    for each in each_of:
        try:
            await each
        except Exception as exc:
            _note(trace, ["as_completed", type(exc).__name__])


async def _shared(trace: list[Any], body: Program, seconds: float) -> None:
    """One task that several wait for, each in its way."""
    task = asyncio.create_task(_run(body, trace))

    async def patient() -> None:
        await asyncio.wait_for(asyncio.shield(task), seconds)

    async with asyncio.TaskGroup() as outer:
        outer.create_task(patient())
        async with asyncio.TaskGroup() as inner:
            inner.create_task(patient())
            await task


_BACKGROUND: list[asyncio.Task[Any]] = []

OPERATIONS: dict[str, Any] = {
    "step": _step,
    "sleep": _sleep,
    "seq": _seq,
    "gather": _gather,
    "group": _group,
    "try": _try,
    "finally": _finally,
    "timeout": _timeout,
    "move_on": _move_on,
    "wait_for": _wait_for,
    "cancel": _cancel,
    "race": _race,
    "as_completed": _completed,
    "background": _background,
    "signal": _signal,
    "approval": _approval,
    "scope": _scope,
    "raise": _raise,
    "look": _look,
    "queue": _queue,
    "locked": _locked,
    "semaphore": _semaphore,
    "shield": _shield,
    "condition": _condition,
    "event": _event,
    "barrier": _barrier,
    "settled": _settled,
    "completed_later": _completed_later,
    "shared": _shared,
}

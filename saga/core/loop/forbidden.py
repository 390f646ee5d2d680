"""What an event loop can do and a saga cannot: everything real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

from saga.errors import NotDeterministic

_CALLED = {
    "run_in_executor": "loop.run_in_executor() (asyncio.to_thread(), a thread)",
    "create_connection": "loop.create_connection() (asyncio.open_connection(), a socket)",
    "create_server": "loop.create_server() (asyncio.start_server(), a socket)",
    "subprocess_exec": "loop.subprocess_exec() (asyncio.create_subprocess_exec())",
    "subprocess_shell": "loop.subprocess_shell() (asyncio.create_subprocess_shell())",
}


def refuse_the_rest(loop: type[asyncio.AbstractEventLoop]) -> None:
    """Give `loop` a method that raises NotDeterministic for each that it does not define."""
    for name in vars(asyncio.AbstractEventLoop):
        if not name.startswith("_") and name not in vars(loop):
            setattr(loop, name, refusal(name))


def refusal(name: str) -> Callable[..., NoReturn]:
    """What stands in the place of a method that a saga has not."""
    called = _CALLED.get(name, f"loop.{name}()")

    def refuse(*_: object, **__: object) -> NoReturn:
        raise NotDeterministic(
            f"{called} is real input or output, and a replay could not repeat it: put it in a step"
        )

    refuse.__name__ = name
    return refuse

"""Calling the function of a step where there is no engine."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any


async def called(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """What it returns. Where Django is loaded, which forbids its ORM in the thread of an event
    loop, a `def` runs in the thread that Django wants it in.
    """
    if "django" in sys.modules and not inspect.iscoroutinefunction(function):
        from asgiref.sync import sync_to_async

        result = await sync_to_async(function, thread_sensitive=True)(*args, **kwargs)
    else:
        result = function(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result

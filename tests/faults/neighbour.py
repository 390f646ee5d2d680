"""Another app on the same servers, whose queues are the default ones, too."""

import asyncio

from saga import saga, step


@step
def moor(item: int) -> int:
    return item


@saga
async def harbour(width: int) -> int:
    """All at once."""
    return sum(await asyncio.gather(*(moor(item) for item in range(width))))

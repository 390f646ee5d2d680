"""A saga as it was deployed first."""

from saga import saga, signal
from tests.faults.sagas import book, ship


@saga(name="deployed")
async def deployed(stops: int) -> str:
    """Books, waits, and ships."""
    for stop in range(stops):
        await book(stop)
    await signal("go")
    await ship(stops)
    return "old"

"""The same saga and version after a change that should have had a version of its own."""

from saga import saga, signal
from tests.faults.sagas import charge, ship


@saga(name="deployed")
async def deployed(stops: int) -> str:
    """Charges, waits, and ships."""
    for stop in range(stops):
        await charge(stop)
    await signal("go")
    await ship(stops)
    return "new"

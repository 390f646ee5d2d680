"""Serves the attic's queue without knowing what is there."""

from saga import saga, step


@step(queue="attic")
def sweep() -> None:
    """Something else."""


@saga
async def clean() -> None:
    """Something else."""
    await sweep()

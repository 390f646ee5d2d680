"""A step that prints."""

from saga import saga, step


@step
def talk(item: str) -> None:
    """Say it in three words."""
    print("hello", item, 5)  # noqa: T201 - as users do


@saga
async def conversation(item: str) -> None:
    """Say it once."""
    await talk(item)

"""Sagas that are given a secret, and do with it what careless code does."""

from datetime import timedelta

from pydantic import BaseModel

from saga import Retry, saga, step

ONCE_MORE = Retry(max_attempts=2, first=timedelta(seconds=0.05))


class Card(BaseModel):
    number: str
    limit: int = 0


@step
def keep(card: Card) -> str:
    return card.number


@keep.compensation
def forget(kept: str | None, card: Card) -> None:
    pass


@step(retry=ONCE_MORE)
def stumble(number: str) -> None:
    raise ValueError(f"cannot charge {number}")


@step(queue="apart")
def count(number: int) -> int:
    return number


@saga
async def hush(card: Card, fails: bool = False) -> str:
    kept = await keep(card)
    await count(len(kept))
    if fails:
        await stumble(card.number)
    return kept

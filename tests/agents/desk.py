"""What every agent of these tests does, whatever it is made with: its tools and its model's lines.

It holds money and writes a mail at the same time, pays once a person agrees, and says how that
went. Each call of a model or of a tool leaves its mark in the ledger, under the key of its step.
"""

from datetime import timedelta
from typing import Any

from saga import Permanent, Retry
from tests.faults import effects

SOON = Retry(max_attempts=8, first=timedelta(seconds=0.1), max_losses=100)
MODEL: Any = {"retry": SOON, "queue": "llm"}
QUEUES = ("sagas", "llm", "default", "payments")
DECLINED = 13
Call = tuple[str, dict[str, Any]]


def hold(cents: int) -> str:
    """Set money aside."""
    return effects.do("hold").split()[0] + f" {cents}"


def release(result: str | None, cents: int) -> None:
    assert result in (None, f"hold {cents}")
    effects.undo("hold")


async def mail(to: str) -> str:
    """Write a mail."""
    return effects.do("mail").split()[0] + f" {to}"


async def correct(result: str | None) -> None:
    effects.undo("mail")


def refund(cents: int) -> str:
    """Pay the money back."""
    if cents == DECLINED:
        raise Permanent("the payments decline it")
    return effects.do("refund").split()[0] + f" {cents}"


HOLD: Any = {"queue": "payments", "retry": SOON, "compensation": release}
MAIL: Any = {"retry": SOON, "compensation": correct}
REFUND: Any = {"queue": "payments", "approval": True, "retry": SOON, "irreversible": True}


def says(turn: int, asked: str, told: list[str]) -> list[Call] | str:
    """What the model answers in its turn, to how many cents and to what tools have told."""
    effects.do("model")
    cents = int(asked)
    if turn == 0:
        return [("hold", {"cents": cents}), ("mail", {"to": "ann"})]
    if turn == 1:
        assert sorted(told) == [f"hold {cents}", "mail ann"]
        return [("refund", {"cents": cents})]
    return f"so: {told[-1]}"

"""The support agent as a plain coroutine: no engine, but real HTTP and SMTP."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from saga import Permanent
from saga.core.answering import answering
from saga.operations.demo.audit import audit
from saga.operations.demo.services import Services
from saga.tasks import desk, mail
from saga.tasks.desk import Category
from saga.tasks.support import (
    Issue,
    RefundRejected,
    resolve_issue,
    send_confirmation,
)


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an `async def` test in an event loop of its own."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


ISSUE = Issue(id="A-1", text="I lost my card", customer_id="C-00001", cents=1250)


def test_an_issue_is_resolved(services: Services, tmp_path: Path) -> None:
    with answering(refund=True):
        resolution = asyncio.run(resolve_issue(ISSUE))
    assert resolution.category is Category.CARD
    assert resolution.refund.cents == 1250
    found = audit(tmp_path, ["A-1"])
    assert (found.done, found.lost, found.effects, found.duplicate_effects) == (1, (), 4, 0)
    assert found.money_is_conserved


def test_a_rejected_refund_ends_it(services: Services) -> None:
    with answering(refund=False), pytest.raises(RefundRejected):
        asyncio.run(resolve_issue(ISSUE))


@in_a_loop
async def test_a_declined_refund_is_undone_step_by_step(services: Services, tmp_path: Path) -> None:
    customer = await desk.customer("C-00003")
    ticket = await desk.open_ticket("A-1", customer.id, Category.CARD, "text", key="t")
    hold = await desk.hold_funds("A-1", customer.id, 100, key="h")
    await send_confirmation("A-1", customer, ticket.id, 100)
    assert audit(tmp_path, ["A-1"]).lost == ("A-1",)
    with pytest.raises(Permanent, match=r"402: .*account of C-00003"):
        await desk.pay_back("A-1", hold.id, key="r")
    mail.send(customer.email, "Sorry", "Text", headers=labels("A-1", "mail.correct"), key="c:undo")
    await desk.release_funds("A-1", "h", key="h:undo")
    await desk.close_ticket("A-1", "t", key="t:undo")
    found = audit(tmp_path, ["A-1"])
    assert (found.undone, found.lost, found.effects, found.duplicate_effects) == (1, (), 6, 0)
    assert found.money_is_conserved


@in_a_loop
async def test_an_undo_that_comes_first_refuses_its_late_original(
    services: Services, tmp_path: Path
) -> None:
    await desk.close_ticket("A-1", "t", key="t:undo")
    await desk.release_funds("A-1", "h", key="h:undo")
    with pytest.raises(Permanent, match=r"410: .*voided"):
        await desk.open_ticket("A-1", "C-00001", Category.CARD, "text", key="t")
    with pytest.raises(Permanent, match=r"410: .*voided"):
        await desk.hold_funds("A-1", "C-00001", 100, key="h")
    assert audit(tmp_path, []).effects == 0


@in_a_loop
async def test_the_probes_find_what_was_done(services: Services) -> None:
    reference = ISSUE.id
    ticket = await desk.open_ticket(reference, "C-00001", Category.CARD, "text", key="t")
    hold = await desk.hold_funds(reference, "C-00001", 100, key="h")
    refund = await desk.pay_back(reference, hold.id, key="r")
    assert await desk.ticket_of("t") == ticket
    assert await desk.hold_of("h") == hold
    assert await desk.refund_of("r") == refund
    assert await desk.ticket_of("x") is None
    assert await desk.hold_of("x") is None
    assert await desk.refund_of("x") is None


def labels(reference: str, operation: str) -> dict[str, str]:
    return {"X-Reference": reference, "X-Operation": operation}

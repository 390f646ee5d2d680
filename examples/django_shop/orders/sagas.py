"""The sagas of the shop. Found by `autodiscover_tasks(related_name="sagas")`."""

import asyncio

import saga
from orders.tasks import charge, pack, refund, tell

charge_step = saga.step(charge, compensation=refund)
pack_step = saga.step(pack, irreversible=True)
tell_step = saga.step(tell, irreversible=True)


# Was: chain(group(charge.s(...), ...), chord(group(pack.s(...), ...), tell.s(customer)))
@saga.saga
async def fulfil(customer: str, order_ids: list[int]) -> int:
    """Charges all, packs all, and tells the customer; what was charged is given back if that
    fails.
    """
    await asyncio.gather(*(charge_step(order, 500) for order in order_ids))
    items = await asyncio.gather(*(pack_step(order) for order in order_ids))
    return await tell_step(list(items), customer)

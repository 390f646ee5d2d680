"""Its sagas."""

import asyncio

import saga
from fastapi_shop.tasks import release, reserve, send_mail

reserve_step = saga.step(reserve, compensation=release)
send_mail_step = saga.step(send_mail, irreversible=True)


# Was: chord((reserve.s(item) for item in items), send_mail.si(address, "it is all yours"))
@saga.saga
async def order(address: str, items: list[str]) -> list[str]:
    """All items, or none."""
    reserved = await asyncio.gather(*(reserve_step(item) for item in items))
    await send_mail_step(address, "it is all yours")
    return list(reserved)

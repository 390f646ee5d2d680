"""A saga that no replay can follow."""

import uuid

from saga import saga, step


@step
def note(what: str) -> str:
    return what


@saga
async def restless() -> str:
    return await note(str(uuid.uuid4()))

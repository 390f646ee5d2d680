"""For the tests of those who write sagas: run one without any infrastructure.

::

    with answering(refund=True):
        assert asyncio.run(resolve_issue("ada", "where is my card?"))
"""

from saga.core.answering import answering

__all__ = ["answering"]

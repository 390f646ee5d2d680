"""Real Postgres and Redis servers out of wheels, for development, demos and tests.

Every server listens on 127.0.0.1 only, asks for a random password, lives in a directory of its
own and ends with the process that started it, however that process ends. Needs the extra
`embedded`::

    from saga.operations.embedded import EmbeddedStack

    with EmbeddedStack() as stack:
        print(stack.database_url, stack.broker_url)
"""

from saga.operations.embedded.errors import EmbeddedError
from saga.operations.embedded.postgres import EmbeddedPostgres
from saga.operations.embedded.redis import EmbeddedRedis
from saga.operations.embedded.stack import EmbeddedStack

__all__ = ["EmbeddedError", "EmbeddedPostgres", "EmbeddedRedis", "EmbeddedStack"]

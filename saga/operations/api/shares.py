"""How much there may be at once, of all and of each. For the event loop: it takes no locks."""

from collections import Counter
from collections.abc import Generator, Hashable
from contextlib import contextmanager


class Shares:
    """`most` for all together, and `each` for one of them: by default half of it."""

    def __init__(self, most: int, each: int | None = None) -> None:
        self._left = most
        self._each = (most + 1) // 2 if each is None else each
        self._taken: Counter[Hashable] = Counter()

    def take(self, who: Hashable, amount: int = 1) -> bool:
        """Whether there was room; what was taken has to be given back."""
        if amount > self._left or self._taken[who] + amount > self._each:
            return False
        self._left -= amount
        self._taken[who] += amount
        return True

    def give_back(self, who: Hashable, amount: int = 1) -> None:
        """After `take`."""
        self._left += amount
        self._taken[who] -= amount
        if not self._taken[who]:
            del self._taken[who]

    @contextmanager
    def held(self, who: Hashable, amount: int = 1) -> Generator[bool]:
        """Whether there is room, which is kept inside the block."""
        has_room = self.take(who, amount)
        try:
            yield has_room
        finally:
            if has_room:
                self.give_back(who, amount)

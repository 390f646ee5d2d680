"""Many at the same moment."""

import threading
from collections.abc import Callable


def at_once(work: Callable[[int], object], count: int = 20) -> list[object]:
    """What `work` returned, or raised, in so many threads at the same moment."""
    together = threading.Barrier(count)
    results: list[object] = [None] * count

    def run(number: int) -> None:
        together.wait()
        try:
            results[number] = work(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results

"""The processes below this one."""

import psutil


def descendants() -> set[psutil.Process]:
    """All of them, the servers that tests share included."""
    return set(psutil.Process().children(recursive=True))


def newcomers(before: set[psutil.Process]) -> set[psutil.Process]:
    """Those that have come since, but none that one of `before` has made: a shared Postgres starts
    processes whenever it likes.
    """
    return {process for process in descendants() - before if not _is_below(process, before)}


def _is_below(process: psutil.Process, some: set[psutil.Process]) -> bool:
    try:
        return not some.isdisjoint(process.parents())
    except psutil.NoSuchProcess:  # it has ended since it was listed
        return True

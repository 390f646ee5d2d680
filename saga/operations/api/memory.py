"""Memory of a server: what large requests and answers took goes back to the system."""

import ctypes

_MMAP_THRESHOLD = -3  # of mallopt(3)
_LARGE = 256 * 1024  # bytes


def give_back_large_blocks() -> None:
    """For this process. By default glibc keeps blocks of up to 32 MB once it has seen them, in a
    heap for each thread: eight bodies of 1 MB then leave 100 MB behind. Elsewhere it does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE)

"""Memory that many connections leave behind, given back to the system.

What 1,000 TLS connections took is free when they are gone, but in pieces that glibc keeps: without this the process
grew from 64 MiB to 260 and stayed there. Does nothing where the C library is another.
"""

import ctypes

_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


def trim() -> None:
    """Give free memory back; takes 0.05 ms when there is little, some milliseconds after a flood."""
    if _malloc_trim is not None:
        _malloc_trim(0)

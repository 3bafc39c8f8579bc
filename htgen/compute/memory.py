"""Freed memory kept for the next step, instead of being given back to the operating system.

A training step frees tensors of tens of megabytes and soon wants others of the same sizes. The allocator
of the C library takes each such block fresh from the operating system, which fills it with zeros page by
page when it is first written: a quarter of the time of a step on the CPU. To read a scan takes a tenth to a
fifth less time without that.
"""

import ctypes

# Parameters of mallopt(3) in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8

LARGEST_KEPT = 64 << 20, 32 << 20
"""Bytes of a block, and what older versions of glibc allow. Larger ones are given back: they leave gaps that
others do not fill, and what is computed with so many numbers takes longer than fresh memory."""

MOST_KEPT = 2**31 - 1

LARGEST_OF_DRAWINGS, MOST_OF_DRAWINGS = 8 << 20, 64 << 20
"""The same where drawings are read, which become at most 1024 pixels wide and high; photographs take no more
memory than before."""


def keep_freed_memory(largest: tuple[int, ...] = LARGEST_KEPT, most: int = MOST_KEPT) -> bool:
    """Tell the C library to keep what is freed for the whole of this process.

    All threads share it, so that it is kept once.

    Args:
        largest: bytes of a block that is kept; the first number that the library takes.
        most: bytes that are kept.

    Returns:
        Whether the C library can: glibc does; with others everything stays as it is.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # Windows has no such handle, others no such function
        return False
    if not any(mallopt(_MMAP_THRESHOLD, size) for size in largest):
        return False
    mallopt(_TRIM_THRESHOLD, most)
    mallopt(_ARENA_MAX, 1)
    return True

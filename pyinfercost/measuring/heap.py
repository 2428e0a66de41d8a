"""What the C library's heap does with freed memory: it decides whether a result's pages must be mapped anew."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
_MOST_MAPPED_BYTES = 2**25  # DEFAULT_MMAP_THRESHOLD_MAX


def keep_freed_memory() -> None:
    """Has glibc's heap neither shrink nor learn from what was freed, in this process from now on.

    Results below 32 MiB then live in memory that was used before, as they do in a process that has run for a while;
    larger ones are mapped anew each time. Elsewhere than on glibc nothing happens.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_MMAP_THRESHOLD, _MOST_MAPPED_BYTES)


def forget_freed_memory() -> None:
    """Gives back what was freed, so that a model meets the heap as in a process of its own."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None

"""Settings of the C library's heap, which decide whether the pages of a result must be mapped anew."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
_MOST_MAPPED_BYTES = 2**25  # DEFAULT_MMAP_THRESHOLD_MAX


def keep_freed_memory() -> None:
    """Stop glibc's heap in this process from shrinking and from adapting its thresholds to freed memory.

    Results below 32 MiB then reuse memory, as in a process that has run for a while; larger ones are mapped anew each
    time. Without glibc, this function does nothing.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_MMAP_THRESHOLD, _MOST_MAPPED_BYTES)


def forget_freed_memory() -> None:
    """Return freed memory to the system, so that a model starts with the heap of a new process."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None

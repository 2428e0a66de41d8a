"""Work of the core that is done on several threads, without the lock of the interpreter."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_WORKERS = 4  # more are not faster: most of the time is spent in few large allocations

Item = TypeVar("Item")
Result = TypeVar("Result")


def on_workers(function: Callable[[Item], Result], items: Collection[Item]) -> list[Result]:
    """Return the results of a function for some items, in their order.

    Raises:
        Exception: The first one of the function, in the order of the items.
    """
    workers = min(_WORKERS, os.cpu_count() or 1, len(items))
    if workers <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(workers, thread_name_prefix="pyinfercost") as pool:
        return list(pool.map(function, items))

"""What one forward really allocates: the records of torch's CPU allocator, through the profiler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Record:
    """One allocation (bytes above zero) or release (below zero), and the innermost ATen op that did it."""

    bytes: int
    op: str


@dataclass(frozen=True)
class Measured:
    """The records of one forward in order, and the high-water mark relative to the level before it."""

    records: list[Record]
    peak_bytes: int
    peak_at: int


def measure(forward: Callable[[], Any], *, warmup: bool = True) -> Measured:
    """Runs a forward under the profiler.

    One forward before it fills what torch keeps between calls (converted weights, tables of the models).
    """
    import torch

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its fused kernels are not the general path that is counted
    try:
        with torch.inference_mode():
            if warmup:
                forward()
            with torch.profiler.profile(
                activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
            ) as profiler:
                kept = forward()
            del kept
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    records = list(_records(profiler))
    level, peak, peak_at = 0, 0, -1
    for index, record in enumerate(records):
        level += record.bytes
        if level > peak:
            peak, peak_at = level, index
    return Measured(records, peak, peak_at)


def _records(profiler: Any) -> Iterator[Record]:
    import torch

    allocation = torch._C._profiler._EventType.Allocation
    found: list[tuple[int, int, Record]] = []
    waiting = [(event, "") for event in profiler.profiler.kineto_results.experimental_event_tree()]
    while waiting:
        event, op = waiting.pop()
        if event.tag == allocation:
            found.append((event.start_time_ns, len(found), Record(event.extra_fields.alloc_size, op)))
            continue
        inner = event.name if event.name.startswith("aten::") or "::" in event.name else op
        waiting.extend((child, inner) for child in event.children)
    found.sort(key=lambda entry: entry[:2])
    yield from (record for _, _, record in found)

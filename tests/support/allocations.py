"""Actual allocations of one forward: the records of torch's CPU allocator, through the profiler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_FORWARD = "the forward that is measured"


@dataclass(frozen=True)
class Record:
    """One allocation (positive bytes) or release (negative bytes), with the innermost ATen operator."""

    bytes: int
    op: str


@dataclass(frozen=True)
class Measured:
    """Records of one forward in order, and its high-water mark relative to the initial level."""

    records: list[Record]
    peak_bytes: int
    peak_op: str


def measure(prepare: Callable[[], Callable[[], Any]]) -> Measured:
    """Run `prepare()` and then the forward that it returns under the profiler.

    Memory allocated by `prepare` and freed by the forward counts too; torch does not record the size of older memory.
    It is the first forward of a module, as in a capture: tables that a module keeps are created in it.
    """
    import torch

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the counted path is the general one, not its fused kernels
    try:
        with (
            torch.inference_mode(),
            torch.profiler.profile(
                activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
            ) as profiler,
        ):
            forward = prepare()
            with torch.profiler.record_function(_FORWARD):
                kept = forward()
        del kept
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    return _peak_of(profiler)


def measure_step(step: Callable[[], Any]) -> Measured:
    """Run a training step under the profiler; what it returns is held to its end."""
    import torch

    with (
        torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
        ) as profiler,
        torch.profiler.record_function(_FORWARD),
    ):
        kept = step()
    del kept
    return _peak_of(profiler)


def _peak_of(profiler: Any) -> Measured:
    records = list(_records(profiler))
    level, peak, op = 0, 0, ""
    for record in records:
        level += record.bytes
        if level > peak:
            peak, op = level, record.op
    return Measured(records, peak, op)


def _records(profiler: Any) -> Iterator[Record]:
    import torch

    allocation = torch._C._profiler._EventType.Allocation
    found: list[tuple[int, int, Record]] = []
    start_ns = 0
    waiting = [(event, "") for event in profiler.profiler.kineto_results.experimental_event_tree()]
    while waiting:
        event, op = waiting.pop()
        if event.tag == allocation:
            found.append((event.start_time_ns, len(found), Record(event.extra_fields.alloc_size, op)))
            continue
        if event.name == _FORWARD:
            start_ns = event.start_time_ns
        inner = event.name if event.name.startswith("aten::") or "::" in event.name else op
        waiting.extend((child, inner) for child in event.children)
    found.sort(key=lambda entry: entry[:2])
    yield from (record for time_ns, _, record in found if time_ns >= start_ns)

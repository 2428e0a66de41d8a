"""Measures this processor and writes a hardware file of it, with no model run and nothing fitted."""

from __future__ import annotations

import datetime
import math
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..hardware.cpu_keys import COMPILED_LOOPS, MEASURED_LOOPS
from ..hardware.schema import SCHEMA_VERSION
from .machine import Machine, this_machine
from .toml import as_toml

Report = Callable[[str, float], None]
"""Called with what is being measured and the share of the work that is done, from 0 to 1."""

_GIGA, _TERA, _MICRO, _KIBI, _MEBI = 1e9, 1e12, 1e-6, 2.0**10, 2.0**20
_DTYPES = ("fp32", "bf16", "fp16", "int8")
_ASSUMED_CLOCK_HZ = 2.5e9  # rates per clock are only ever multiplied by the clock that stands beside them
_FLOAT_BYTES = 4
_MOST_STREAM_BYTES = 768 * _MEBI
_LEAST_STREAM_BYTES = 192 * _MEBI
_NEVER_ZERO_S = 1e-9


@dataclass
class Calibrated:
    """A hardware file as it was measured.

    Attributes:
        data: tables and keys as in the file.
        notes: what was measured beside it, and what could not be.
    """

    data: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def to_toml(self) -> str:
        """The file's text."""
        return as_toml(self.data)


def calibrate(
    *, threads: int | None = None, budget_s: float = 25.0, compiled: bool = True, report: Report | None = None
) -> Calibrated:
    """Measures what this machine reaches with torch.

    Args:
        threads: how many threads "all" are; by default one for each core.
        budget_s: seconds for the measurements in all, beside importing torch and compiling, which take as much again.
        compiled: whether to measure `torch.compile` too, which needs a C++ compiler.
        report: called as the work goes on.

    Raises:
        ImportError: torch is not installed; the message names the extra that brings it.
        ValueError: `threads` is out of range.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ImportError(
            "a calibration measures torch, which is not installed: pip install 'pyinfercost[torch]'", name=error.name
        ) from error
    machine = this_machine()
    most = machine.cores * machine.threads_per_core
    cores = machine.cores if threads is None else threads
    if not 1 <= cores <= most:
        raise ValueError(f"threads is {cores}; expected 1 to {most}, the threads of this machine")
    before = torch.get_num_threads()
    torch.set_num_threads(cores)
    try:
        return _Calibration(machine, min(cores, machine.cores), cores, budget_s, report).run(compiled=compiled)
    finally:
        torch.set_num_threads(before)


class _Calibration:
    """One run: each step measures, and takes off what the model adds for other reasons."""

    def __init__(self, machine: Machine, cores: int, threads: int, budget_s: float, report: Report | None) -> None:
        from .clock import Budget
        from .probes import Probe

        self.machine = machine
        self.cores = cores
        self.threads = threads
        self.clock_hz = machine.clock_hz or _ASSUMED_CLOCK_HZ
        each_s = budget_s / 45  # so many measurements there are
        self.probe = Probe(Budget(warm_up_s=each_s / 4, measure_s=each_s * 3 / 4))
        self.notes: list[str] = []
        self._report = report or (lambda _what, _share: None)
        self._done = 0

    def run(self, *, compiled: bool) -> Calibrated:
        self.overheads()
        self.peaks()
        self.memory()
        self.loops()
        self.products()
        self.compiled(wanted=compiled)
        self._report("done", 1.0)
        return Calibrated(self._file(), self.notes)

    def _step(self, what: str) -> None:
        self._report(what, self._done / 34)
        self._done += 1

    def overheads(self) -> None:
        self._step("dispatch of an op")
        self.dispatch_s = self.probe.dispatch_s()
        self._step("small products and convolutions")
        self.product_s = self.probe.product_overhead_s()
        self.convolution_s = self.probe.convolution_overhead_s()
        self._step("parallel loops")
        self.region_s = self.probe.region_s(self.threads) if self.threads > 1 else 0.0
        self._step("new memory")
        self.page_fault_s = self.probe.page_fault_s()

    def peaks(self) -> None:
        from .probes import on_threads

        self.flop_per_s: dict[str, float] = {}
        alone = []
        for dtype in _DTYPES:
            self._step(f"matrix products in {dtype}")
            rate = self.probe.product_flop_per_s(dtype)
            if rate is None:
                self.notes.append(f"torch has no matrix product in {dtype} here")
                continue
            self.flop_per_s[dtype] = rate
            with on_threads(1):
                one = self.probe.product_flop_per_s(dtype)
            alone.append(f"{dtype} {(one or 0.0) / _GIGA:.1f}")
        self.notes.append(f"matrix products on one thread, GFLOP/s: {', '.join(alone)}")

    def memory(self) -> None:
        from .probes import on_threads

        self.level_byte_per_s: dict[str, float] = {}
        private = [cache for cache in self.machine.caches if cache.cores == 1]
        shared = [cache for cache in self.machine.caches if cache.cores > 1]
        levels: list[tuple[str, float]] = []
        if len(private) > 1:
            levels.append(("l2", private[-1].capacity_bytes * self.cores / 2))
        elif shared and shared[0].level == 2:  # noqa: PLR2004
            levels.append(("llc", shared[0].capacity_bytes / 2))
        if shared and shared[-1].level > 2:  # noqa: PLR2004
            below = private[-1].capacity_bytes * self.cores if private else 0
            levels.append(("llc", max(shared[-1].capacity_bytes / 2, 2.0 * below)))
        last = max((cache.capacity_bytes for cache in self.machine.caches), default=_MEBI)
        levels.append(("dram", min(_MOST_STREAM_BYTES, max(_LEAST_STREAM_BYTES, 6.0 * last))))
        for name, total in levels:
            self._step(f"bandwidth of {name}")
            rates = self.probe.stream_byte_per_s(total)
            with on_threads(1):
                alone = self.probe.stream_byte_per_s(total if name == "dram" else total / self.cores)
            self.level_byte_per_s[name] = rates["add"]
            if name == "dram":
                self.dram_alone_byte_per_s = alone["add"]
            for count, measured in ((self.threads, rates), (1, alone)):
                told = ", ".join(f"{way} {rate / _GIGA:.1f}" for way, rate in measured.items())
                self.notes.append(f"{name} on {count} thread(s), GB/s: {told}")

    def _moving_s(self, byte_count: float) -> float:
        """What the model says of moving bytes that were just there."""
        rate = self.level_byte_per_s.get("l2") or self.level_byte_per_s.get("llc") or self.level_byte_per_s["dram"]
        return byte_count / rate

    def loops(self) -> None:
        self.per_clock: dict[str, float] = {}
        for name in MEASURED_LOOPS:
            self._step(f"loops: {name}")
            elements, seconds = self.probe.loop(name)
            moved = elements if name == "window" else 2 * elements
            net = seconds - self.dispatch_s - self.region_s - self._moving_s(_FLOAT_BYTES * moved)
            net = max(net, seconds / 10, _NEVER_ZERO_S)
            self.per_clock[f"{name}_per_clock_per_core"] = elements / (net * self.cores * self.clock_hz)
        self._step("loops: copying")
        elements, seconds = self.probe.copying(self.cores)
        if seconds > 0:  # else a library that copies nothing, as far as can be seen
            self.per_clock["copying_per_clock_per_core"] = elements / (seconds * self.cores * self.clock_hz)

    def products(self) -> None:
        peak = self.flop_per_s["fp32"]
        self.shares: dict[str, float] = {}
        for name in ("pixelwise", "convolution", "grouped", "depthwise", "attention"):
            self._step(f"products: {name}")
            work, moved, seconds = self.probe.product(name)
            extra = self.product_s if name == "attention" else self.convolution_s + self.product_s
            net = max(seconds - self.dispatch_s - self.region_s - extra - self._moving_s(moved), seconds / 4)
            self.shares[name] = work / (net * peak)
        for name in ("packing", "gemv"):
            self._step(f"products: {name}")
            elements, seconds = self.probe.loop(name)
            rows = 8 if name == "packing" else 1
            net = max(seconds - 2.0 * rows * elements / peak - self.dispatch_s - self.product_s, seconds / 10)
            self.per_clock[f"{name}_per_clock"] = elements / (net * self.clock_hz)

    def compiled(self, *, wanted: bool) -> None:
        from .compiled import kernel_s, loop, shared_grain

        self._step("kernels of a compiled graph")
        self.gap_s = self.dispatch_s
        if not wanted:
            self.notes.append("torch.compile was not measured: a kernel's launch is taken to cost an eager dispatch")
            return
        rates: dict[str, float] = {}
        try:
            pair, call_s = kernel_s(self.probe)
            for name in COMPILED_LOOPS:
                self._step(f"compiled loops: {name}")
                elements, seconds = loop(self.probe, name)
                moved = 5 / 9 * elements if name == "window" else 2 * elements
                net = max(seconds - call_s - self.region_s - self._moving_s(_FLOAT_BYTES * moved), seconds / 10)
                rates[f"compiled_{name}_per_clock_per_core"] = elements / (net * self.cores * self.clock_hz)
        except Exception as error:  # a compiler that is missing or broken shows as one of many kinds
            told = str(error).strip().splitlines()[:1]
            self.notes.append(
                f"torch.compile does not work here ({type(error).__name__}: {' '.join(told)[:200]}): a kernel's launch "
                "is taken to cost an eager dispatch"
            )
            return
        self.gap_s = max(pair - self.product_s, 0.1 * pair) / 2
        self.per_clock |= rates
        self.per_clock["compiled_grain"] = shared_grain()

    def _file(self) -> dict[str, Any]:
        import torch

        day = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
        source = (
            f"measured on this machine by `pyinfercost calibrate` on {day}: torch {torch.__version__}, "
            f"{self.threads} threads, Python {platform.python_version()}, {platform.platform()}"
        )
        machine = self.machine
        rates = {dtype: rounded(rate / _TERA) for dtype, rate in self.flop_per_s.items()}
        return {
            "schema_version": SCHEMA_VERSION,
            "id": identity(machine.name),
            "name": machine.name,
            "vendor": machine.vendor,
            "kind": "cpu",
            "family": machine.family,
            "verified": True,
            "source": {"text": source, "notes": self.notes},
            "compute": {
                "cores": self.cores,
                "threads_per_core": machine.threads_per_core,
                "clock_ghz": rounded(self.clock_hz / _GIGA),
                "simd": torch.backends.cpu.get_cpu_capability(),
                "vector_tflop_per_s": rates,
            },
            "memory": self._memory_tables(),
            "calibration": {
                "overheads": {
                    "source": source,
                    "dispatch_us": rounded(self.dispatch_s / _MICRO),
                    "launch_gap_us": rounded(self.gap_s / _MICRO),
                    "replay_gap_us": rounded(self.gap_s / _MICRO),
                    "kernel_minimum_us": rounded(self.product_s / _MICRO),
                },
                "achieved": {
                    "source": source + "; rates of this file are what was reached",
                    **dict.fromkeys(("matrix", "vector", "dram", "cache"), 1.0),
                },
                "limits": {
                    "source": source,
                    "dram_gb_per_s_per_core": rounded(self.dram_alone_byte_per_s / _GIGA),
                },
                "cpu": {
                    "source": source,
                    **{key: rounded(value) for key, value in (self.per_clock | self.shares).items()},
                    "convolution_us": rounded(self.convolution_s / _MICRO),
                    "parallel_region_us_per_thread": rounded(self.region_s / self.threads / _MICRO),
                    "page_fault_us": rounded(self.page_fault_s / _MICRO),
                },
            },
        }

    def _memory_tables(self) -> dict[str, Any]:
        tables: dict[str, Any] = {}
        for cache in self.machine.caches:
            private = cache.cores == 1
            name = f"l{cache.level}" if private else "llc"
            if name not in ("l1", "l2", "llc"):
                continue
            size: dict[str, Any] = (
                {"capacity_kib_per_core": rounded(cache.capacity_bytes / _KIBI)}
                if private
                # What all cores in use have of it, where groups of cores have one each.
                else {"capacity_mib": rounded(cache.capacity_bytes * math.ceil(self.cores / cache.cores) / _MEBI)}
            )
            if name in self.level_byte_per_s:
                size["bandwidth_gb_per_s"] = rounded(self.level_byte_per_s[name] / _GIGA)
            tables[name] = size
        tables["dram"] = {"bandwidth_gb_per_s": rounded(self.level_byte_per_s["dram"] / _GIGA)}
        if self.machine.memory_bytes is not None:
            tables["dram"]["capacity_gb"] = rounded(self.machine.memory_bytes / _GIGA)
        return tables


def identity(name: str) -> str:
    """An id of the catalogue's form, from a maker's name."""
    return re.sub(r"[^a-z0-9.+]+", "-", name.lower()).strip("-") or "this-machine"


def rounded(value: float) -> float:
    """Four digits: more than a measurement has."""
    return float(f"{value:.4g}")

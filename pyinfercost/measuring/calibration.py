"""Calibration of this processor: micro-benchmarks and the hardware file derived from them."""

from __future__ import annotations

import datetime
import math
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import InputError, MissingLibraryError
from ..hardware.constants import as_written
from ..hardware.schema import SCHEMA_VERSION
from .derive_constants import COMPILED_LOOPS, Readings
from .disturbance import disturbances, system_load
from .machine import Machine, this_machine
from .toml import as_toml

if TYPE_CHECKING:
    from .rounds import Timed

Report = Callable[[str, float], None]
"""Called with the name of the current measurement and the completed share of the work, from 0 to 1."""

_GIGA, _TERA, _KIBI, _MEBI, _GIBI = 1e9, 1e12, 2.0**10, 2.0**20, 2.0**30
_ASSUMED_CLOCK_HZ = 2.5e9  # rates per cycle are only used as products with the clock in the same file
_MOST_STREAM_BYTES = 768 * _MEBI
_LEAST_STREAM_BYTES = 192 * _MEBI
_PREPARING = 0.3  # share of the total time, mostly for compiling


@dataclass
class Calibrated:
    """A measured hardware file.

    Attributes:
        data: Tables and keys of the file.
        notes: Further measurements, and the reasons for missing ones.
    """

    data: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def to_toml(self) -> str:
        """Return the text of the file."""
        return as_toml(self.data)


def calibrate(
    *, threads: int | None = None, budget_s: float = 55.0, compiled: bool = True, report: Report | None = None
) -> Calibrated:
    """Measure the performance that torch reaches on this machine.

    All measurements are repeated in turn over the whole budget, so that load by other processes affects all of them
    alike. Where such a load shows, the file is not `verified`, and its predictions have the evidence of the family.
    From then on glibc's heap keeps freed memory in this process; the cost of new pages is measured separately.

    Args:
        threads: Number of threads of a parallel measurement; default: one per core.
        budget_s: Seconds of all measurements, without importing torch and compiling, which take another 20 to 30 s.
        compiled: Whether to measure `torch.compile` too, which needs a C++ compiler.
        report: Called with the progress.

    Returns:
        The hardware file.

    Raises:
        ImportError: Torch is not installed; the message names the extra to install.
        ValueError: `threads` is out of range.

    Examples:
        >>> found = ic.calibrate(budget_s=1, compiled=False)
        >>> sorted(found.data)[:1]
        ['calibration']
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            "calibration measures torch, which is not installed; run pip install 'pyinfercost[torch]'", name=error.name
        ) from error
    machine = this_machine()
    most = machine.cores * machine.threads_per_core
    threads = machine.cores if threads is None else threads
    if not 1 <= threads <= most:
        raise InputError(f"threads is {threads}; expected 1 to {most}, the threads of this machine")
    from .heap import keep_freed_memory
    from .rounds import in_rounds, on_threads

    tell = report or (lambda _what, _share: None)
    load_before = system_load()
    keep_freed_memory()
    with on_threads(threads), torch.inference_mode():
        timed, notes = _prepared(machine, threads, compiled=compiled, report=tell)
        seconds = in_rounds(timed, budget_s, lambda what, share: tell(what, _PREPARING + (1 - _PREPARING) * share))
    cores = min(threads, machine.cores)
    readings = Readings(
        timed,
        seconds,
        cores=cores,
        threads=threads,
        clock_hz=machine.clock_hz or _ASSUMED_CLOCK_HZ,
        private_bytes=_private_bytes(machine, cores),
    )
    notes += readings.notes()
    disturbed = disturbances(readings, load_before)
    if disturbed:
        notes.insert(0, f"not reliable, other processes ran: {'; '.join(disturbed)}. Calibrate an idle machine again")
    tell("done", 1.0)
    return Calibrated(_file(machine, readings, notes, is_quiet=not disturbed), notes)


def _prepared(machine: Machine, threads: int, *, compiled: bool, report: Report) -> tuple[dict[str, Timed], list[str]]:
    """Return all timed calls, and notes on those that are not possible."""
    import torch

    from . import probes
    from .compiled import chains, compiled_loop, guards

    cores = min(threads, machine.cores)
    notes: list[str] = []
    report("preparing", 0.0)
    timed = probes.overheads(threads, _private_bytes(machine, cores)) | probes.peaks(threads)
    notes += [f"torch has no {dtype} matrix product here" for dtype in probes.DTYPES if f"peak.{dtype}" not in timed]
    levels = dict(_levels(machine, cores))
    for level, total_bytes in levels.items():
        timed |= probes.streams(level, total_bytes, threads)
        alone = probes.streams(level, total_bytes if level == "dram" else total_bytes / cores, 1)
        timed |= {f"{name}.one": one for name, one in alone.items()}
    totals = _doubling(levels.get("llc", levels["dram"]), levels["dram"])
    timed |= probes.cycles("weights", totals, threads)
    timed |= probes.cycles("weights.half", totals[-1:], threads, torch.bfloat16, probes.LANGUAGE_WIDTH)
    if probes.multiplies_bytes():
        timed |= probes.cycles("weights.byte", totals[-1:], threads, torch.int8, probes.LANGUAGE_WIDTH)
    for group in (probes.loops, probes.weights, probes.products):
        timed |= group(threads)
    timed |= probes.copying(threads, cores)
    if not compiled:
        return timed, [
            *notes,
            "torch.compile was not measured: a kernel launch costs as much as an eager dispatch",
        ]
    loops: dict[str, Timed] = {}
    try:
        report("compiling: chains of kernels", 0.1)
        loops |= chains(threads)
        report("compiling: calls of modules", 0.15)
        loops |= guards(threads, _private_bytes(machine, cores))
        for place, name in enumerate(COMPILED_LOOPS):
            report(f"compiling: {name}", _PREPARING * (0.4 + 0.6 * place / len(COMPILED_LOOPS)))
            loops[f"compiled.{name}"] = compiled_loop(name, threads)
    except Exception as error:  # a missing or broken compiler raises many types
        told = " ".join(str(error).strip().splitlines()[:1])
        notes.append(
            f"torch.compile does not work here ({type(error).__name__}: {told[:200]}): a kernel launch costs as "
            "much as an eager dispatch"
        )
        return timed, notes
    return timed | loops, notes


def _private_bytes(machine: Machine, cores: int) -> float:
    """Return the capacity of the largest caches that cores do not share, over all cores; 1 MiB each if unknown."""
    private = [cache.capacity_bytes for cache in machine.caches if cache.cores == 1]
    return cores * (private[-1] if private else _MEBI)


def _doubling(least: float, most: float) -> list[float]:
    """Return sizes from the least to the most, each twice its predecessor."""
    steps = int(math.log2(max(1.0, most / least)))
    return [*(least * 2.0**step for step in range(steps + 1) if least * 2.0**step < most), most]


def _levels(machine: Machine, cores: int) -> list[tuple[str, float]]:
    """Return the levels of memory beyond the innermost, with the total bytes per level over all cores."""
    private = [cache for cache in machine.caches if cache.cores == 1]
    shared = [cache for cache in machine.caches if cache.cores > 1]
    levels: list[tuple[str, float]] = []
    if len(private) > 1:
        levels.append(("l2", private[-1].capacity_bytes * cores / 2))
    elif shared and shared[0].level == 2:  # noqa: PLR2004
        levels.append(("llc", shared[0].capacity_bytes / 2))
    if shared and shared[-1].level > 2:  # noqa: PLR2004
        below = private[-1].capacity_bytes * cores if private else 0
        # Virtual machines report the cache of a whole package, of which they may have a small part.
        eighth = shared[-1].capacity_bytes / 8
        levels.append(("llc", min(max(eighth, 2.0 * below), 4.0 * below) if below else eighth))
    last = max((cache.capacity_bytes for cache in machine.caches), default=_MEBI)
    levels.append(("dram", min(_MOST_STREAM_BYTES, max(_LEAST_STREAM_BYTES, 6.0 * last))))
    return levels


def _file(machine: Machine, readings: Readings, notes: list[str], *, is_quiet: bool) -> dict[str, Any]:
    import torch

    day = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    source = (
        f"measured on this machine by `pyinfercost calibrate` on {day}: torch {torch.__version__}, "
        f"{readings.threads} threads, Python {platform.python_version()}, {platform.platform()}"
    )
    gap_s, calls = readings.launch_gap_s(), readings.compiled_calls()

    def table(name: str, values: Mapping[str, float], remark: str = "") -> dict[str, Any]:
        return calibration_table(name, values, source + remark, clock_hz=readings.clock_hz)

    return {
        "schema_version": SCHEMA_VERSION,
        "id": identity(machine.name),
        "name": machine.name,
        "vendor": machine.vendor,
        "kind": "cpu",
        "family": machine.family,
        "verified": is_quiet,
        "source": {"text": source, **({} if is_quiet else {"unverified": ["calibration"]}), "notes": notes},
        "compute": {
            "cores": readings.cores,
            "threads_per_core": machine.threads_per_core,
            "clock_ghz": rounded(readings.clock_hz / _GIGA),
            "simd": torch.backends.cpu.get_cpu_capability(),
            "int8_over_fp32": machine.int8_over_fp32,
            "vector_tflop_per_s": {dtype: rounded(rate / _TERA) for dtype, rate in readings.flop_per_s().items()},
        },
        "memory": _memory_tables(machine, readings),
        "calibration": {
            "overheads": table(
                "overheads",
                {
                    "dispatch_s": readings.seconds["call.op"],
                    "launch_gap_s": gap_s,
                    "replay_gap_s": gap_s,
                    "kernel_minimum_s": readings.call_parts_s()["product"],
                },
            ),
            **({"forward": table("forward", calls)} if calls else {}),
            "achieved": table("achieved", REACHED, "; rates of this file are measured, not theoretical"),
            "limits": table("limits", {"dram_byte_per_s_per_core": readings.rate("dram.add.one")}),
            "cpu": table("cpu", readings.constants()),
        },
    }


REACHED = dict.fromkeys(("matrix", "vector", "dram", "cache"), 1.0)
"""Shares of the peaks in the file of a measured machine: its rates are measured ones."""


def calibration_table(
    name: str, values: Mapping[str, float], source: str, *, clock_hz: float = math.nan
) -> dict[str, Any]:
    """Return a table of calibration constants in the form of a hardware file.

    Args:
        name: Name of the table.
        values: Values in base units by constant name.
        source: Source of the values.
        clock_hz: Clock of rates per cycle; not needed for other constants.

    Returns:
        Key, with its unit, -> value; and the source.
    """
    return {
        "source": source,
        **{key: rounded(value) for key, value in as_written(name, values, clock_hz=clock_hz).items()},
    }


def _memory_tables(machine: Machine, readings: Readings) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for cache in machine.caches:
        private = cache.cores == 1
        name = f"l{cache.level}" if private else "llc"
        if name not in ("l1", "l2", "llc"):
            continue
        total = float(cache.capacity_bytes * math.ceil(readings.cores / cache.cores))
        size: dict[str, Any] = (
            {"capacity_kib_per_core": rounded(cache.capacity_bytes / _KIBI)}
            if private
            # Total over the cores in use, if groups of cores have a cache each.
            else {"capacity_mib": rounded(readings.resident_bytes(total) / _MEBI)}
        )
        for probe in (f"{name}.handed", f"{name}.add"):
            if probe in readings.seconds:
                size.setdefault("bandwidth_gb_per_s", rounded(readings.rate(probe) / _GIGA))
        tables[name] = size
    tables["dram"] = {"bandwidth_gb_per_s": rounded(readings.rate("dram.add") / _GIGA)}
    if machine.memory_bytes is not None:
        tables["dram"]["capacity_gib"] = rounded(machine.memory_bytes / _GIBI)
    return tables


def identity(name: str) -> str:
    """Return an id in the form of the catalog, from a vendor's product name."""
    return re.sub(r"[^a-z0-9.+]+", "-", name.lower()).strip("-") or "this-machine"


def rounded(value: float) -> float:
    """Round to four digits, more than the precision of a measurement."""
    return float(f"{value:.4g}")

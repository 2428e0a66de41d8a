"""Description of the processor by the operating system: name, cores, caches and memory. Imports no torch."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")
_KIBI, _GIGA = 1024, 1e9


@dataclass(frozen=True)
class Cache:
    """One level of data cache: bytes of one instance, and the number of cores that share it."""

    level: int
    capacity_bytes: int
    cores: int


@dataclass(frozen=True)
class Machine:
    """A processor as described by its operating system.

    Attributes:
        name: The vendor's product name.
        vendor: `"Intel"`, `"AMD"`, `"Arm"`, `"Apple"`, or another name given by the system.
        cores: Number of physical cores available to this process.
        threads_per_core: Hardware threads per core.
        clock_hz: Maximum clock stated by the system, or else the current one; None if neither is known.
        memory_bytes: Main memory.
        caches: Levels of data cache, from inner to outer.
        flags: Instruction sets, in the system's notation.
    """

    name: str
    vendor: str
    cores: int
    threads_per_core: int
    clock_hz: float | None
    memory_bytes: int | None
    caches: tuple[Cache, ...]
    flags: frozenset[str]

    @property
    def family(self) -> str:
        """Family whose calibration constants are used for everything that is not measured."""
        if self.vendor == "Apple":
            return "arm-neon"
        if platform.machine().lower() in ("aarch64", "arm64"):
            return "arm-sve" if "sve" in self.flags else "arm-neon"
        if "amx_tile" in self.flags:
            return "x86-amx"
        if "avx512f" in self.flags:
            return "x86-avx512-zen" if self.vendor == "AMD" else "x86-avx512"
        return "x86-avx2" if "avx2" in self.flags else "cpu"

    @property
    def int8_over_fp32(self) -> float:
        """Ratio of the rates of int8 and fp32 products, with kernels for the instruction set.

        A dot product of 4 bytes (VNNI, `asimddp`) takes the place of a multiply-add of one float. AVX without it has 16
        products of pairs of bytes in the two instructions that 8 floats take.
        """
        if self.flags & {"avx_vnni", "avx512_vnni", "amx_int8", "asimddp"} or self.vendor == "Apple":
            return 4.0
        return 2.0 if "avx2" in self.flags else 1.0


def this_machine() -> Machine:
    """Read the description from /proc and /sys on Linux or sysctl on macOS; elsewhere from Python's platform module."""
    system = platform.system()
    if system == "Darwin":
        return _darwin()
    if system == "Linux":
        return _linux()
    cores = os.cpu_count() or 1
    return Machine(platform.processor() or "unknown", "unknown", cores, 1, None, None, (), frozenset())


def _linux() -> Machine:
    entries = [
        (key.strip(), value.strip())
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        for key, colon, value in [line.partition(":")]
        if colon
    ]
    facts = dict(reversed(entries))  # the entries of the first core take precedence
    usable = sorted(os.sched_getaffinity(0))
    siblings = {frozenset(_listed(_CPUS / f"cpu{cpu}/topology/thread_siblings_list", cpu)) for cpu in usable}
    cores = max(1, len({group & frozenset(usable) for group in siblings}))
    vendor = {"GenuineIntel": "Intel", "AuthenticAMD": "AMD", "0x41": "Arm", "0xc0": "Ampere"}.get(
        facts.get("vendor_id", facts.get("CPU implementer", "")), "unknown"
    )
    return Machine(
        name=facts.get("model name", facts.get("Model", platform.machine())),
        vendor=vendor,
        cores=cores,
        threads_per_core=max((len(group) for group in siblings), default=1),
        clock_hz=_linux_clock(facts),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        caches=_linux_caches(usable[0], len(usable) / cores),
        flags=frozenset(facts.get("flags", facts.get("Features", "")).split()),
    )


def _linux_clock(facts: dict[str, str]) -> float | None:
    highest = _CPUS / "cpu0/cpufreq/cpuinfo_max_freq"
    if highest.is_file():
        return float(highest.read_text()) * 1e3
    return float(facts["cpu MHz"]) * 1e6 if "cpu MHz" in facts else None


def _linux_caches(cpu: int, threads_per_core: float) -> tuple[Cache, ...]:
    found = []
    for folder in sorted((_CPUS / f"cpu{cpu}/cache").glob("index*")):
        if (folder / "type").read_text().strip() == "Instruction":
            continue
        size = re.fullmatch(r"(\d+)([KMG]?)", (folder / "size").read_text().strip())
        if size is None:
            continue
        shared = len(_listed(folder / "shared_cpu_list", cpu))
        found.append(
            Cache(
                level=int((folder / "level").read_text()),
                capacity_bytes=int(size[1]) * _KIBI ** " KMG".index(size[2] or " "),
                cores=max(1, round(shared / threads_per_core)),
            )
        )
    return tuple(sorted(found, key=lambda cache: cache.level))


def _listed(path: Path, otherwise: int) -> list[int]:
    """Parse numbers such as `0-3,8`; returns the fallback alone if the file does not exist."""
    if not path.is_file():
        return [otherwise]
    numbers: list[int] = []
    for part in path.read_text().strip().split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def _darwin() -> Machine:
    def sysctl(name: str) -> str:
        done = subprocess.run(["sysctl", "-n", name], check=False, capture_output=True, text=True)
        return done.stdout.strip()

    def number(*names: str) -> int:
        return next((int(text) for name in names if (text := sysctl(name)).isdigit()), 0)

    cores = number("hw.physicalcpu") or os.cpu_count() or 1
    fast = number("hw.perflevel0.physicalcpu") or cores
    caches = [
        Cache(1, number("hw.perflevel0.l1dcachesize", "hw.l1dcachesize"), 1),
        Cache(2, number("hw.perflevel0.l2cachesize", "hw.l2cachesize"), number("hw.perflevel0.cpusperl2") or fast),
        Cache(3, number("hw.l3cachesize"), cores),
    ]
    return Machine(
        name=sysctl("machdep.cpu.brand_string") or platform.processor(),
        vendor="Apple" if platform.machine() == "arm64" else "Intel",
        cores=cores,
        threads_per_core=max(1, (number("hw.logicalcpu") or cores) // cores),
        clock_hz=float(number("hw.cpufrequency_max")) or None,
        memory_bytes=number("hw.memsize") or None,
        caches=tuple(cache for cache in caches if cache.capacity_bytes > 0),
        flags=frozenset(sysctl("machdep.cpu.features").lower().split()),
    )

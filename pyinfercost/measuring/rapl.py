"""Energy of processors and their memory on Linux: RAPL counters under /sys/class/powercap.

Intel processors have them since Sandy Bridge and AMD's since Zen, both in folders named `intel-rapl:*`. The counter of
a package includes its cores and caches. `dram` is counted separately and is absent on AMD. `psys` is the whole platform
including the packages, and `core` and `uncore` are parts of a package: adding any of them would count joules twice.
`intel-rapl-mmio:*` exposes the same packages through another interface and is ignored too.
"""

from __future__ import annotations

import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from .counters import NoCounterError

POWERCAP = Path("/sys/class/powercap")
_ZONE = re.compile(r"intel-rapl:(\d+)(?::(\d+))?")
_MICRO = 1e-6
_STEP_S = 1e-3  # registers are updated about every millisecond
_IDLE_S = 0.5
# The smallest observed range of a counter is 65 kJ: more than a minute at a kilowatt.
_LOOK_EVERY_S = 10.0


@dataclass
class _Domain:
    """One counter: its name, its file, its range, and its last value."""

    name: str
    file: Path
    range_uj: int
    last_uj: int


class RaplCounter:
    """Sum of the counters of all packages and their memory."""

    def __init__(self, root: Path = POWERCAP) -> None:
        """Read every counter once.

        Args:
            root: Folder of the powercap interface.

        Raises:
            NoCounterError: No package has a counter, or a counter cannot be read. A sum without the unreadable counters
                would look like the total.
        """
        self._root = root
        packages = self._packages()
        self._domains = [self._domain(folder, name) for domains in packages for folder, name in domains]
        self._total_uj = 0
        self.source = "rapl:" + "+".join(domain.name for domain in self._domains)
        told = ", ".join(" with its ".join(name for _, name in domains) for domains in packages)
        self.covers = f"all processors of the machine ({told}), including other processes"
        if not any(name == "dram" for domains in packages for _, name in domains):
            self.covers += "; memory has no counter here and is not included"
        self.step_s = _STEP_S
        self.idle_s = _IDLE_S
        self.look_every_s: float | None = _LOOK_EVERY_S

    def read_j(self) -> float:
        """Return joules of all counters since construction. Counters must be read before they can wrap twice.

        Raises:
            NoCounterError: A file is no longer readable.
        """
        for domain in self._domains:
            now_uj = self._number(domain.file)
            passed_uj = now_uj - domain.last_uj
            self._total_uj += passed_uj if passed_uj >= 0 else passed_uj + domain.range_uj
            domain.last_uj = now_uj
        return self._total_uj * _MICRO

    def rest(self, seconds: float) -> None:
        """Sleep. Polling the counters would load the processor that they measure."""
        time.sleep(seconds)

    def close(self) -> None:
        """Do nothing; no resource is held."""

    def _packages(self) -> list[list[tuple[Path, str]]]:
        """Return folder and name of the counters of each package and its memory."""
        names = {found[0]: (folder, name) for found, folder, name in self._zones()}
        packages = [
            [zone, *(part for key, part in names.items() if key.startswith(f"{own}:") and part[1] == "dram")]
            for own, zone in names.items()
            if own.count(":") == 1 and zone[1].startswith("package")
        ]
        if not packages:
            seen = ", ".join(name for _, name in names.values())
            raise self._none(
                f"none of its counters ({seen}) is of a package" if seen else "it has no intel-rapl counter",
                "The processor or its driver has no counter; on your own machine try `sudo modprobe intel_rapl_msr`. "
                "Container runtimes hide /sys/devices/virtual/powercap: run outside of the container, or mount it.",
            )
        return packages

    def _zones(self) -> list[tuple[re.Match[str], Path, str]]:
        """Return all counters, ordered by number."""
        try:
            folders = list(self._root.iterdir())
        except OSError as error:
            if isinstance(error, PermissionError):
                raise self._unreadable(self._root, error) from error
            virtual = " (virtual machines and containers usually have none; only their host does)"
            raise self._none(
                f"folder {self._root} does not exist" + (virtual if sys.platform == "linux" else f" on {sys.platform}"),
                "Run on bare-metal Linux with its module: `sudo modprobe intel_rapl_msr`.",
            ) from error
        found = [
            (match, folder, name)
            for folder in folders
            if (match := _ZONE.fullmatch(folder.name)) and (name := self._name(folder))
        ]
        return sorted(found, key=lambda zone: (int(zone[0][1]), int(zone[0][2] or -1)))

    def _name(self, folder: Path) -> str | None:
        """Return the name of a counter; None for a dangling link, as in a container that hides its target."""
        try:
            return (folder / "name").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(folder / "name", error) from error

    def _domain(self, folder: Path, name: str) -> _Domain:
        range_uj = self._number(folder / "max_energy_range_uj")
        return _Domain(name, folder / "energy_uj", range_uj, self._number(folder / "energy_uj"))

    def _number(self, file: Path) -> int:
        try:
            return int(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self._unreadable(file, error) from error

    def _none(self, why: str, remedy: str) -> NoCounterError:
        return NoCounterError(f"RAPL counters in {self._root}", why, remedy)

    def _unreadable(self, file: Path, error: Exception) -> NoCounterError:
        if isinstance(error, PermissionError):
            return self._none(
                f"permission to read {file} is denied",
                # Since 2020 only root may read them, because fine-grained readings are a side channel.
                f"To permit it until the next boot: `sudo chmod a+r {self._root}/intel-rapl:*/energy_uj`.",
            )
        return self._none(f"{file} cannot be read ({error})", "Its driver does not respond.")

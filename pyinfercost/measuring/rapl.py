"""Joules of processors and their memory, as Linux gives them: RAPL counters under /sys/class/powercap.

Intel's processors have them since Sandy Bridge and AMD's since Zen, both in folders of the name `intel-rapl:*`. A
package's counter has its cores and caches in it; `dram` stands beside it, and AMD gives none. `psys` is the whole
platform, with the packages in it, and `core` and `uncore` are parts of a package: adding them would count joules twice.
`intel-rapl-mmio:*` shows the same packages by another way, so that it is left alone, too.
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
_STEP_S = 1e-3  # registers are written about every millisecond
_IDLE_S = 0.5
# The smallest range that a counter was seen to wrap at is 65 kJ: more than a minute at a kilowatt.
_LOOK_EVERY_S = 10.0


@dataclass
class _Domain:
    """One counter: its name, its file, where it wraps, and what it said last."""

    name: str
    file: Path
    range_uj: int
    last_uj: int


class RaplCounter:
    """Packages and their memory, added up."""

    def __init__(self, root: Path = POWERCAP) -> None:
        """Reads every counter once.

        Args:
            root: the folder of power capping.

        Raises:
            NoCounterError: there is no counter of a package, or one of them cannot be read. A sum that leaves out
                what cannot be read would look like all of it.
        """
        self._root = root
        packages = self._packages()
        self._domains = [self._domain(folder, name) for domains in packages for folder, name in domains]
        self._total_uj = 0
        self.source = "rapl:" + "+".join(domain.name for domain in self._domains)
        told = ", ".join(" with its ".join(name for _, name in domains) for domains in packages)
        self.covers = f"the whole machine's processors ({told}), all processes on them and not this one alone"
        if not any(name == "dram" for domains in packages for _, name in domains):
            self.covers += "; memory has no counter here and is not in it"
        self.step_s = _STEP_S
        self.idle_s = _IDLE_S
        self.look_every_s: float | None = _LOOK_EVERY_S

    def read_j(self) -> float:
        """Joules of all domains since this was made; each is read again before it can wrap twice.

        Raises:
            NoCounterError: a file cannot be read any more.
        """
        for domain in self._domains:
            now_uj = self._number(domain.file)
            passed_uj = now_uj - domain.last_uj
            self._total_uj += passed_uj if passed_uj >= 0 else passed_uj + domain.range_uj
            domain.last_uj = now_uj
        return self._total_uj * _MICRO

    def rest(self, seconds: float) -> None:
        """Sleeps: looking at the counters meanwhile would be work of the processor that they count."""
        time.sleep(seconds)

    def close(self) -> None:
        """Holds nothing."""

    def _packages(self) -> list[list[tuple[Path, str]]]:
        """Each package with its memory: folders and names of their counters."""
        names = {found[0]: (folder, name) for found, folder, name in self._zones()}
        packages = [
            [zone, *(part for key, part in names.items() if key.startswith(f"{own}:") and part[1] == "dram")]
            for own, zone in names.items()
            if own.count(":") == 1 and zone[1].startswith("package")
        ]
        if not packages:
            seen = ", ".join(name for _, name in names.values())
            raise self._none(
                f"of its counters ({seen}) none is of a package" if seen else "there is no intel-rapl counter in it",
                "The processor or its driver counts none; on a machine of your own try `sudo modprobe intel_rapl_msr`. "
                "Container runtimes hide /sys/devices/virtual/powercap: run outside of one, or mount it into it.",
            )
        return packages

    def _zones(self) -> list[tuple[re.Match[str], Path, str]]:
        """The counters that are there, in order of their numbers."""
        try:
            folders = list(self._root.iterdir())
        except OSError as error:
            if isinstance(error, PermissionError):
                raise self._unreadable(self._root, error) from error
            virtual = " (a virtual machine or a container as a rule has none: its host keeps them)"
            raise self._none(
                f"there is no folder {self._root}" + (virtual if sys.platform == "linux" else f" on {sys.platform}"),
                "Run on the machine itself, with Linux and its module: `sudo modprobe intel_rapl_msr`.",
            ) from error
        found = [
            (match, folder, name)
            for folder in folders
            if (match := _ZONE.fullmatch(folder.name)) and (name := self._name(folder))
        ]
        return sorted(found, key=lambda zone: (int(zone[0][1]), int(zone[0][2] or -1)))

    def _name(self, folder: Path) -> str | None:
        """What a counter counts; None where a link leads nowhere, as in a container that hides its target."""
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
                # Since 2020 they are root's alone, because fine readings can leak what others compute.
                f"To permit it until the next start: `sudo chmod a+r {self._root}/intel-rapl:*/energy_uj`.",
            )
        return self._none(f"{file} cannot be read ({error})", "The driver behind it does not answer.")

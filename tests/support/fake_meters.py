"""Stand-ins for energy counters: a powercap folder, NVIDIA's package, and a counter of constant power."""

from __future__ import annotations

import time
from pathlib import Path
from types import ModuleType
from typing import Any

RANGE_UJ = 262_143_328_850
"""Range of counters of Intel processors."""


def zone(root: Path, folder: str, name: str, energy_uj: int = 0, range_uj: int = RANGE_UJ) -> Path:
    """Create a counter's folder with its three files; return the file of the counter."""
    (root / folder).mkdir(parents=True)
    for file, value in (("name", name), ("max_energy_range_uj", range_uj), ("energy_uj", energy_uj)):
        (root / folder / file).write_text(f"{value}\n", encoding="utf-8")
    return root / folder / "energy_uj"


class Clock:
    """What `time` has, where no time passes but that of sleep and a little for each look at the clock."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def perf_counter(self) -> float:
        """Seconds."""
        self.now_s += 1e-6
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


class SteadyCounter:
    """A counter with constant power, in steps."""

    source = "rapl:package-0+dram"
    covers = "two processors that are not there"
    idle_s = 0.01
    look_every_s = None

    def __init__(self, watts: float = 40.0, step_s: float = 1e-4) -> None:
        self.watts = watts
        self.step_s = step_s
        self.closed = 0

    def read_j(self) -> float:
        return self.watts * (time.perf_counter() // self.step_s) * self.step_s

    def rest(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        self.closed += 1


class FakeNvml(ModuleType):
    """`pynvml` of a machine with the given boards, their power in watts, and the step of their counters."""

    class NVMLError(Exception):
        """Error type of NVML."""

    def __init__(
        self,
        names: tuple[str, ...] = ("Board A",),
        watts: tuple[float, ...] = (100.0,),
        *,
        counts: bool = True,
        tells_power: bool = True,
        step_s: float = 0.01,
        starts: bool = True,
    ) -> None:
        super().__init__("pynvml")
        self.names, self.watts, self.counts, self.tells_power = names, watts, counts, tells_power
        self.step_s, self.starts = step_s, starts
        self.asked_power = 0
        self.asked_power_at_s: list[float] = []
        self.opened = 0

    def nvmlInit(self) -> None:
        if not self.starts:
            raise self.NVMLError("Driver Not Loaded")
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self.opened -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.names)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        for index in range(len(self.names)):
            if self.nvmlDeviceGetUUID(index).decode() == uuid:
                return index
        raise self.NVMLError("Not Found")

    def nvmlDeviceGetName(self, handle: int) -> str:
        return self.names[handle]

    def nvmlDeviceGetUUID(self, handle: int) -> bytes:  # older versions of the package return bytes
        return f"GPU-{handle}{handle}aa-bb".encode()

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        if not self.counts:
            raise self.NVMLError("Not Supported")
        seconds = (time.perf_counter() // self.step_s) * self.step_s
        return int(1000 * self.watts[handle] * seconds)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        if not self.tells_power:
            raise self.NVMLError("Not Supported")
        self.asked_power += 1
        self.asked_power_at_s.append(time.perf_counter())
        return int(1000 * self.watts[handle])


def fake_torch(*uuids: str, hip: str | None = None) -> Any:
    """Return `torch` of a process with initialized GPUs with these UUIDs."""

    class Properties:
        def __init__(self, uuid: str) -> None:
            self.uuid = uuid

    torch: Any = ModuleType("torch")
    torch.version = ModuleType("torch.version")
    torch.version.hip = hip
    torch.cuda = ModuleType("torch.cuda")
    torch.cuda.is_initialized = lambda: True
    torch.cuda.device_count = lambda: len(uuids)
    torch.cuda.current_device = lambda: 0
    torch.cuda.get_device_properties = lambda index: Properties(uuids[index])
    torch.cuda.waited = []
    torch.cuda.synchronize = torch.cuda.waited.append
    return torch

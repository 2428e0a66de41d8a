"""Joules of an NVIDIA board, as its driver tells them through NVML (the package `nvidia-ml-py`).

Boards since Volta count millijoules themselves. Of older ones the power is read every few milliseconds and added up.
Sensors of some boards, A100 and H100 among them, look only at a part of each interval: short bursts may be missed.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from .counters import NoCounterError

_MILLI = 1e-3
_STEP_S = 0.1  # the slowest steps that are known; most boards step every 20 ms
_IDLE_S = 2.0
_LOOK_S = 2e-3  # between looks for a step
_FEWEST_STEPS = 5
_SAMPLE_EVERY_S = 0.02
_LOOKED_FOR = "NVML's energy of a GPU"


class NvmlCounter:
    """The board's own count of millijoules."""

    def __init__(self, nvml: Any, handle: Any, covers: str) -> None:
        self._nvml = nvml
        self._handle = handle
        self.source = "nvml:counter"
        self.covers = covers
        self.step_s = _STEP_S
        self.idle_s = _IDLE_S
        self.look_every_s: float | None = None  # 64 bits of millijoules do not wrap

    def read_j(self) -> float:
        """Joules since the driver was loaded.

        Raises:
            NoCounterError: NVML does not answer.
        """
        return float(_asked(self._nvml, self._nvml.nvmlDeviceGetTotalEnergyConsumption, self._handle) * _MILLI)

    def rest(self, seconds: float) -> None:
        """Looks how often the count steps, which differs from board to board; that is no work of the GPU."""
        end = time.perf_counter() + seconds
        last_j, steps = self.read_j(), []
        while (now := time.perf_counter()) < end:
            if (now_j := self.read_j()) != last_j:
                last_j = now_j
                steps.append(now)
            time.sleep(_LOOK_S)
        if len(steps) >= _FEWEST_STEPS:
            self.step_s = (steps[-1] - steps[0]) / (len(steps) - 1)

    def close(self) -> None:
        """Lets go of NVML."""
        self._nvml.nvmlShutdown()


class NvmlSamples(NvmlCounter):
    """Power that is read again and again, and added up by the trapezoidal rule."""

    def __init__(self, nvml: Any, handle: Any, covers: str) -> None:
        super().__init__(nvml, handle, covers)
        self.source = "nvml:sampled"
        self.look_every_s = _SAMPLE_EVERY_S
        self._joules = 0.0
        self._last = (time.perf_counter(), self._power_w())

    def read_j(self) -> float:
        """Joules since this was made.

        Raises:
            NoCounterError: NVML does not answer.
        """
        before, before_w = self._last
        self._last = now, now_w = time.perf_counter(), self._power_w()
        self._joules += (now - before) * (before_w + now_w) / 2
        return self._joules

    def rest(self, seconds: float) -> None:
        """Sleeps; steps of power cannot be told from a power that does not change."""
        time.sleep(seconds)

    def _power_w(self) -> float:
        return float(_asked(self._nvml, self._nvml.nvmlDeviceGetPowerUsage, self._handle) * _MILLI)


def nvml_counter(index: int = 0) -> NvmlCounter:
    """The counter of a GPU, or where the board has none, samples of its power.

    Args:
        index: the GPU's number as CUDA gives it, among those that CUDA_VISIBLE_DEVICES leaves.

    Raises:
        NoCounterError: the package or the driver is missing, there is no such GPU, or its board tells no power.
    """
    try:
        import pynvml
    except ImportError as error:
        raise NoCounterError(
            _LOOKED_FOR, "the package nvidia-ml-py is not installed", "pip install 'pyinfercost[nvml]'"
        ) from error
    nvml: Any = pynvml
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise NoCounterError(
            _LOOKED_FOR, f"NVML does not start ({error})", "It comes with NVIDIA's driver: `nvidia-smi` has to work."
        ) from error
    try:
        return _opened(nvml, index)
    except BaseException:
        nvml.nvmlShutdown()
        raise


def _opened(nvml: Any, index: int) -> NvmlCounter:
    handle = _handle(nvml, index)
    name = _text(_asked(nvml, nvml.nvmlDeviceGetName, handle))
    covers = f"the whole board of cuda:{index} ({name}), all processes on it and not this one alone; not the host"
    try:
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError:
        return NvmlSamples(nvml, handle, covers)
    return NvmlCounter(nvml, handle, covers)


def _handle(nvml: Any, index: int) -> Any:
    """NVML's handle of the GPU that CUDA calls by a number; the two number them differently."""
    known = _uuid_from_torch(index)
    if known is not None:
        return _asked(nvml, nvml.nvmlDeviceGetHandleByUUID, known)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = int(_asked(nvml, nvml.nvmlDeviceGetCount))
    named = [str(number) for number in range(count)] if visible is None else _until_wrong(visible, count)
    if index >= len(named):
        left = "" if visible is None else f", of which CUDA_VISIBLE_DEVICES={visible} leaves {len(named)}"
        raise NoCounterError(
            _LOOKED_FOR, f"there is no cuda:{index}: NVML knows {count} GPUs{left}", "Name another device."
        )
    if named[index].startswith("MIG-"):
        raise NoCounterError(
            _LOOKED_FOR,
            f"cuda:{index} is {named[index]}, a part of a board, and power is told of whole boards",
            "Name the whole GPU.",
        )
    if named[index].isdigit():
        _check_order(nvml, count)
        return _asked(nvml, nvml.nvmlDeviceGetHandleByIndex, int(named[index]))
    return _by_uuid(nvml, named[index], count)


def _uuid_from_torch(index: int) -> str | None:
    """What torch knows of the GPU, if it is at work on GPUs already; asking does not start CUDA."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized() or index >= torch.cuda.device_count():
        return None
    uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    return None if uuid is None else f"GPU-{uuid}"


def _until_wrong(visible: str, count: int) -> list[str]:
    """Entries of CUDA_VISIBLE_DEVICES; CUDA sees none from the first that is no device, such as -1, on."""
    found: list[str] = []
    for entry in (part.strip() for part in visible.split(",")):
        if not (entry.startswith(("GPU-", "MIG-")) or (entry.isdigit() and int(entry) < count)):
            break
        found.append(entry)
    return found


def _check_order(nvml: Any, count: int) -> None:
    """Refuses numbers that may mean another GPU: CUDA puts the fastest first by default, NVML goes by bus."""
    if os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or count == 1:
        return
    handles = [_asked(nvml, nvml.nvmlDeviceGetHandleByIndex, number) for number in range(count)]
    names = {_text(_asked(nvml, nvml.nvmlDeviceGetName, handle)) for handle in handles}
    if len(names) > 1:
        raise NoCounterError(
            _LOOKED_FOR,
            f"GPUs of several kinds are here ({', '.join(sorted(names))}), and CUDA numbers them otherwise than NVML",
            "Set CUDA_DEVICE_ORDER=PCI_BUS_ID, or use the GPU through torch before.",
        )


def _by_uuid(nvml: Any, start: str, count: int) -> Any:
    """CUDA takes the beginning of a UUID for it; NVML wants all of it."""
    for number in range(count):
        handle = _asked(nvml, nvml.nvmlDeviceGetHandleByIndex, number)
        if _text(_asked(nvml, nvml.nvmlDeviceGetUUID, handle)).startswith(start):
            return handle
    raise NoCounterError(_LOOKED_FOR, f"NVML knows no GPU {start}", "Look at CUDA_VISIBLE_DEVICES and `nvidia-smi -L`.")


def _asked(nvml: Any, ask: Any, *arguments: Any) -> Any:
    try:
        return ask(*arguments)
    except nvml.NVMLError as error:
        raise NoCounterError(
            _LOOKED_FOR, f"{ask.__name__} is refused ({error})", "The board or its driver does not tell it."
        ) from error


def _text(told: str | bytes) -> str:
    """Versions of the package differ in what they return."""
    return told.decode() if isinstance(told, bytes) else told

"""Energy of an NVIDIA board, read through NVML (the package `nvidia-ml-py`).

Boards since Volta count millijoules themselves. On older ones, power is sampled every few milliseconds and integrated.
The sensors of some boards, including A100 and H100, sample only a part of each interval and may miss short bursts.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from .counters import NoCounterError

_MILLI = 1e-3
_STEP_S = 0.1  # the slowest known update interval; most boards update every 20 ms
_IDLE_S = 2.0
_LOOK_S = 2e-3  # polling interval
_FEWEST_STEPS = 5
_SAMPLE_EVERY_S = 0.02
_LOOKED_FOR = "NVML energy counter of a GPU"


class NvmlCounter:
    """The board's own millijoule counter."""

    def __init__(self, nvml: Any, handle: Any, covers: str) -> None:
        self._nvml = nvml
        self._handle = handle
        self.source = "nvml:counter"
        self.covers = covers
        self.step_s = _STEP_S
        self.idle_s = _IDLE_S
        self.look_every_s: float | None = None  # 64 bits of millijoules do not wrap in practice

    def read_j(self) -> float:
        """Return joules since the driver was loaded.

        Raises:
            NoCounterError: NVML does not respond.
        """
        return float(_asked(self._nvml, self._nvml.nvmlDeviceGetTotalEnergyConsumption, self._handle) * _MILLI)

    def rest(self, seconds: float) -> None:
        """Measure the update interval, which differs between boards; polling does not load the GPU."""
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
        """Shut NVML down."""
        self._nvml.nvmlShutdown()


class NvmlSamples(NvmlCounter):
    """Sampled power, integrated by the trapezoidal rule."""

    def __init__(self, nvml: Any, handle: Any, covers: str) -> None:
        super().__init__(nvml, handle, covers)
        self.source = "nvml:sampled"
        self.look_every_s = _SAMPLE_EVERY_S
        self._joules = 0.0
        self._last = (time.perf_counter(), self._power_w())

    def read_j(self) -> float:
        """Return joules since construction.

        Raises:
            NoCounterError: NVML does not respond.
        """
        before, before_w = self._last
        self._last = now, now_w = time.perf_counter(), self._power_w()
        self._joules += (now - before) * (before_w + now_w) / 2
        return self._joules

    def rest(self, seconds: float) -> None:
        """Sleep; the update interval cannot be measured while power is constant."""
        time.sleep(seconds)

    def _power_w(self) -> float:
        return float(_asked(self._nvml, self._nvml.nvmlDeviceGetPowerUsage, self._handle) * _MILLI)


def nvml_counter(index: int = 0) -> NvmlCounter:
    """Open the energy counter of a GPU, or sample its power if the board has no counter.

    Args:
        index: CUDA's index of the GPU among those in CUDA_VISIBLE_DEVICES.

    Returns:
        The counter.

    Raises:
        NoCounterError: The package or the driver is missing, there is no such GPU, or its board reports no power.
    """
    try:
        import pynvml
    except ImportError as error:
        raise NoCounterError(
            _LOOKED_FOR, "the package nvidia-ml-py is not installed", "Run pip install 'pyinfercost[nvml]'."
        ) from error
    nvml: Any = pynvml
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise NoCounterError(
            _LOOKED_FOR, f"NVML cannot be initialized ({error})", "Install NVIDIA's driver; `nvidia-smi` must work."
        ) from error
    try:
        return _opened(nvml, index)
    except BaseException:
        nvml.nvmlShutdown()
        raise


def _opened(nvml: Any, index: int) -> NvmlCounter:
    handle = _handle(nvml, index)
    name = _text(_asked(nvml, nvml.nvmlDeviceGetName, handle))
    covers = f"the whole board of cuda:{index} ({name}), including other processes; not the host"
    try:
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError:
        return NvmlSamples(nvml, handle, covers)
    return NvmlCounter(nvml, handle, covers)


def _handle(nvml: Any, index: int) -> Any:
    """Return NVML's handle of a GPU by CUDA's index; CUDA and NVML number GPUs differently."""
    known = _uuid_from_torch(index)
    if known is not None:
        return _asked(nvml, nvml.nvmlDeviceGetHandleByUUID, known)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = int(_asked(nvml, nvml.nvmlDeviceGetCount))
    named = [str(number) for number in range(count)] if visible is None else _until_wrong(visible, count)
    if index >= len(named):
        left = "" if visible is None else f", of which CUDA_VISIBLE_DEVICES={visible} leaves {len(named)}"
        raise NoCounterError(
            _LOOKED_FOR, f"cuda:{index} does not exist: NVML reports {count} GPUs{left}", "Give another device."
        )
    if named[index].startswith("MIG-"):
        raise NoCounterError(
            _LOOKED_FOR,
            f"cuda:{index} is {named[index]}, a partition of a board, but power is reported per board",
            "Give the whole GPU.",
        )
    if named[index].isdigit():
        _check_order(nvml, count)
        return _asked(nvml, nvml.nvmlDeviceGetHandleByIndex, int(named[index]))
    return _by_uuid(nvml, named[index], count)


def _uuid_from_torch(index: int) -> str | None:
    """Return the GPU's UUID from torch if torch has initialized CUDA; never initializes it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized() or index >= torch.cuda.device_count():
        return None
    uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    return None if uuid is None else f"GPU-{uuid}"


def _until_wrong(visible: str, count: int) -> list[str]:
    """Return the valid entries of CUDA_VISIBLE_DEVICES; CUDA ignores all from the first invalid one, such as -1."""
    found: list[str] = []
    for entry in (part.strip() for part in visible.split(",")):
        if not (entry.startswith(("GPU-", "MIG-")) or (entry.isdigit() and int(entry) < count)):
            break
        found.append(entry)
    return found


def _check_order(nvml: Any, count: int) -> None:
    """Reject indices that may be ambiguous: CUDA sorts GPUs by speed by default, NVML by bus."""
    if os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or count == 1:
        return
    handles = [_asked(nvml, nvml.nvmlDeviceGetHandleByIndex, number) for number in range(count)]
    names = {_text(_asked(nvml, nvml.nvmlDeviceGetName, handle)) for handle in handles}
    if len(names) > 1:
        raise NoCounterError(
            _LOOKED_FOR,
            f"this machine has different GPUs ({', '.join(sorted(names))}), which CUDA and NVML number differently",
            "Set CUDA_DEVICE_ORDER=PCI_BUS_ID, or initialize CUDA through torch first.",
        )


def _by_uuid(nvml: Any, start: str, count: int) -> Any:
    """Find a GPU by a prefix of its UUID, as CUDA accepts; NVML requires the full UUID."""
    for number in range(count):
        handle = _asked(nvml, nvml.nvmlDeviceGetHandleByIndex, number)
        if _text(_asked(nvml, nvml.nvmlDeviceGetUUID, handle)).startswith(start):
            return handle
    raise NoCounterError(_LOOKED_FOR, f"NVML has no GPU {start}", "Check CUDA_VISIBLE_DEVICES and `nvidia-smi -L`.")


def _asked(nvml: Any, ask: Any, *arguments: Any) -> Any:
    try:
        return ask(*arguments)
    except nvml.NVMLError as error:
        raise NoCounterError(
            _LOOKED_FOR, f"{ask.__name__} failed ({error})", "The board or its driver does not support it."
        ) from error


def _text(told: str | bytes) -> str:
    """Return a str; some versions of the package return bytes."""
    return told.decode() if isinstance(told, bytes) else told

"""Energy of a section of a program, from a counter of the machine; None with a warning if there is no counter."""

from __future__ import annotations

import re
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EnergyUnknownWarning, InputError
from ..results.measurement import ForwardEnergy
from .counters import RESOLUTION, Counter, NoCounterError
from .nvml import nvml_counter
from .rapl import POWERCAP, RaplCounter

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike
    from types import TracebackType

_OTHER = "Use the vendor's own meter."
_DEVICE = re.compile(r"(cpu|cuda)(?::(\d+))?")


class EnergyMeter:
    """Energy of a measured section, with its source and coverage. Created by `energy_meter`.

    If no energy counter is readable, a warning is issued, all figures are None, and `why_not` is the reason. Power
    from a data sheet is never used instead.

    Attributes:
        device: Measured device, in torch's notation.
        source: The counter: `rapl:package-0+dram`, `nvml:counter`, `nvml:sampled`.
        covers: Description of the measured hardware: whole processors or boards, never a single process.
        idle_w: Watts by the same counter before the section, while this process was idle.
        joules: Energy of the section, including idle power and other processes.
        duration_s: Seconds of the section.
        why_not: Reason if the figures are None.
    """

    def __init__(self, device: str, *, idle_s: float | None = None, powercap: str | PathLike[str] = POWERCAP) -> None:
        if idle_s is not None and not idle_s >= 0:
            raise InputError(f"idle_s is {idle_s}; expected seconds, 0 to skip the idle phase, or None")
        self.device = device
        self.source: str | None = None
        self.covers: str | None = None
        self.idle_w: float | None = None
        self.joules: float | None = None
        self.duration_s: float | None = None
        self.why_not: str | None = None
        self._idle_s = idle_s
        self._powercap = Path(powercap)
        self._counter: Counter | None = None
        self._step_s: float | None = None
        self._lock = threading.Lock()  # guards the counter, which the polling thread reads too
        self._closing = threading.Event()
        self._looker: threading.Thread | None = None
        self._lost: NoCounterError | None = None
        self._began: tuple[float, float] | None = None  # joules and seconds at the start

    @property
    def above_idle_joules(self) -> float | None:
        """`joules` minus the idle energy over the same time; can be negative for a section with little work."""
        if self.joules is None or self.duration_s is None or self.idle_w is None:
            return None
        return self.joules - self.idle_w * self.duration_s

    @property
    def resolution(self) -> float | None:
        """One step of the counter as a share of the energy of the section: 0.01 after a hundred steps."""
        if self._step_s is None or self.duration_s is None:
            return None
        return self._step_s / self.duration_s

    @property
    def least_s(self) -> float:
        """Minimum seconds of a section for a resolution of 1 % or better; 0 without a counter."""
        return 0.0 if self._step_s is None else self._step_s / RESOLUTION

    def __enter__(self) -> EnergyMeter:
        self.open()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.stop()
        finally:
            self.close()

    def open(self) -> None:
        """Open the counter and measure the idle power while this process sleeps."""
        try:
            self._counter = counter = energy_counter(self.device, self._powercap)
            self._closing.clear()
            if counter.look_every_s is not None:
                self._looker = threading.Thread(target=self._look, args=(counter.look_every_s,), daemon=True)
                self._looker.start()
            idle_s = counter.idle_s if self._idle_s is None else self._idle_s
            if idle_s > 0:
                self._finish_work()
                began_j, began = self._read_j(), time.perf_counter()
                counter.rest(idle_s)
                self.idle_w = (self._read_j() - began_j) / (time.perf_counter() - began)
            self.source, self.covers, self._step_s = counter.source, counter.covers, counter.step_s
        except NoCounterError as error:
            self._give_up(error)
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start a section after the device has finished earlier work."""
        self.joules = self.duration_s = None
        if self._counter is None:
            return
        self._finish_work()
        try:
            self._began = self._read_j(), time.perf_counter()
        except NoCounterError as error:
            self._give_up(error)

    def stop(self) -> None:
        """End the section after the device has finished its work."""
        if self._counter is None or self._began is None:
            return
        self._finish_work()
        (began_j, began), self._began = self._began, None
        try:
            joules, duration_s = self._read_j() - began_j, time.perf_counter() - began
            if joules <= 0:
                raise NoCounterError(
                    f"steps of {self.source}",
                    f"the counter did not change in {duration_s:.3g} s",
                    f"Measure for at least {self.least_s:.3g} s. A counter that never changes, as in some virtual "
                    "machines, is unusable.",
                )
        except NoCounterError as error:
            self._give_up(error)
        else:
            self.joules, self.duration_s = joules, duration_s

    def close(self) -> None:
        """Close the counter; measured figures remain."""
        self._closing.set()
        if self._looker is not None:
            self._looker.join()
            self._looker = None
        counter, self._counter = self._counter, None
        if counter is not None:
            counter.close()

    def _read_j(self) -> float:
        with self._lock:
            if self._lost is not None:
                raise self._lost
            return 0.0 if self._counter is None else self._counter.read_j()

    def _look(self, every_s: float) -> None:
        """Poll the counter, so that it does not wrap unnoticed."""
        while not self._closing.wait(every_s):
            try:
                self._read_j()
            except NoCounterError as error:
                self._lost = error
                return

    def _give_up(self, error: NoCounterError) -> None:
        self.source = self.covers = self.idle_w = self._step_s = None
        self.close()
        self.why_not = str(error)
        text = f"energy is not measured on {self.device}, and not estimated instead: {error}"
        warnings.warn(text, EnergyUnknownWarning, stacklevel=4)  # at the `with` statement, or the caller of `open`

    def _finish_work(self) -> None:
        """Wait until a GPU is idle; a program that does not use torch must synchronize by itself."""
        torch = sys.modules.get("torch")
        if self.device.startswith("cuda") and torch is not None and torch.cuda.is_initialized():
            torch.cuda.synchronize(self.device)


def energy_meter(
    device: str = "cpu", *, idle_s: float | None = None, powercap: str | PathLike[str] = POWERCAP
) -> EnergyMeter:
    """Create an energy meter of a block: `with energy_meter() as meter: ...`, then `meter.joules`, `meter.source`.

    Entering the block takes as long as the idle measurement. Figures are available after the block. They include other
    processes on the processors or the board, so use an otherwise idle machine. Nest two meters to measure a processor
    and a GPU.

    Args:
        device: `"cpu"` for the machine's processors and their memory through RAPL (Linux; the files are often readable
            by root only), or `"cuda"`, `"cuda:1"` for the board of a GPU through NVML, numbered as in torch.
        idle_s: Seconds to sleep before the block, during which idle power is measured; 0 skips it. Default: half a
            second for processors, two for GPUs, whose counters step less often.
        powercap: Folder of Linux's powercap interface.

    Returns:
        The meter. Its joules are None if no counter is readable; an `EnergyUnknownWarning` then states which counter,
        the reason and a remedy.

    Raises:
        ValueError: `idle_s` is negative.

    Examples:
        >>> with ic.energy_meter("cpu") as meter:
        ...     total = sum(range(100_000))
        >>> meter.joules is None or meter.joules >= 0  # None without a readable counter
        True
    """
    return EnergyMeter(device, idle_s=idle_s, powercap=powercap)


def joules_per_forward(
    forward: Callable[[], object], meter: EnergyMeter, seconds: float, wait: Callable[[], object] | None = None
) -> ForwardEnergy:
    """Repeat a forward until one step of the counter is at most 1 % of the measured energy.

    Args:
        forward: Runs the model once, after a warm-up.
        meter: An open meter. If it has no counter, nothing is run.
        seconds: Minimum duration.
        wait: Waits until the device has finished, for asynchronous calls.

    Returns:
        Joules of one forward.
    """
    if meter.why_not is not None:
        return ForwardEnergy(why_not=meter.why_not)
    runs = 0
    meter.start()
    end = time.perf_counter() + max(seconds, meter.least_s)
    while True:
        forward()
        if wait is not None:
            wait()
        runs += 1
        if time.perf_counter() >= end:
            break
    meter.stop()
    above_idle_j = meter.above_idle_joules
    return ForwardEnergy(
        joules=None if meter.joules is None else meter.joules / runs,
        above_idle_j=None if above_idle_j is None else above_idle_j / runs,
        idle_w=meter.idle_w,
        source=meter.source,
        covers=meter.covers,
        resolution=meter.resolution,
        runs=runs,
        duration_s=meter.duration_s,
        why_not=meter.why_not,
    )


def energy_counter(device: str, powercap: Path = POWERCAP) -> Counter:
    """Return the energy counter of a device, in torch's notation.

    Raises:
        NoCounterError: None is readable; the message states which one, the reason and a remedy.
    """
    asked = _DEVICE.fullmatch(device)
    if asked is None:
        raise NoCounterError(
            f"an energy counter of {device!r}", "only cpu (RAPL) and cuda (NVML) are supported", _OTHER
        )
    if asked[1] == "cpu":
        return RaplCounter(powercap)
    torch = sys.modules.get("torch")
    if torch is not None and torch.version.hip is not None:
        raise NoCounterError(
            f"an energy counter of {device!r}",
            f"it is an AMD GPU (ROCm {torch.version.hip}), which NVML does not support",
            _OTHER,
        )
    # "cuda" is torch's current GPU if CUDA is initialized, else the first.
    current = int(torch.cuda.current_device()) if torch is not None and torch.cuda.is_initialized() else 0
    return nvml_counter(current if asked[2] is None else int(asked[2]))

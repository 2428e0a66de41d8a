"""A meter of joules for a stretch of a program: what a counter of the machine says, or loudly nothing."""

from __future__ import annotations

import re
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ..results.measurement import ForwardEnergy
from .counters import RESOLUTION, Counter, NoCounterError
from .nvml import nvml_counter
from .rapl import POWERCAP, RaplCounter

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike
    from types import TracebackType

_OTHER = "Read its maker's own meter."
_DEVICE = re.compile(r"(cpu|cuda)(?::(\d+))?")


class EnergyUnknownWarning(UserWarning):
    """Joules were asked for and nothing here tells them: what was looked for, why it does not, what would help."""


class EnergyMeter:
    """Joules between a beginning and an end, with what they are and what they cover.

    Where nothing tells joules all of it is None; a warning has said so, and `why_not` keeps the reason. No power that
    a data sheet states is ever put in its place. `energy_meter` makes one.

    Attributes:
        device: what it is on, as torch spells it.
        source: which counter tells them: `rapl:package-0+dram`, `nvml:counter`, `nvml:sampled`.
        covers: whose joules they are, in words: whole processors or boards, never one process alone.
        idle_w: watts that the same counter told before the stretch, while this process rested.
        joules: of the stretch, idle draw and other processes included.
        duration_s: seconds of the stretch.
        why_not: the reason for None.
    """

    def __init__(self, device: str, *, idle_s: float | None = None, powercap: str | PathLike[str] = POWERCAP) -> None:
        if idle_s is not None and not idle_s >= 0:
            raise ValueError(f"idle_s is {idle_s}; expected seconds, 0 for no rest, or None for as long as it takes")
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
        self._lock = threading.Lock()  # of the counter: the looker reads it, too
        self._closing = threading.Event()
        self._looker: threading.Thread | None = None
        self._lost: NoCounterError | None = None
        self._began: tuple[float, float] | None = None  # joules and seconds

    @property
    def above_idle_joules(self) -> float | None:
        """`joules` less the idle draw over the same time; of a stretch that hardly works it may be below 0."""
        if self.joules is None or self.duration_s is None or self.idle_w is None:
            return None
        return self.joules - self.idle_w * self.duration_s

    @property
    def resolution(self) -> float | None:
        """The share of the stretch that one step of the counter takes: 0.01 where it stepped a hundred times."""
        if self._step_s is None or self.duration_s is None:
            return None
        return self._step_s / self.duration_s

    @property
    def least_s(self) -> float:
        """Seconds of a stretch from which on the resolution is 1 % or better; 0 where nothing tells joules."""
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
        """Finds the counter and, while this process rests, measures the idle draw."""
        try:
            self._counter = counter = _counter(self.device, self._powercap)
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
        """Begins a stretch, once what the device was given before is done."""
        self.joules = self.duration_s = None
        if self._counter is None:
            return
        self._finish_work()
        try:
            self._began = self._read_j(), time.perf_counter()
        except NoCounterError as error:
            self._give_up(error)

    def stop(self) -> None:
        """Ends the stretch, once the device is done."""
        if self._counter is None or self._began is None:
            return
        self._finish_work()
        (began_j, began), self._began = self._began, None
        try:
            joules, duration_s = self._read_j() - began_j, time.perf_counter() - began
            if joules <= 0:
                raise NoCounterError(
                    f"steps of {self.source}",
                    f"it stood still over {duration_s:.3g} s",
                    f"Measure {self.least_s:.3g} s or more. A counter that never steps, as in some virtual machines, "
                    "tells nothing.",
                )
        except NoCounterError as error:
            self._give_up(error)
        else:
            self.joules, self.duration_s = joules, duration_s

    def close(self) -> None:
        """Lets go of the counter; what was measured stays."""
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
        """Reads again and again, for counters that would lose track."""
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
        text = f"energy is not measured on {self.device}, and no guess takes its place: {error}"
        warnings.warn(text, EnergyUnknownWarning, stacklevel=4)  # at the `with`, or at who opens it

    def _finish_work(self) -> None:
        """Waits for what a GPU was given; a program that does not use torch waits itself."""
        torch = sys.modules.get("torch")
        if self.device.startswith("cuda") and torch is not None and torch.cuda.is_initialized():
            torch.cuda.synchronize(self.device)


def energy_meter(
    device: str = "cpu", *, idle_s: float | None = None, powercap: str | PathLike[str] = POWERCAP
) -> EnergyMeter:
    """A meter of the joules of a block: `with energy_meter() as meter: ...`, then `meter.joules`, `meter.source`.

    Entering the block takes as long as the idle draw is measured. Numbers stand from the end of the block on. Other
    processes on the processors or the board are in them, so have the machine to itself; two meters, one in the other,
    are for a processor and a GPU.

    Args:
        device: `"cpu"`, for the machine's processors and their memory through RAPL (Linux; the files are often root's
            alone), or `"cuda"`, `"cuda:1"`, for the board of a GPU through NVML, numbered as torch does.
        idle_s: seconds of rest before the block, in which the idle draw is measured; by default half a second for
            processors and two for GPUs, whose counters step less often. 0 leaves it out.
        powercap: the folder of Linux's power capping.

    Returns:
        The meter. Its joules are None where nothing tells them: an `EnergyUnknownWarning` then says what was looked
        for, why it did not work and what would help.

    Raises:
        ValueError: `idle_s` is below 0.
    """
    return EnergyMeter(device, idle_s=idle_s, powercap=powercap)


def joules_per_forward(
    forward: Callable[[], object], meter: EnergyMeter, seconds: float, wait: Callable[[], object] | None = None
) -> ForwardEnergy:
    """Repeats a forward until a step of the counter is 1 % of what it took, or less.

    Args:
        forward: runs it once; warmed up before.
        meter: opened. Where it knows nothing, nothing is run.
        seconds: how long at least.
        wait: returns when the device has finished, where calls return before that.
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


def _counter(device: str, powercap: Path) -> Counter:
    asked = _DEVICE.fullmatch(device)
    if asked is None:
        raise NoCounterError(
            f"a counter of {device!r}", "joules are read on cpu (RAPL) and on cuda (NVML) alone", _OTHER
        )
    if asked[1] == "cpu":
        return RaplCounter(powercap)
    torch = sys.modules.get("torch")
    if torch is not None and torch.version.hip is not None:
        raise NoCounterError(
            f"a counter of {device!r}", f"it is AMD's (ROCm {torch.version.hip}), which NVML does not know", _OTHER
        )
    # "cuda" is the GPU that torch has made the current one, else the first.
    current = int(torch.cuda.current_device()) if torch is not None and torch.cuda.is_initialized() else 0
    return nvml_counter(current if asked[2] is None else int(asked[2]))

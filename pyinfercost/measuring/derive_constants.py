"""Derivation of a CPU's constants from measured seconds: the other terms of the model are subtracted from each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .rounds import Timed

_GIGA = 1e9
_FLOAT_BYTES = 4
MEASURED_LOOPS = ("special", "library", "row", "softmax", "window", "transpose")
"""Loops that a calibration measures in eager execution. Scattered rows use the constants of the CPU family."""
COMPILED_LOOPS = ("special", "row", "softmax", "window")
"""Loops that a compiler generates itself, with speeds that differ from eager execution."""
_PRODUCTS = ("pixelwise", "convolution", "grouped", "depthwise", "attention")
# The subtracted terms are measured too, so the remainder could be 0 or less: keep at least this share.
_GROUP_THREADS, _GROUPS_AT_ONCE = 8, 64  # kGroupThreads and 1 / kOtherThreads of csrc/hardware/cpu_model.hpp
_LEAST_OF_LOOP, _LEAST_OF_PRODUCT, _LEAST_OF_LAUNCH = 0.1, 0.25, 0.1


class Readings:
    """Measured times and the quantities behind them.

    Attributes:
        timed: Timed calls by name, from `probes` and `compiled`.
        seconds: Seconds of one call, by the same names.
        cores: Number of cores in use.
        threads: Number of threads in use.
        clock_hz: Clock by which rates per cycle are multiplied.
    """

    def __init__(
        self, timed: Mapping[str, Timed], seconds: Mapping[str, float], cores: int, threads: int, clock_hz: float
    ) -> None:
        self.timed = timed
        self.seconds = seconds
        self.cores = cores
        self.threads = threads
        self.clock_hz = clock_hz

    def rate(self, name: str) -> float:
        """Return elements, FLOPs or bytes per second."""
        return self.timed[name].elements / self.seconds[name]

    def flop_per_s(self) -> dict[str, float]:
        """Return FLOP/s of square matrix products by dtype, on all cores."""
        names = [name for name in self.seconds if name.startswith("peak.") and not name.endswith(".one")]
        return {name.removeprefix("peak."): self.rate(name) for name in names}

    def beyond_op_s(self, name: str) -> float:
        """Return the additional seconds of a small product or convolution over another operator."""
        return max(0.0, self.seconds[f"call.{name}"] - self.seconds["call.op"])

    def region_s(self) -> float:
        """Return the seconds to open and close a parallel region."""
        return max(0.0, self.seconds["region.all"] - self.seconds["region.one"]) if self.threads > 1 else 0.0

    def _opened_threads(self) -> float:
        """Return the threads that open a region one by one; groups of others do so side by side."""
        return min(self.threads, _GROUP_THREADS + (self.threads - _GROUP_THREADS) / _GROUPS_AT_ONCE)

    def page_fault_s_per_byte(self) -> float:
        """Return the seconds per byte of newly mapped memory."""
        fresh, used = self.seconds["pages.fresh"], self.seconds["pages.used"]
        return max(0.0, fresh - used) / self.timed["pages.fresh"].elements

    def launch_gap_s(self) -> float:
        """Return the launch time of a kernel in a compiled graph; the dispatch of an eager operator if not measured."""
        if "compiled.long" not in self.seconds:
            return self.seconds["call.op"]
        pair_s = self._pair_s()
        return max(pair_s - self.beyond_op_s("product"), _LEAST_OF_LAUNCH * pair_s) / 2

    def _pair_s(self) -> float:
        from .compiled import LONG_CHAIN, SHORT_CHAIN

        return max(0.0, self.seconds["compiled.long"] - self.seconds["compiled.short"]) / (LONG_CHAIN - SHORT_CHAIN)

    def _moving_s(self, byte_count: float, *, shared: bool = False) -> float:
        """Return the modeled seconds to move bytes that are in a cache: private, if there is one, or shared."""
        levels = ("llc.add", "dram.add") if shared else ("l2.add", "llc.add", "dram.add")
        return byte_count / self.rate(next(name for name in levels if name in self.seconds))

    def constants(self) -> dict[str, float]:
        """Return the constants of table `[cpu]` by name, in base units."""
        found = {f"{name}_s": self._loop_s(name) for name in MEASURED_LOOPS}
        copying_s = self.seconds["copying.outermost"] - self.seconds["copying.innermost"]
        if copying_s > 0:  # otherwise no copy by the library is measurable
            elements = self.timed["copying.outermost"].elements
            found["copying_s"] = copying_s * self.cores / elements
        found["packing_s"] = self._packing_s()
        found["gemv_s"] = self._gemv_s()
        if "compiled.long" in self.seconds:
            from .compiled import SHORT_CHAIN, shared_grain

            call_s = max(0.0, self.seconds["compiled.short"] - SHORT_CHAIN * self._pair_s())
            for name in COMPILED_LOOPS:
                found[f"compiled_{name}_s"] = self._compiled_loop_s(name, call_s)
            found["compiled_grain"] = shared_grain()
        for name in _PRODUCTS:
            found[name] = self._product(name)
        found["product"] = self._linear(found["packing_s"])
        found["convolution_s"] = self.beyond_op_s("convolution")
        found["region_s"] = self.region_s() / self._opened_threads()
        found["fault_s_per_byte"] = self.page_fault_s_per_byte()
        return found

    def _loop_s(self, name: str) -> float:
        one, taken_s = self.timed[name], self.seconds[name]
        net_s = taken_s - self.seconds["call.op"] - self.region_s() - self._moving_s(one.moved_bytes)
        return max(net_s, _LEAST_OF_LOOP * taken_s) * self.cores / one.elements

    def _compiled_loop_s(self, name: str, call_s: float) -> float:
        one, taken_s = self.timed[f"compiled.{name}"], self.seconds[f"compiled.{name}"]
        net_s = taken_s - call_s - self.region_s() - self._moving_s(one.moved_bytes)
        return max(net_s, _LEAST_OF_LOOP * taken_s) * self.cores / one.elements

    def _packing_s(self) -> float:
        from .probes import PACKED_ROWS

        elements, taken_s = self.timed["packing"].elements, self.seconds["packing"]
        arithmetic_s = 2.0 * PACKED_ROWS * elements / self.flop_per_s()["fp32"]
        net_s = taken_s - arithmetic_s - self.seconds["call.product"] - self.region_s()
        net_s -= self._moving_s(_FLOAT_BYTES * elements, shared=True)
        return max(net_s, _LEAST_OF_LOOP * taken_s) * self.cores / elements

    def _gemv_s(self) -> float:
        taken_s = self.seconds["gemv"]
        net_s = taken_s - self.seconds["call.product"]
        return max(net_s, _LEAST_OF_LOOP * taken_s) / self.timed["gemv"].elements

    def _linear(self, packing_element_s: float) -> float:
        from .probes import LINEAR_WEIGHTS

        one, taken_s = self.timed["linear"], self.seconds["linear"]
        packing_s = LINEAR_WEIGHTS * packing_element_s / self.cores
        read_s = _FLOAT_BYTES * LINEAR_WEIGHTS / self.rate("dram.add")
        net_s = taken_s - self.seconds["call.product"] - packing_s - read_s
        return one.elements / (max(net_s, _LEAST_OF_PRODUCT * taken_s) * self.flop_per_s()["fp32"])

    def _product(self, name: str) -> float:
        one, taken_s = self.timed[name], self.seconds[name]
        launch_s = self.seconds["call.product"]
        if name != "attention":
            launch_s += self.beyond_op_s("convolution")
        net_s = taken_s - launch_s - self.region_s() - self._moving_s(one.moved_bytes)
        return one.elements / (max(net_s, _LEAST_OF_PRODUCT * taken_s) * self.flop_per_s()["fp32"])

    def notes(self) -> list[str]:
        """Return lines about measured quantities other than the constants."""
        alone = [name for name in self.seconds if name.startswith("peak.") and name.endswith(".one")]
        told = [f"{name.split('.')[1]} {self.rate(name) / _GIGA:.1f}" for name in alone]
        lines = [f"matrix products on one thread, GFLOP/s: {', '.join(told)}"]
        for level in ("l2", "llc", "dram"):
            for suffix, count in (("", self.threads), (".one", 1)):
                if f"{level}.add{suffix}" not in self.seconds:
                    continue
                told = [f"{way} {self.rate(f'{level}.{way}{suffix}') / _GIGA:.1f}" for way in ("copy", "add")]
                lines.append(f"{level} on {count} thread(s), GB/s: {', '.join(told)}")
        return lines

"""Derivation of a CPU's constants from measured seconds: the other terms of the model are subtracted from each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .rounds import Timed

_GIGA, _MEBI = 1e9, 2.0**20
_FLOAT_BYTES = 4
MEASURED_LOOPS = ("special", "library", "row", "softmax", "window", "transpose", "half")
"""Loops that a calibration measures in eager execution. Scattered rows use the constants of the CPU family."""
COMPILED_LOOPS = ("special", "row", "softmax", "window")
"""Loops that a compiler generates itself, with speeds that differ from eager execution."""
_CALLS = ("op", "product", "convolution")
_PRODUCTS = ("pixelwise", "convolution", "grouped", "depthwise")
_NARROW = ("half", "byte")
"""Weights of 16 and of 8 bits, which a library arranges in each call."""
_FIRST_EVICTED, _ALL_EVICTED = 0.4, 1.6  # kFirstEvicted and kAllEvicted of csrc/hardware/cpu_model.hpp
_DISTINCT = 1.15  # ratio of two rates below which a cache and the memory behind it are not told apart
# The subtracted terms are measured too, so the remainder could be 0 or less: keep at least this share.
_GROUP_THREADS, _GROUPS_AT_ONCE = 8, 64  # kGroupThreads and 1 / kOtherThreads of csrc/hardware/cpu_model.hpp
_LEAST_OF_LOOP, _LEAST_OF_PRODUCT, _LEAST_OF_LAUNCH = 0.1, 0.25, 0.1


def _is_set(name: str) -> bool:
    """Whether a timed call reads a set of 32-bit weights of some size."""
    return name.startswith("weights.") and not any(name.startswith(f"weights.{narrow}.") for narrow in _NARROW)


class Readings:
    """Measured times and the quantities behind them.

    Attributes:
        timed: Timed calls by name, from `probes` and `compiled`.
        seconds: Seconds of one call, by the same names.
        cores: Number of cores in use.
        threads: Number of threads in use.
        clock_hz: Clock by which rates per cycle are multiplied.
        private_bytes: Capacity of the private caches of these cores.
    """

    def __init__(
        self,
        timed: Mapping[str, Timed],
        seconds: Mapping[str, float],
        *,
        cores: int,
        threads: int,
        clock_hz: float,
        private_bytes: float,
    ) -> None:
        self.timed = timed
        self.seconds = seconds
        self.cores = cores
        self.threads = threads
        self.clock_hz = clock_hz
        self.private_bytes = private_bytes

    def rate(self, name: str) -> float:
        """Return elements, FLOPs or bytes per second."""
        return self.timed[name].elements / self.seconds[name]

    def flop_per_s(self) -> dict[str, float]:
        """Return FLOP/s of square matrix products by dtype, on all cores."""
        names = [name for name in self.seconds if name.startswith("peak.") and not name.endswith(".one")]
        return {name.removeprefix("peak."): self.rate(name) for name in names}

    def call_parts_s(self) -> dict[str, float]:
        """Return the seconds of a small operator, and the increments of a product and of a convolution."""
        return self._parts("call")

    def cold_parts_s(self) -> dict[str, float]:
        """Return the extra seconds of the same calls if their code and data are in no cache."""
        cold = {f"extra.{name}": self.cold_s(name) for name in _CALLS}
        return self._parts("extra", cold)

    def _parts(self, state: str, seconds: Mapping[str, float] | None = None) -> dict[str, float]:
        seconds = self.seconds if seconds is None else seconds
        taken = [seconds[f"{state}.{name}"] for name in _CALLS]
        return dict(zip(_CALLS, (taken[0], *(max(0.0, b - a) for a, b in itertools.pairwise(taken))), strict=True))

    def cold_s(self, name: str) -> float:
        """Return the additional seconds of a small operator whose code and data caches no longer hold."""
        return max(0.0, self.seconds[f"cold.{name}"] - self.seconds[f"call.{name}"])

    def call_s(self, name: str, moved_bytes: float) -> float:
        """Return the modeled seconds of a call in a series of kernels that move so many bytes each (`run_cpu`)."""
        swept = moved_bytes / self.private_bytes
        evicted = min(1.0, max(0.0, (swept - _FIRST_EVICTED) / (_ALL_EVICTED - _FIRST_EVICTED)))
        return self.seconds[f"call.{name}"] + evicted * self.cold_s(name)

    def resident_bytes(self, nominal_bytes: float) -> float:
        """Return the size up to which the shared cache serves weights that a network reads once per forward.

        This is the size at which products read weights at the geometric mean of the rates of the smallest and of the
        largest set of weights, if it is below the nominal size of the cache.
        """
        sets = sorted((one.elements, self.rate(name)) for name, one in self.timed.items() if _is_set(name))
        threshold = math.sqrt(sets[0][1] * sets[-1][1])
        if sets[0][1] < _DISTINCT * sets[-1][1]:
            return nominal_bytes
        for (size, rate), (larger, slower) in itertools.pairwise(sets):
            if slower < threshold <= rate:
                share = math.log(rate / threshold) / math.log(rate / slower)
                return min(nominal_bytes, math.exp(math.log(size) + share * math.log(larger / size)))
        return nominal_bytes

    def _weight_stream(self, narrow: str = "") -> float | None:
        """Return the rate at which products read weights from memory, relative to a stream; None if not measured."""
        names = [n for n in self.timed if (n.startswith(f"weights.{narrow}.") if narrow else _is_set(n))]
        return (
            None
            if not names
            else self.rate(max(names, key=lambda name: self.timed[name].elements)) / self.rate("dram.add")
        )

    def _stream_of_weights(self) -> float:
        return self._weight_stream() or 1.0

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
        return max(pair_s - self.call_parts_s()["product"], _LEAST_OF_LAUNCH * pair_s) / 2

    def compiled_calls(self) -> dict[str, float]:
        """Return the constants of table `[forward]` by name; none if `torch.compile` was not measured."""
        if "guards.many" not in self.seconds:
            return {}
        few, many = self.timed["guards.few"].elements, self.timed["guards.many"].elements
        guard_s = max(0.0, self.seconds["guards.many"] - self.seconds["guards.few"]) / (many - few)
        return {"compiled_start_s": max(0.0, self.seconds["guards.few"] - few * guard_s), "guard_s": guard_s}

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
        found["packing_s"] = self._packing_s(_FLOAT_BYTES, "fp32", "packing")
        if "packing.byte" in self.timed:
            found["byte_packing_s"] = self._packing_s(1, "int8", "packing.byte")
        found["gemv_s"] = self._gemv_s("gemv")
        found["weight_stream"] = self._stream_of_weights()
        for narrow in _NARROW:
            rate = self._weight_stream(narrow)
            if rate is not None and f"gemv.{narrow}" in self.timed:
                found[f"{narrow}_gemv_s"] = self._gemv_s(f"gemv.{narrow}")
                found[f"{narrow}_weight_stream"] = rate
        if "compiled.long" in self.seconds:
            from .compiled import SHORT_CHAIN, shared_grain

            call_s = max(0.0, self.seconds["compiled.short"] - SHORT_CHAIN * self._pair_s())
            for name in COMPILED_LOOPS:
                found[f"compiled_{name}_s"] = self._compiled_loop_s(name, call_s)
            found["compiled_grain"] = shared_grain()
        for name in _PRODUCTS:
            found[name] = self._product(name)
        found |= self._attention()
        found["key_s"] = self._gemv_s("key")
        found["half_key_s"] = self._gemv_s("key.half")
        found["product"] = self._linear(found["packing_s"])
        found["convolution_s"] = self.call_parts_s()["convolution"]
        cold = self.cold_parts_s()
        found["cold_dispatch_s"] = cold["op"]
        found["cold_product_s"] = cold["product"]
        found["cold_convolution_s"] = cold["convolution"]
        found["region_s"] = self.region_s() / self._opened_threads()
        found["fault_s_per_byte"] = self.page_fault_s_per_byte()
        return found

    def _loop_s(self, name: str) -> float:
        one, taken_s = self.timed[name], self.seconds[name]
        net_s = taken_s - self.call_s("op", one.moved_bytes) - self.region_s() - self._moving_s(one.moved_bytes)
        return max(net_s, _LEAST_OF_LOOP * taken_s) * self.cores / one.elements

    def _compiled_loop_s(self, name: str, call_s: float) -> float:
        one, taken_s = self.timed[f"compiled.{name}"], self.seconds[f"compiled.{name}"]
        net_s = taken_s - call_s - self.region_s() - self._moving_s(one.moved_bytes)
        return max(net_s, _LEAST_OF_LOOP * taken_s) * self.cores / one.elements

    def _packing_s(self, width: int, dtype: str, name: str) -> float:
        from .probes import PACKED_ROWS

        elements, taken_s = self.timed[name].elements, self.seconds[name]
        arithmetic_s = 2.0 * PACKED_ROWS * elements / self.flop_per_s()[dtype]
        net_s = taken_s - arithmetic_s - self.call_s("product", width * elements) - self.region_s()
        stream = (self._weight_stream("byte") if width == 1 else None) or self._stream_of_weights()
        net_s -= self._moving_s(width * elements, shared=True) / stream
        return max(net_s, _LEAST_OF_LOOP * taken_s) * self.cores / elements

    def _gemv_s(self, name: str) -> float:
        taken_s = self.seconds[name]
        net_s = taken_s - self.seconds["call.product"]
        return max(net_s, _LEAST_OF_LOOP * taken_s) / self.timed[name].elements

    def _linear(self, packing_element_s: float) -> float:
        from .probes import LINEAR_LAYERS, LINEAR_WEIGHTS

        one, taken_s = self.timed["linear"], self.seconds["linear"]
        weight_bytes = _FLOAT_BYTES * LINEAR_WEIGHTS
        packing_s = LINEAR_WEIGHTS * packing_element_s / self.cores
        resident = LINEAR_LAYERS * weight_bytes < self.resident_bytes(math.inf)
        read_s = self._moving_s(weight_bytes, shared=True) if resident else weight_bytes / self.rate("dram.add")
        read_s /= self._stream_of_weights()
        net_s = taken_s - self.call_s("product", weight_bytes + one.moved_bytes) - packing_s - read_s
        return one.elements / (max(net_s, _LEAST_OF_PRODUCT * taken_s) * self.flop_per_s()["fp32"])

    def _product(self, name: str) -> float:
        net_s = self._net_s(name, "convolution")
        return self.timed[name].elements / (net_s * self.flop_per_s()["fp32"])

    def _net_s(self, name: str, call: str) -> float:
        """Return the seconds of a call without its launch and its bytes."""
        one, taken_s = self.timed[name], self.seconds[name]
        net_s = taken_s - self.call_s(call, one.moved_bytes) - self.region_s() - self._moving_s(one.moved_bytes)
        return max(net_s, _LEAST_OF_PRODUCT * taken_s)

    def _attention(self) -> dict[str, float]:
        """Return the constants of attention: a score costs its FLOPs and its exponential.

        Heads of two widths tell both apart.
        """
        from .probes import SCORES, SLIM_SCORES

        wide, slim = self.timed["attention"], self.timed["attention.slim"]
        wide_s = self._net_s("attention", "product") / SCORES
        slim_s = self._net_s("attention.slim", "product") / SLIM_SCORES
        half_s = self._net_s("attention.half", "product") / SCORES
        of_wide, of_slim = wide.elements / SCORES, slim.elements / SLIM_SCORES
        flop_s = max((wide_s - slim_s) / (of_wide - of_slim), _LEAST_OF_PRODUCT * wide_s / of_wide)
        score_s = max(slim_s - flop_s * of_slim, 0.0)
        half_flop_s = max(half_s - score_s, _LEAST_OF_PRODUCT * half_s) / of_wide
        peaks = self.flop_per_s()
        found = {"attention": 1 / (flop_s * peaks["fp32"]), "half_attention": 1 / (half_flop_s * peaks["bf16"])}
        return found | ({"score_s": score_s * self.cores} if score_s > 0 else {})

    def notes(self) -> list[str]:
        """Return lines about measured quantities other than the constants."""
        alone = [name for name in self.seconds if name.startswith("peak.") and name.endswith(".one")]
        told = [f"{name.split('.')[1]} {self.rate(name) / _GIGA:.1f}" for name in alone]
        lines = [f"matrix products on one thread, GFLOP/s: {', '.join(told)}"]
        for level in ("l2", "llc", "dram"):
            for suffix, count in (("", self.threads), (".one", 1)):
                if f"{level}.add{suffix}" not in self.seconds:
                    continue
                told = [f"{access} {self.rate(f'{level}.{access}{suffix}') / _GIGA:.1f}" for access in ("copy", "add")]
                lines.append(f"{level} on {count} thread(s), GB/s: {', '.join(told)}")
        sets = [(one.elements, name) for name, one in self.timed.items() if _is_set(name)]
        told = [f"{size / _MEBI:.0f} MiB {self.rate(name) / _GIGA:.1f}" for size, name in sorted(sets)]
        lines.append(f"weights in products of one row, GB/s by their total: {', '.join(told)}")
        return lines

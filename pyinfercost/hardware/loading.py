"""From the file of a device to the core's `Hardware`, in FLOP, byte, second, watt and hertz.

Facts of device files are converted here, and constants of calibration files by the core's table of them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from .. import _core
from .._checks import Range, whole
from .._records import dataclass
from ..errors import InputTypeError
from .bands import Band, bands
from .catalog_names import CATALOG, device_id
from .constants import HELD
from .dtypes import CORE_DTYPES, VALUE_BITS
from .errors import HardwareError, MissingFactError
from .evidence import EVIDENCE, OTHER
from .files import Calibration, DeviceFile, read_device
from .files import calibration as constants_of
from .schema import CACHE_LEVELS

Source: TypeAlias = "str | os.PathLike[str]"

_KIBI, _MEBI, _GIBI = 2.0**10, 2.0**20, 2.0**30
_GIGA, _TERA, _MICRO = 1e9, 1e12, 1e-6
_HELD = frozenset(name for name in HELD if not name.startswith("achieved."))
"""Constants of the argument `constants`; constants of [achieved] have an argument of their own."""

_OVERHEADS = ("dispatch", "launch_gap", "replay_gap", "kernel_minimum")
_ENGINES = ("matrix", "vector")
SLOT_W = 75.0  # power of a PCIe slot
LEAST_SHARE = 0.1  # of the limit that is available to kernels
HALVINGS = 50
KNOWN_ENERGY = (("matrix", "bf16"), ("vector", "fp32"))
"""Engine -> the dtype whose energy is scaled by bits for dtypes without a figure."""


@lru_cache(maxsize=1024)
def hardware_of(
    device: DeviceFile,
    constants: Calibration,
    threads: int | None,
    instances: int,
    sustained: bool,
    host_s: float | None,
) -> _core.Hardware:
    arguments = core_arguments(
        device, constants, threads=threads, instances=instances, sustained=sustained, host_s=host_s
    )
    return _core.Hardware(**arguments)


def describe(hardware: Source) -> dict[str, Any]:
    """Return all that is known about a device, in the units of its file.

    Args:
        hardware: An id of the catalog, or a path that ends in `.toml`.

    Returns:
        The content of the file, with four more keys: `path`; `missing`, the facts that estimates need and the file
        lacks; `calibration`, with the `values` by table and the `origin` of each key; and `bands`, with the `spread`
        and the `evidence` of each class of kernels.
    """
    device = find(hardware)
    constants = constants_of(device)
    described: dict[str, Any] = {key: _plain(value) for key, value in device.data.items() if key != "calibration"}
    described["path"] = str(device.path)
    described["missing"] = device.missing()
    described["calibration"] = {
        "values": _plain(constants.data),
        "origin": {key: {"file": path.name, "source": source} for key, (path, source) in constants.origin.items()},
    }
    described["bands"] = {
        name: {"spread": band.spread, "evidence": band.evidence} for name, band in _bands(device, constants).items()
    }
    return described


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, list) else value


def find(hardware: object) -> DeviceFile:
    """Return the file of a device, given by an id or a name of the catalog, or by a path that ends in `.toml`.

    Raises:
        UnknownHardwareError: The catalog has no such device, or several.
        HardwareFileError: The file does not follow the schema.
        InputTypeError: The value is none of these.
    """
    if isinstance(hardware, os.PathLike):
        return read_device(Path(hardware), cataloged=False)
    if not isinstance(hardware, str):
        raise InputTypeError(
            f"hardware is of type {type(hardware).__name__}; expected an id of the catalog, a path that ends in .toml, "
            "or a Hardware"
        )
    if hardware.endswith(".toml"):
        return read_device(Path(hardware), cataloged=False)
    return read_device(CATALOG / f"{device_id(hardware)}.toml", cataloged=True)


def core_arguments(
    device: DeviceFile,
    constants: Calibration,
    *,
    threads: int | None = None,
    instances: int = 1,
    sustained: bool = False,
    host_s: float | None = None,
) -> dict[str, Any]:
    """Return the keyword arguments of the core's `Hardware`.

    Args:
        device: The device.
        constants: Its calibration constants.
        threads: As in `load`.
        instances: As in `load`.
        sustained: As in `load`.
        host_s: Seconds that the host of a GPU takes to issue an operator; None for the time in the constants.

    Raises:
        MissingFactError: A fact that estimates need is unknown.
        HardwareError: `threads` or `instances` is out of range, or the device is no CPU; or `sustained` is set, and its
            power or energy is unknown; or `host_s` is given, and it is no GPU.
    """
    gaps = device.missing()
    if gaps:
        raise MissingFactError(
            f"{device.id!r} cannot be used for estimates: {device.path} does not give {', nor '.join(gaps)}. "
            "Copy the file, add the value with its source, and pass the path of the copy."
        )
    all_cores = int(device.get("compute.cores"))
    cores = _cores_in_use(device, all_cores, threads, instances)
    share = _share_of_peak(device, cores * instances) / instances
    clock_hz = (device.get("compute.clock_ghz") or constants["assumed.clock_ghz"]) * _GIGA
    vector = _rates(device.get("compute.vector_tflop_per_s"), share)
    per_clock = constants.get("assumed.vector_flop_per_clock_per_core")
    if not vector and per_clock is not None:
        vector = {"float32": per_clock * cores * clock_hz}
    array = device.get("compute.array")
    values = constants.in_base_units(clock_hz)
    if host_s is not None:
        values = _on_host(device, values, host_s)
    elif device.get("calibration.overheads.dispatch_us") is not None:
        values = {key: value for key, value in values.items() if key != "forward.host_spread"}  # it was measured
    of_classes = _bands(device, constants)
    compilers = _compilers_int8(device, constants, vector)
    power = _power(device, values, clock_hz, sustained=sustained)
    if sustained and power is None:
        lacking = "it has no power.tdp_w" if device.get("power.tdp_w") is None else f"{device.family!r} has no [power]"
        raise HardwareError(
            f"sustained is set, but the power of {device.id!r} under load is unknown: {lacking}; expected a GPU of "
            "known power limit and energy, or sustained=False"
        )
    joules = {} if power is None else _engine_joules(device, constants, values, power)
    return {
        "id": device.id,
        "name": device.get("name")
        + ("" if threads is None and instances == 1 else f", {cores} of {all_cores} cores")
        + (", sustained" if sustained else "")
        + ("" if host_s is None else f", host {host_s / _MICRO:.4g} us"),
        "kind": device.kind,
        "family": device.family,
        "cores": float(cores),
        "clock_hz": clock_hz,
        "matrix_flop_per_s": _rates(device.get("compute.matrix_tflop_per_s"), share),
        "vector_flop_per_s": vector,
        "memory": _memory(device, values, cores=cores, instances=instances, clock_hz=clock_hz),
        "array": None if array is None else (array["rows"], array["cols"], array["units"]),
        "sparsity_2_4": float(device.get("sparsity.factor_2_4") or 1.0),
        "overheads_s": {
            key: values[f"overheads.{key}_s"] + values.get(f"overheads.{key}_core_s", 0.0) for key in _OVERHEADS
        },
        "achieved": _achieved(device, constants, values),
        "constants": {
            **{name: value for name, value in values.items() if name in _HELD},
            **{f"{name}.spread": band.spread for name, band in of_classes.items() if name != OTHER},
            **_link_facts(device),
            **_library_facts(device),
            **compilers,
            **({} if power is None else _power_times(power, joules, sustained=sustained)),
            **_energy_joules(device, values, joules, instances),
        },
        "spread": of_classes[OTHER].spread,
        "evidence": {name: band.evidence for name, band in of_classes.items()}
        | ({_OF_COMPILERS: EVIDENCE["datasheet"]} if compilers else {}),
        "provenance": _provenance(device, constants),
        "power_w": _power_w(device, constants),
        "links_byte_per_s": _links(device),
    }


def _bands(device: DeviceFile, constants: Calibration) -> dict[str, Band]:
    # A disturbed calibration measures the other processes.
    quiet = constants.measured and _CALIBRATION not in (device.get("source.unverified") or ())
    return bands(constants.lineage, constants.folder, measured=quiet)


def _on_host(device: DeviceFile, values: Mapping[str, float], host_s: float) -> dict[str, float]:
    """Return the constants with a given host, without the spread of unknown hosts."""
    if device.kind != "gpu":
        raise HardwareError(
            f"host is given, but {device.id!r} is of kind {device.kind!r}; expected a GPU, whose kernels a host issues"
        )
    times = host_s / values["overheads.dispatch_s"]
    given = dict(values)
    given.pop("forward.host_spread", None)
    for key in ("overheads.dispatch_s", "forward.compiled_dispatch_s"):
        given[key] *= times
    return given


def _achieved(device: DeviceFile, constants: Calibration, values: Mapping[str, float]) -> dict[str, float]:
    """Return the reachable share of each peak; ECC that is stored among the data takes bandwidth."""
    achieved = dict(constants.data["achieved"])
    if device.get("memory.dram.inline_ecc"):
        achieved["dram"] *= values.get("stream.inline_ecc", 1.0)
    return achieved


def _links(device: DeviceFile) -> dict[str, float]:
    """Return the bandwidths of a device's links, in one direction: host, device, and all its NICs together."""
    links = {
        link: bandwidth * _GIGA
        for link in ("host", "device")
        if (bandwidth := device.get(f"link.{link}.bandwidth_gb_per_s")) is not None
    }
    nic = device.get("link.network.nic_gb_per_s")
    if nic is not None:
        links["network"] = nic * float(device.get("link.network.nics_per_device") or 1.0) * _GIGA
    return links


def _link_facts(device: DeviceFile) -> dict[str, float]:
    """Return the topology of the links; only a PCIe link reaches other devices through the host."""
    facts = {}
    kind = str(device.get("link.host.kind"))
    if kind.startswith("PCIe"):
        facts["link.host_shared"] = 1.0
    if device.kind == "cpu" or "memory" in kind:  # host and device share one memory: no copies
        facts["link.host_unified"] = 1.0
    if device.kind == "systolic" and not _has_dram(device):
        facts["link.host_weights"] = 1.0
    if device.get("link.host.direct"):
        facts["link.host_direct"] = 1.0
    latency_us = device.get("link.network.latency_us")
    if latency_us is not None:
        facts["link.network_latency_s"] = latency_us * _MICRO
    node_devices = device.get("devices_per_node")
    if node_devices is not None:
        facts["link.node_devices"] = float(node_devices)
    for key in ("peers", "domain", "reduces"):
        value = device.get(f"link.device.{key}")
        if value is not None:
            facts[f"link.device_{key}"] = float(value)
    return facts


def _library_facts(device: DeviceFile) -> dict[str, float]:
    """Return the defaults of the libraries that torch calls: cuDNN rounds to TF32 where a GPU of NVIDIA has it."""
    has_tf32 = bool((device.get("compute.matrix_tflop_per_s") or {}).get("tf32"))
    rounds = device.kind == "gpu" and device.get("vendor") == "NVIDIA" and has_tf32
    return {"library.rounds_to_tf32": 1.0} if rounds else {}


_CALIBRATION = "calibration"
"""Entry of `source.unverified` of a file whose calibration was disturbed."""
_OF_COMPILERS = "library.int8"
"""Class of the products of compiled models whose rate follows from that of another library."""


def _compilers_int8(device: DeviceFile, constants: Calibration, vector: Mapping[str, float]) -> dict[str, float]:
    """Return the int8 rate of compilers of whole models on a CPU that was calibrated, which measures torch's products.

    Torch's int8 product may be a plain loop, and a compiler uses the instructions of the processor.
    """
    if device.kind != "cpu" or not constants.measured or "float32" not in vector:
        return {}
    times = float(device.get("compute.int8_over_fp32") or 1.0)
    spread = bands(constants.lineage[-1:], constants.folder, measured=False)[OTHER].spread
    reached = constants.data["achieved"]["vector"]
    return {"library.int8_flop_per_s": times * reached * vector["float32"], "library.int8_spread": spread}


def _cores_in_use(device: DeviceFile, cores: int, threads: int | None, instances: int) -> int:
    for name, value, default in (("threads", threads, None), ("instances", instances, 1)):
        if value != default and device.kind != "cpu":
            raise HardwareError(f"{name} is {value}, but {device.id!r} is of kind {device.kind!r}; expected a CPU")
    each = cores // whole(instances, f"instances of {device.id!r}", Range(1, cores), HardwareError)
    if threads is None:
        return each
    most = each * int(device.get("compute.threads_per_core") or 1)
    # The threads of a core share its units.
    return min(whole(threads, f"threads of {device.id!r}", Range(1, most), HardwareError), each)


def _share_of_peak(device: DeviceFile, cores: int) -> float:
    """Return the share of the peak that some cores reach together.

    Loops are split into equal parts, so that the slowest core determines their duration: with efficiency cores in use,
    all cores are as fast as these, unless the performance cores alone are faster.
    """
    all_cores = int(device.get("compute.cores"))
    fast = min(int(device.get("compute.performance_cores") or all_cores), all_cores)
    rate = float(device.get("compute.efficiency_core_rate") or 1.0)
    reached = cores if cores <= fast else max(fast, cores * rate)
    return reached / (fast + (all_cores - fast) * rate)


def _rates(tflop_per_s: Mapping[str, float] | None, share: float) -> dict[str, float]:
    rates = tflop_per_s or {}
    return {CORE_DTYPES[dtype]: rate * _TERA * share for dtype, rate in rates.items() if dtype in CORE_DTYPES}


def _memory(
    device: DeviceFile, constants: Mapping[str, float], *, cores: int, instances: int, clock_hz: float
) -> list[tuple[str, float, float]]:
    dram_byte_per_s = _dram_bandwidth(device) / instances
    share = cores / int(device.get("compute.cores"))
    levels = []
    for level in CACHE_LEVELS:
        cache = device.get(f"memory.{level}")
        if cache is None:
            continue
        private = cache.get("capacity_kib_per_core")
        capacity = cache["capacity_mib"] * _MEBI / instances if private is None else private * _KIBI * cores
        per_clock = constants.get(f"cache.{level}_byte_per_clock_per_core")
        multiple = constants.get(f"cache.{level}_over_dram_bandwidth")
        if "bandwidth_gb_per_s" in cache:
            levels.append((level, capacity, cache["bandwidth_gb_per_s"] * _GIGA * share))
        elif per_clock is not None:
            levels.append((level, capacity, per_clock * cores * clock_hz))
        elif not _has_dram(device) and device.get("compute.array"):
            # A row of operands and a row of results in each clock; the host link is no bound of a scratchpad.
            array = device.get("compute.array")
            levels.append((level, capacity, (array["rows"] + array["cols"]) * array["units"] * clock_hz))
        elif multiple is not None:
            levels.append((level, capacity, multiple * dram_byte_per_s))
    assumed_bytes = constants.get("assumed.scratchpad_bytes_per_core")
    if not levels and assumed_bytes is not None:
        multiple = constants.get("cache.scratchpad_over_dram_bandwidth", 1.0)
        levels.append(("scratchpad", assumed_bytes * cores, multiple * dram_byte_per_s))
    return [*levels, ("dram", _dram_capacity(device) / instances, dram_byte_per_s)]


def _has_dram(device: DeviceFile) -> bool:
    return device.get("memory.dram.bandwidth_gb_per_s") is not None


def _dram_bandwidth(device: DeviceFile) -> float:
    bandwidth = device.get("memory.dram.bandwidth_gb_per_s")
    # A device without DRAM streams from the memory of the host, over the link.
    return float(bandwidth or device.get("link.host.bandwidth_gb_per_s")) * _GIGA


def _dram_capacity(device: DeviceFile) -> float:
    usable_gib = device.get("memory.dram.usable_gib") or device.get("memory.dram.capacity_gib")
    if usable_gib is None:
        return math.inf
    return float(usable_gib) * float(device.get("memory.dram.usable_share") or 1.0) * _GIBI


# ---- power -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Power:
    """Power of a board under load, and the law of its clock.

    Dynamic power is proportional to C V^2 f. The voltage is constant up to a clock of the process, and rises with the
    clock above it, so that a FLOP takes least energy on a board that is limited to a low clock.

    Attributes:
        dynamic_w: Power that is available to kernels: the limit, or for a short forward the power that the board may
            draw for some milliseconds, less static power.
        burst_w: The same for a short forward.
        clock_hz: Clock of the data sheet.
        lowest_voltage_hz: Clock up to which the lowest voltage suffices.
        rise: Relative rise of the voltage over the relative rise of the clock, above it.
        dram_j_per_byte: Energy of a byte from DRAM.
    """

    dynamic_w: float
    burst_w: float
    clock_hz: float
    lowest_voltage_hz: float
    rise: float
    dram_j_per_byte: float

    def energy(self, share: float) -> float:
        """Return the energy of a FLOP at a share of the clock, relative to that at the lowest voltage."""
        voltage = 1 + self.rise * max(0.0, share * self.clock_hz / self.lowest_voltage_hz - 1)
        return voltage * voltage

    def held(self, lowest_w: float) -> float:
        """Return the share of the clock at which arithmetic draws the available power.

        Args:
            lowest_w: Power of the arithmetic at the full clock and the lowest voltage.
        """
        if lowest_w * self.energy(1.0) <= self.dynamic_w:
            return 1.0
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):
            share = (low + high) / 2
            low, high = (share, high) if lowest_w * share * self.energy(share) <= self.dynamic_w else (low, share)
        return low


def _power(device: DeviceFile, values: Mapping[str, float], clock_hz: float, *, sustained: bool) -> _Power | None:
    """Return the power of a board; None if it is unknown.

    Args:
        device: The device.
        values: Its constants in base units.
        clock_hz: Its clock.
        sustained: As in `load`.
    """
    tdp_w, dram_j = device.get("power.tdp_w"), values.get("power.dram_j_per_byte")
    if device.kind != "gpu" or tdp_w is None or dram_j is None:
        return None
    static_w = values.get("power.static_fraction", 0.0) * tdp_w + values.get("power.static_w", 0.0)
    # The slot of a board without a supply of its own cuts off at its limit.
    most_w = tdp_w * (values.get("power.burst", 1.0) if tdp_w > SLOT_W else 1.0)
    burst_w = max(most_w - static_w, LEAST_SHARE * tdp_w)
    return _Power(
        dynamic_w=max(tdp_w - static_w, LEAST_SHARE * tdp_w) if sustained else burst_w,
        burst_w=burst_w,
        clock_hz=clock_hz,
        lowest_voltage_hz=values.get("power.lowest_voltage_hz", math.inf),
        rise=values.get("power.voltage_rise", 0.0),
        dram_j_per_byte=dram_j,
    )


def _engine_joules(
    device: DeviceFile, constants: Calibration, values: Mapping[str, float], power: _Power
) -> dict[str, float]:
    """Return the energy of a FLOP by engine and dtype (`matrix_fp16`), at the clock that the board sustains.

    An engine of unknown energy is assumed to draw all power of a short forward at its reachable rate: vendors choose
    limits near the needs of their chips.
    """
    known = _per_flop(values, "power.{engine}_{dtype}")
    found = {}
    for engine in _ENGINES:
        for dtype, tflop_per_s in (device.get(f"compute.{engine}_tflop_per_s") or {}).items():
            if dtype not in CORE_DTYPES or tflop_per_s <= 0:
                continue
            key = f"{engine}_{dtype}"
            reached = constants.get(f"achieved.{key}") or constants[f"achieved.{engine}"]
            flop_per_s = reached * tflop_per_s * _TERA
            lowest_j = known.get(key, power.burst_w / (flop_per_s * power.energy(1.0)))
            found[key] = lowest_j * power.energy(power.held(lowest_j * flop_per_s))
    return found


def _per_flop(constants: Mapping[str, float], pattern: str) -> dict[str, float]:
    """Return the energy of a FLOP by engine and dtype (`matrix_fp16`), as far as it is known.

    The energy of a dtype without a constant is assumed to be proportional to its bits.

    Args:
        constants: Energies, in any unit.
        pattern: The name of the constant of an engine and a dtype.
    """
    found: dict[str, float] = {}
    for engine, known in KNOWN_ENERGY:
        of_known = constants.get(pattern.format(engine=engine, dtype=known))
        for dtype, bits in VALUE_BITS.items():
            energy = constants.get(pattern.format(engine=engine, dtype=dtype))
            if energy is None and of_known is not None:
                energy = of_known * bits / VALUE_BITS[known]
            if energy is not None:
                found[f"{engine}_{dtype}"] = energy
    return found


def _power_times(power: _Power, joules: Mapping[str, float], *, sustained: bool) -> dict[str, float]:
    """Return the seconds of a FLOP and of a byte at the available power."""
    return {
        "power.sustained": float(sustained),
        "power.dram_s_per_byte": power.dram_j_per_byte / power.dynamic_w,
        **{f"power.{key}": energy_j / power.dynamic_w for key, energy_j in joules.items()},
    }


def _energy_joules(
    device: DeviceFile, constants: Mapping[str, float], at_clock: Mapping[str, float], instances: int
) -> dict[str, float]:
    """Return static power, the power limit, and the joules of a FLOP and of a byte; empty if unknown.

    An engine of unknown energy is assumed to draw all dynamic power at its dense peak: vendors choose limits near the
    needs of their chips.

    Args:
        device: The device.
        constants: Its constants in base units.
        at_clock: Energy of a FLOP by engine and dtype, at the clock that the board sustains; [energy] precedes it.
        instances: Copies that share the power of the device equally.
    """
    tdp_w, static = device.get("power.tdp_w"), constants.get("energy.static_fraction")
    dram_j = constants.get("energy.dram_j_per_byte")
    if tdp_w is None or static is None or dram_j is None:
        return {}
    known = {**at_clock, **_per_flop(constants, "energy.{engine}_{dtype}")}
    found = {
        "energy.static_w": static * tdp_w / instances,
        "energy.most_w": tdp_w / instances,
        "energy.dram_j_per_byte": dram_j,
        "energy.cache_j_per_byte": constants.get("energy.cache_j_per_byte", 0.0),
        "energy.spread": constants.get("energy.spread", 0.0),
    }
    if "energy.link_j_per_byte" in constants:
        found["energy.link_j_per_byte"] = constants["energy.link_j_per_byte"]
    for engine in _ENGINES:
        for dtype, tflop_per_s in (device.get(f"compute.{engine}_tflop_per_s") or {}).items():
            if dtype in CORE_DTYPES and tflop_per_s > 0:
                key = f"{engine}_{dtype}"
                found[f"energy.{key}"] = known.get(key, (1 - static) * tdp_w / tflop_per_s * (1 / _TERA))
    return found


def _power_w(device: DeviceFile, constants: Calibration) -> dict[str, float]:
    """Return the power limit of the board and its idle power, as far as they are known."""
    tdp_w, idle_w = device.get("power.tdp_w"), device.get("power.idle_w")
    fraction = constants.get("assumed.idle_fraction_of_tdp")
    if idle_w is None and tdp_w is not None and fraction is not None:
        idle_w = fraction * tdp_w
    return {key: float(value) for key, value in (("tdp", tdp_w), ("idle", idle_w)) if value is not None}


def _provenance(device: DeviceFile, constants: Calibration) -> dict[str, str]:
    """Return the sources of a machine's values, for reports.

    Returns:
        `datasheet`, the source of its peaks; `verified`, `"yes"` or `"no"`; `unverified`, the facts that were not read
        in their source; `constants`, the calibration files that its constants are from: `"this device"`, then
        families and the kind, nearest first.
    """
    source = device.get("source") or {}
    return {
        "datasheet": str(source.get("text", "")),
        "verified": "yes" if device.get("verified") else "no",
        "unverified": ", ".join(source.get("unverified") or []),
        "constants": ", ".join([*(["this device"] if constants.measured else []), *constants.lineage]),
    }

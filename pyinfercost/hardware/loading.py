"""Load a machine: from an id of the catalog or a file to the core's `Hardware`, in FLOP, byte, second, watt and hertz.

Facts of device files are converted here, and constants of calibration files by the core's table of them.
"""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from .. import _core
from .._checks import Range, flag, is_file, shown, whole
from ..errors import InputTypeError, UnknownNameError
from .constants import HELD, in_base_units
from .dtypes import CORE_DTYPES, VALUE_BITS
from .files import CALIBRATIONS, CATALOG, Calibration, DeviceFile, is_id, read_device
from .files import calibration as constants_of
from .schema import CACHE_LEVELS, KINDS, HardwareError

Source: TypeAlias = "str | os.PathLike[str]"

_KIBI, _MEBI, _GIBI = 2.0**10, 2.0**20, 2.0**30
_GIGA, _TERA = 1e9, 1e12
_HELD = frozenset(name for name in HELD if not name.startswith("achieved."))
"""Constants of the argument `constants`; those of [achieved] have an argument of their own."""

_OVERHEADS = ("dispatch", "launch_gap", "replay_gap", "kernel_minimum")
_ENGINES = ("matrix", "vector")
_ANY = Range(-(2**63), 2**63)
_KNOWN_ENERGY = (("matrix", "bf16"), ("vector", "fp32"))
"""Engine -> the dtype from whose energy that of dtypes without a figure follows, by bits."""


class UnknownHardwareError(HardwareError, UnknownNameError):
    """The catalog has no device of that id."""


class MissingFactError(HardwareError):
    """A valid device file lacks a fact that an estimate of time needs."""


def names() -> list[str]:
    """Return the ids of the catalog, sorted; no file is opened."""
    return sorted(path.stem for path in CATALOG.glob("*.toml"))


def load(
    hardware: Source | _core.Hardware,
    *,
    threads: int | None = None,
    sustained: bool = False,
    calibration: Source | None = None,
) -> _core.Hardware:
    """Load a machine.

    Args:
        hardware: An id of the catalog (`names()` lists them), a path that ends in `.toml`, or a `Hardware`, which is
            returned unchanged.
        threads: Threads of a CPU, one per core; by default all cores. Peaks, private caches and cache bandwidths shrink
            with the cores in use. A shared cache keeps its size. DRAM bandwidth is the smaller of the data sheet's and
            the family's `dram_gb_per_s_per_core` times the cores in use. Power is that of the whole package.
        sustained: Whether the device works without pause, as a server under load does. Kernels that would draw more
            than the power limit of the board then take as long as their energy does at that limit (`[sustained]` of
            the calibration files). By default estimates are of a single forward, which ends before the clock falls.
        calibration: A folder of calibration files that replaces the package's own.

    Returns:
        The machine in base units, with the constants of its family. Cache levels of unknown bandwidth are left out.
        `memory_bytes` is infinite if the owner chooses the size of the memory.

    Raises:
        UnknownHardwareError: The id is unknown; the message names the nearest ones.
        HardwareFileError: The file does not follow the schema.
        MissingFactError: A fact that estimates need is unknown; the message names it.
        HardwareError: `threads` is out of range, or given for a loaded machine or one that is no CPU; or `sustained` is
            set for a loaded machine, or one of unknown power or energy.
        InputTypeError: `hardware` is none of these.
    """
    if threads is not None:
        threads = whole(threads, "threads", _ANY, HardwareError)
    sustained = flag(sustained, "sustained", HardwareError)
    if isinstance(hardware, _core.Hardware):
        if threads is not None:
            raise HardwareError(
                f"threads is {threads}, but {hardware.id!r} is already loaded; expected the id or the path of a CPU"
            )
        if sustained:
            raise HardwareError(f"sustained is set, but {hardware.id!r} is already loaded; expected an id or a path")
        return hardware
    device = _find(hardware)
    folder = CALIBRATIONS if calibration is None else Path(calibration)
    return _hardware(device, constants_of(device, folder), threads, sustained)


@lru_cache(maxsize=1024)
def _hardware(device: DeviceFile, constants: Calibration, threads: int | None, sustained: bool) -> _core.Hardware:
    return _core.Hardware(**core_arguments(device, constants, threads=threads, sustained=sustained))


def describe(hardware: Source) -> dict[str, Any]:
    """Return all that is known about a device, in the units of its file.

    Args:
        hardware: An id of the catalog, or a path that ends in `.toml`.

    Returns:
        The content of the file, with three more keys: `path`; `missing`, the facts that estimates need and the file
        lacks; and `calibration`, with `fitted`, the `values` by table and the `origin` of each key.
    """
    device = _find(hardware)
    constants = constants_of(device)
    described: dict[str, Any] = {key: _plain(value) for key, value in device.data.items() if key != "calibration"}
    described["path"] = str(device.path)
    described["missing"] = device.missing()
    described["calibration"] = {
        "fitted": constants.fitted,
        "values": _plain(constants.data),
        "origin": {key: {"file": path.name, "source": source} for key, (path, source) in constants.origin.items()},
    }
    return described


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, list) else value


def _find(hardware: object) -> DeviceFile:
    if isinstance(hardware, os.PathLike):
        return read_device(Path(hardware), cataloged=False)
    if not isinstance(hardware, str):
        raise InputTypeError(
            f"hardware is of type {type(hardware).__name__}; expected an id of the catalog, a path that ends in .toml, "
            "or a Hardware"
        )
    if hardware.endswith(".toml"):
        return read_device(Path(hardware), cataloged=False)
    path = CATALOG / f"{hardware}.toml"
    if not is_id(hardware) or not is_file(path):
        known = names()
        wanted = hardware.lower().replace("_", "-").replace(" ", "-")
        near = [name for name in known if wanted and wanted in name]  # `h100`: its forms, not b100
        near = (near or difflib.get_close_matches(wanted, known, n=3, cutoff=0.4))[:5]
        raise UnknownHardwareError(
            f"unknown hardware {shown(hardware)}; "
            + (f"the nearest ids are {', '.join(near)}; " if near else "")
            + f"`pyinfercost hardware` lists all {len(known)}, and a path that ends in .toml names a file of your own"
        )
    return read_device(path, cataloged=True)


def core_arguments(
    device: DeviceFile, constants: Calibration, *, threads: int | None = None, sustained: bool = False
) -> dict[str, Any]:
    """Return the keyword arguments of the core's `Hardware`.

    Args:
        device: The device.
        constants: Its calibration constants.
        threads: As in `load`.
        sustained: As in `load`.

    Raises:
        MissingFactError: A fact that estimates need is unknown.
        HardwareError: `threads` is out of range, or the device is no CPU; or `sustained` is set, and its power or
            energy is unknown.
    """
    gaps = device.missing()
    if gaps:
        raise MissingFactError(
            f"{device.id!r} cannot be used for estimates: {device.path} does not give {', nor '.join(gaps)}. "
            "Copy the file, add the value with its source, and pass the path of the copy."
        )
    all_cores = int(device.get("compute.cores"))
    cores = _cores_in_use(device, all_cores, threads)
    share = cores / all_cores
    clock_hz = (device.get("compute.clock_ghz") or constants["assumed.clock_ghz"]) * _GIGA
    vector = _rates(device.get("compute.vector_tflop_per_s"), share)
    per_clock = constants.get("assumed.vector_flop_per_clock_per_core")
    if not vector and per_clock is not None:
        vector = {"float32": per_clock * cores * clock_hz}
    array = device.get("compute.array")
    power = _power_shares(device, constants)
    values = constants.in_base_units(clock_hz)
    return {
        "id": device.id,
        "name": device.get("name")
        + ("" if threads is None else f", {cores} of {all_cores} cores")
        + (", sustained" if sustained else ""),
        "kind": device.kind,
        "family": device.family,
        "cores": float(cores),
        "clock_hz": clock_hz,
        "matrix_flop_per_s": _rates(device.get("compute.matrix_tflop_per_s"), share),
        "vector_flop_per_s": vector,
        "memory": _memory(device, values, cores=cores, clock_hz=clock_hz),
        "array": None if array is None else (array["rows"], array["cols"], array["units"]),
        "sparsity_2_4": float(device.get("sparsity.factor_2_4") or 1.0),
        "overheads_s": {
            key: values[f"overheads.{key}_s"] + values.get(f"overheads.{key}_core_s", 0.0) for key in _OVERHEADS
        },
        "achieved": _achieved(constants, power),
        "constants": {
            **{name: value for name, value in values.items() if name in _HELD},
            **_link_facts(device),
            **_library_facts(device),
            **{f"power.{key}": share for key, share in power.items()},
            **_energy_joules(device, values),
            **(_sustained_times(device, constants) if sustained else {}),
        },
        "spread": constants["band.spread"],
        "provenance": _provenance(device, constants),
        "power_w": _power_w(device, constants),
        "links_byte_per_s": {
            link: bandwidth * _GIGA
            for link in ("host", "device")
            if (bandwidth := device.get(f"link.{link}.bandwidth_gb_per_s")) is not None
        },
    }


def _achieved(constants: Calibration, power: Mapping[str, float]) -> dict[str, float]:
    """Return the achieved share of each peak, limited by power."""
    achieved = dict(constants.data["achieved"])
    for key, share in power.items():
        achieved[key] = share * achieved.get(key, achieved[key.partition("_")[0]])
    return achieved


def _link_facts(device: DeviceFile) -> dict[str, float]:
    """Return the topology of the links; only a PCIe link reaches other devices through the host."""
    facts = {}
    kind = str(device.get("link.host.kind"))
    if kind.startswith("PCIe"):
        facts["link.host_shared"] = 1.0
    if device.kind == "cpu" or "memory" in kind:  # host and device share one memory: no copies
        facts["link.host_unified"] = 1.0
    for key in ("peers", "reduces"):
        value = device.get(f"link.device.{key}")
        if value is not None:
            facts[f"link.device_{key}"] = float(value)
    return facts


def _library_facts(device: DeviceFile) -> dict[str, float]:
    """Return the defaults of the libraries that torch calls: cuDNN rounds to TF32 where a GPU of NVIDIA has it."""
    has_tf32 = bool((device.get("compute.matrix_tflop_per_s") or {}).get("tf32"))
    rounds = device.kind == "gpu" and device.get("vendor") == "NVIDIA" and has_tf32
    return {"library.rounds_to_tf32": 1.0} if rounds else {}


def _cores_in_use(device: DeviceFile, cores: int, threads: int | None) -> int:
    if threads is None:
        return cores
    if device.kind != "cpu":
        raise HardwareError(f"threads is {threads}, but {device.id!r} is of kind {device.kind!r}; expected a CPU")
    most = cores * int(device.get("compute.threads_per_core") or 1)
    return min(
        whole(threads, f"threads of {device.id!r}", Range(1, most), HardwareError), cores
    )  # the threads of a core share its units


def _rates(tflop_per_s: Mapping[str, float] | None, share: float) -> dict[str, float]:
    rates = tflop_per_s or {}
    return {CORE_DTYPES[dtype]: rate * _TERA * share for dtype, rate in rates.items() if dtype in CORE_DTYPES}


def _memory(
    device: DeviceFile, constants: Mapping[str, float], *, cores: int, clock_hz: float
) -> list[tuple[str, float, float]]:
    dram_byte_per_s = _dram_bandwidth(device)
    share = cores / int(device.get("compute.cores"))
    levels = []
    for level in CACHE_LEVELS:
        cache = device.get(f"memory.{level}")
        if cache is None:
            continue
        private = cache.get("capacity_kib_per_core")
        capacity = cache["capacity_mib"] * _MEBI if private is None else private * _KIBI * cores
        per_clock = constants.get(f"cache.{level}_byte_per_clock_per_core")
        multiple = constants.get(f"cache.{level}_over_dram_bandwidth")
        if "bandwidth_gb_per_s" in cache:
            levels.append((level, capacity, cache["bandwidth_gb_per_s"] * _GIGA * share))
        elif per_clock is not None:
            levels.append((level, capacity, per_clock * cores * clock_hz))
        elif multiple is not None:
            levels.append((level, capacity, multiple * dram_byte_per_s))
    return [*levels, ("dram", _dram_capacity(device), dram_byte_per_s)]


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


def _power_shares(device: DeviceFile, constants: Calibration) -> dict[str, float]:
    """Return the shares of achieved rates that the power limit leaves, by engine and dtype (`matrix_fp16`).

    A board sustains the clock at which its static power and the energy of arithmetic add up to its limit. Energy per
    FLOP depends on the process and the engine, so that it is a constant of a family.
    """
    shares: dict[str, float] = {}
    tdp_w = device.get("power.tdp_w")
    if tdp_w is None:
        return shares
    dynamic_w = (1 - (constants.get("power.static_fraction") or 0)) * tdp_w - (constants.get("power.static_w") or 0)
    for engine in _ENGINES:
        for dtype, peak in (device.get(f"compute.{engine}_tflop_per_s") or {}).items():
            pj_per_flop = constants.get(f"power.pj_per_flop_{engine}_{dtype}")
            if dtype not in CORE_DTYPES or pj_per_flop is None:
                continue
            key = f"{engine}_{dtype}"
            reached = constants.get(f"achieved.{key}") or constants[f"achieved.{engine}"]
            affordable = dynamic_w / (pj_per_flop * peak)  # W / (pJ x TFLOP/s) is a fraction
            if affordable < reached:
                shares[key] = affordable / reached
    return shares


def _per_flop(constants: Mapping[str, float], pattern: str) -> dict[str, float]:
    """Return the energy of a FLOP by engine and dtype (`matrix_fp16`), as far as it is known.

    The energy of a dtype without a constant is assumed to be proportional to its bits.

    Args:
        constants: Energies, in any unit.
        pattern: The name of the constant of an engine and a dtype.
    """
    found: dict[str, float] = {}
    for engine, known in _KNOWN_ENERGY:
        of_known = constants.get(pattern.format(engine=engine, dtype=known))
        for dtype, bits in VALUE_BITS.items():
            energy = constants.get(pattern.format(engine=engine, dtype=dtype))
            if energy is None and of_known is not None:
                energy = of_known * bits / VALUE_BITS[known]
            if energy is not None:
                found[f"{engine}_{dtype}"] = energy
    return found


def _sustained_times(device: DeviceFile, constants: Calibration) -> dict[str, float]:
    """Return the seconds of a FLOP and of a byte at the power limit, less static power."""
    tdp_w, dram_pj = device.get("power.tdp_w"), constants.get("sustained.dram_pj_per_byte")
    if tdp_w is None or dram_pj is None:
        lacking = f"{device.path} has no power.tdp_w" if tdp_w is None else f"{device.family!r} has no [sustained]"
        raise HardwareError(
            f"sustained is set, but the sustained rates of {device.id!r} are unknown: {lacking}; expected a board of "
            "known power limit and energy, or sustained=False"
        )
    limit_w = (1 - (constants.get("sustained.static_fraction") or 0)) * tdp_w
    pj_in_s = in_base_units("sustained.dram_pj_per_byte", 1.0) / limit_w
    found = {"sustained.dram_s_per_byte": dram_pj * pj_in_s}
    written = constants.data["sustained"]
    for key, pj in _per_flop(written, "pj_per_flop_{engine}_{dtype}").items():
        found[f"sustained.{key}"] = pj * pj_in_s
    return found


def _energy_joules(device: DeviceFile, constants: Mapping[str, float]) -> dict[str, float]:
    """Return static power, the power limit, and the joules of a FLOP and of a byte; empty if unknown.

    A FLOP whose rate is limited by power ([power]) takes its energy at the limit. An engine of unknown energy is
    assumed to draw all dynamic power at its dense peak: vendors choose limits near the needs of their chips.

    Args:
        device: The device.
        constants: Its constants in base units.
    """
    tdp_w, static = device.get("power.tdp_w"), constants.get("energy.static_fraction")
    dram_j = constants.get("energy.dram_j_per_byte")
    if tdp_w is None or static is None or dram_j is None:
        return {}
    known = _per_flop(constants, "power.{engine}_{dtype}") | _per_flop(constants, "energy.{engine}_{dtype}")
    found = {
        "energy.static_w": static * tdp_w,
        "energy.most_w": float(tdp_w),
        "energy.dram_j_per_byte": dram_j,
        "energy.cache_j_per_byte": constants.get("energy.cache_j_per_byte", 0.0),
        "energy.spread": constants.get("energy.spread", 0.0),
    }
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
        in their source; `constants`, `"this device"`, `"family NAME"` or `"kind NAME"`: the machines for which the
        constant of the error band, and so most others, was found; `band`, the source of that constant.
    """
    source = device.get("source") or {}
    file, band = constants.origin["band.spread"]
    shared_by = f"{'kind' if file.stem in KINDS else 'family'} {file.stem}"
    return {
        "datasheet": str(source.get("text", "")),
        "verified": "yes" if device.get("verified") else "no",
        "unverified": ", ".join(source.get("unverified") or []),
        "constants": "this device" if file == device.path else shared_by,
        "band": band,
    }

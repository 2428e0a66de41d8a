"""What a board's power limit leaves of its rates, at once and for long."""

from __future__ import annotations

from .calibration import Calibration
from .device import DeviceFile
from .schema import CORE_DTYPES


def power_shares(device: DeviceFile, constants: Calibration) -> dict[str, float]:
    """What the power budget leaves of the rates that it limits, by engine and dtype: `matrix_fp16`.

    A device sustains the clock at which static power, which grows with the board's, and the energy of arithmetic add up
    to its limit. Energy per FLOP is a fact of the process and the engine, so that it is a constant of a family.
    """
    shares: dict[str, float] = {}
    tdp_w = device.get("power.tdp_w")
    if tdp_w is None:
        return shares
    dynamic_w = (1 - (constants.get("power.static_fraction") or 0)) * tdp_w - (constants.get("power.static_w") or 0)
    for engine in ("matrix", "vector"):
        for dtype, peak in (device.get(f"compute.{engine}_tflop_per_s") or {}).items():
            pj_per_flop = constants.get(f"power.pj_per_flop_{engine}_{dtype}")
            if dtype not in CORE_DTYPES or pj_per_flop is None:
                continue
            key = f"{engine}_{dtype}"
            reached = constants.get(f"achieved.{key}") or constants[f"achieved.{engine}"]
            paid_for = dynamic_w / (pj_per_flop * peak)  # W / (pJ x TFLOP/s) is a fraction
            if paid_for < reached:
                shares[key] = paid_for / reached
    return shares


_BITS = {"fp64": 64, "fp32": 32, "tf32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "int8": 8, "fp4": 4, "int4": 4}
_KNOWN = (("matrix", "bf16"), ("vector", "fp32"))  # whose energy stands for that of other dtypes, by bits
_PICO = 1e-12


def _pj_per_flop(constants: Calibration, table: str) -> dict[str, float]:
    """Energy by engine and dtype (`matrix_fp16`), as far as a table has it.

    A dtype without energy of its own takes as much of that of a known one as it has of its bits, assumed.
    """
    found: dict[str, float] = {}
    for engine, known in _KNOWN:
        of_known = constants.get(f"{table}.pj_per_flop_{engine}_{known}")
        for dtype, bits in _BITS.items():
            pj = constants.get(f"{table}.pj_per_flop_{engine}_{dtype}")
            if pj is None and of_known is not None:
                pj = of_known * bits / _BITS[known]
            if pj is not None:
                found[f"{engine}_{dtype}"] = pj
    return found


def sustained_times(device: DeviceFile, constants: Calibration) -> dict[str, float]:
    """The seconds of a FLOP and of a byte at the board's limit, less what it draws whatever it does."""
    tdp_w, dram_pj = device.get("power.tdp_w"), constants.get("sustained.dram_pj_per_byte")
    if tdp_w is None or dram_pj is None:
        lacking = f"{device.path} gives no power.tdp_w" if tdp_w is None else f"{device.family!r} has no [sustained]"
        raise ValueError(
            f"sustained is set, but what {device.id!r} sustains is not known: {lacking}; expected a board whose limit "
            "and energy are known, or sustained=False"
        )
    pj_in_s = _PICO / ((1 - (constants.get("sustained.static_fraction") or 0)) * tdp_w)
    found = {"sustained.dram_s_per_byte": dram_pj * pj_in_s}
    for key, pj in _pj_per_flop(constants, "sustained").items():
        found[f"sustained.{key}"] = pj * pj_in_s
    return found


def energy_joules(device: DeviceFile, constants: Calibration) -> dict[str, float]:
    """What the machine draws whatever it does, its limit, and the joules of a FLOP and of a byte; empty if unknown.

    A FLOP whose rate the limit sets ([power]) takes what it takes there. An engine of which nothing is known draws at
    its dense peak what the limit leaves, assumed: makers choose limits near what their chips need.
    """
    tdp_w, static = device.get("power.tdp_w"), constants.get("energy.static_fraction")
    dram_pj = constants.get("energy.dram_pj_per_byte")
    if tdp_w is None or static is None or dram_pj is None:
        return {}
    known = _pj_per_flop(constants, "power") | _pj_per_flop(constants, "energy")
    found = {
        "energy.static_w": static * tdp_w,
        "energy.most_w": float(tdp_w),
        "energy.dram_j_per_byte": dram_pj * _PICO,
        "energy.cache_j_per_byte": (constants.get("energy.cache_pj_per_byte") or 0.0) * _PICO,
        "energy.spread": constants.get("energy.spread") or 0.0,
    }
    for engine in ("matrix", "vector"):
        for dtype, tflop_per_s in (device.get(f"compute.{engine}_tflop_per_s") or {}).items():
            if dtype in CORE_DTYPES and tflop_per_s > 0:
                key = f"{engine}_{dtype}"
                found[f"energy.{key}"] = _PICO * known.get(key, (1 - static) * tdp_w / tflop_per_s)
    return found


def power_w(device: DeviceFile, constants: Calibration) -> dict[str, float]:
    """The limit of the board and what it draws at rest, as far as they are known."""
    tdp_w, idle_w = device.get("power.tdp_w"), device.get("power.idle_w")
    fraction = constants.get("assumed.idle_fraction_of_tdp")
    if idle_w is None and tdp_w is not None and fraction is not None:
        idle_w = fraction * tdp_w
    return {key: float(value) for key, value in (("tdp", tdp_w), ("idle", idle_w)) if value is not None}

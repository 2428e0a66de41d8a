"""What a board's power limit leaves of its rates, at once and for long."""

from __future__ import annotations

from collections.abc import Mapping

from .calibration import Calibration
from .constants import in_base_units
from .device import DeviceFile
from .dtypes import CORE_DTYPES, VALUE_BITS


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


_KNOWN = (("matrix", "bf16"), ("vector", "fp32"))  # whose energy stands for that of other dtypes, by bits
_TERA = 1e12


def _per_flop(constants: Mapping[str, float], pattern: str) -> dict[str, float]:
    """Energy by engine and dtype (`matrix_fp16`), as far as constants have it.

    A dtype without energy of its own takes as much of that of a known one as it has of its bits, assumed.

    Args:
        constants: Energy of a FLOP, in any unit.
        pattern: The name of that of an engine and a dtype.
    """
    found: dict[str, float] = {}
    for engine, known in _KNOWN:
        of_known = constants.get(pattern.format(engine=engine, dtype=known))
        for dtype, bits in VALUE_BITS.items():
            energy = constants.get(pattern.format(engine=engine, dtype=dtype))
            if energy is None and of_known is not None:
                energy = of_known * bits / VALUE_BITS[known]
            if energy is not None:
                found[f"{engine}_{dtype}"] = energy
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
    limit_w = (1 - (constants.get("sustained.static_fraction") or 0)) * tdp_w
    pj_in_s = in_base_units("sustained.dram_pj_per_byte", 1.0) / limit_w
    found = {"sustained.dram_s_per_byte": dram_pj * pj_in_s}
    written = constants.data["sustained"]
    for key, pj in _per_flop(written, "pj_per_flop_{engine}_{dtype}").items():
        found[f"sustained.{key}"] = pj * pj_in_s
    return found


def energy_joules(device: DeviceFile, constants: Mapping[str, float]) -> dict[str, float]:
    """What the machine draws whatever it does, its limit, and the joules of a FLOP and of a byte; empty if unknown.

    A FLOP whose rate the limit sets ([power]) takes what it takes there. An engine of which nothing is known draws at
    its dense peak what the limit leaves, assumed: makers choose limits near what their chips need.

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
    for engine in ("matrix", "vector"):
        for dtype, tflop_per_s in (device.get(f"compute.{engine}_tflop_per_s") or {}).items():
            if dtype in CORE_DTYPES and tflop_per_s > 0:
                key = f"{engine}_{dtype}"
                found[f"energy.{key}"] = known.get(key, (1 - static) * tdp_w / tflop_per_s * (1 / _TERA))
    return found


def power_w(device: DeviceFile, constants: Calibration) -> dict[str, float]:
    """The limit of the board and what it draws at rest, as far as they are known."""
    tdp_w, idle_w = device.get("power.tdp_w"), device.get("power.idle_w")
    fraction = constants.get("assumed.idle_fraction_of_tdp")
    if idle_w is None and tdp_w is not None and fraction is not None:
        idle_w = fraction * tdp_w
    return {key: float(value) for key, value in (("tdp", tdp_w), ("idle", idle_w)) if value is not None}

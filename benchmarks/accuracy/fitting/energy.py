"""Fit of `[energy]` of a family to readings of power.

    python -m benchmarks.accuracy.fitting.energy [MEASURED]

prints, for each device of `gemm_power.csv`, the constants with the smallest mean |ln(predicted / reading)| over all of
its rows, and their errors. Seconds are predicted ones, as in the evaluation of the table. Readings of short kernels are
wrong because of the meter (see `benchmarks/accuracy/energy.py`): absolute errors are robust to them, squared errors are
not.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from pyinfercost import Hardware, hardware

from ..cases import Case
from ..measured import Problems, read_table
from ..predict import predict
from ..tables import gemm

KEYS = ("static_fraction", "pj_per_flop_matrix_bf16", "cache_pj_per_byte", "dram_pj_per_byte")
_STARTS = ((0.2, 0.6, 50.0, 60.0), (0.15, 1.0, 20.0, 90.0), (0.25, 0.3, 60.0, 40.0))
_OF_FIVE = 0.8


def watts(
    values: NDArray[np.float64], case: Case, machine: Hardware, latency_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the predicted power of a bf16 product, as the core computes it (`Energy` in csrc/evaluate/run.cpp)."""
    static, flop_pj, cache_pj, dram_pj = values
    m, n, k = (case.sizes[name].astype(np.float64) for name in ("m", "n", "k"))
    moved = 2.0 * (m * k + k * n + m * n)
    missed = np.clip(moved / machine.memory[-2][1] - 0.5, 0.0, 1.0)
    limit_w = machine.power_w["tdp"]
    joules = 1e-12 * (flop_pj * 2.0 * m * n * k + cache_pj * moved + dram_pj * moved * missed)
    return np.asarray(np.minimum(limit_w, static * limit_w + joules / latency_s))


def main(measured: str = "../shared/measured") -> None:
    """Print the constants of each device."""
    for case in gemm.cases(read_table(Path(measured, "gemm_power.csv"), Problems())):
        if case.measured_w is None or case.group.precision != "bfloat16":
            continue
        machine, reading = hardware.load(case.group.device, sustained=True), case.measured_w
        latency_s = predict([case], {case.hardware: machine}).latency_s

        def error(
            values: NDArray[np.float64],
            case: Case = case,
            machine: Hardware = machine,
            latency_s: NDArray[np.float64] = latency_s,
            reading: NDArray[np.float64] = reading,
        ) -> float:
            return float(np.abs(np.log(watts(values, case, machine, latency_s) / reading)).mean())

        options = {"maxiter": 4000, "maxfev": 4000, "xatol": 1e-4, "fatol": 1e-7}
        runs = [minimize(error, start, method="Nelder-Mead", options=options) for start in _STARTS]
        best = min(runs, key=lambda run: float(run.fun))
        logs = np.log(watts(best.x, case, machine, latency_s) / reading)
        errors = np.abs(logs)
        print(
            f"# {case.group.device}, {len(reading)} readings: mean error {np.abs(np.expm1(logs)).mean():.1%}, ", end=""
        )
        print(f"median {np.expm1(np.median(errors)):.1%}\n[energy]")
        print("\n".join(f"{key} = {value:.3g}" for key, value in zip(KEYS, best.x, strict=True)))
        print(f"spread = {np.expm1(np.quantile(errors, _OF_FIVE)):.2g}")


if __name__ == "__main__":
    main(*sys.argv[1:])

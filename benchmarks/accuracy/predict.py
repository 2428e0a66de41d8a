"""Seconds for cases on machines, vectorized over rows.

Plans depend on neither sizes nor machines. They are created when a case is first predicted and kept (as long as its
graph, or as the caller's `Plans`), so that predicting the same cases again, with other constants in the machines, costs
only the evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyinfercost import _core
from pyinfercost.predict.plans import family_of

if TYPE_CHECKING:
    from pyinfercost import Graph, Hardware
    from pyinfercost._core import PlanFamily

    from .cases import Case

Failed = Callable[["Case", int, str], None]
"""Called with a case, the index of a row in it, and the reason why that row has no prediction."""

_REFUSED = (ValueError, RuntimeError, OverflowError)


@dataclass(frozen=True)
class Predicted:
    """Seconds and joules of all rows, case by case; NaN if a row could not be predicted.

    Joules are None if they were not requested.
    """

    latency_s: NDArray[np.float64]
    low_s: NDArray[np.float64]
    high_s: NDArray[np.float64]
    energy_j: NDArray[np.float64] | None = None


def _ignore(case: Case, place: int, reason: str) -> None:
    """Ignore a failure, which remains visible as NaN."""


class Plans:
    """Plans that live as long as this object instead of their graphs: those of a folder fill gigabytes."""

    def __init__(self) -> None:
        self._families: dict[tuple[int, str, str], tuple[Graph, PlanFamily]] = {}

    def of(self, case: Case) -> PlanFamily:
        """Return the plans of a case's graph for its execution."""
        key = (id(case.graph), case.precision, case.execution)
        if key not in self._families:
            family = _core.PlanFamily(case.graph, precision=case.precision, execution=case.execution)
            self._families[key] = case.graph, family  # keeps the graph alive, so that its id stays unique
        return self._families[key][1]


class _PlansOfGraphs(Plans):
    def of(self, case: Case) -> PlanFamily:
        return family_of(case.graph, case.precision, case.execution)


KEPT: Plans = _PlansOfGraphs()
"""Plans shared with the rest of the package, which live as long as their graphs."""


def predict(
    cases: Sequence[Case],
    machines: Mapping[str, Hardware],
    failed: Failed = _ignore,
    *,
    plans: Plans = KEPT,
    threads: int = 1,
) -> Predicted:
    """Predict every row.

    Args:
        cases: The cases.
        machines: Machine of each hardware id in `cases`; it may be any `Hardware`.
        failed: Called for rows without a prediction.
        plans: Storage of plans.
        threads: Number of threads; results do not depend on it. The core releases the GIL.

    Returns:
        The predictions.
    """
    latency_s = np.full(sum(len(case) for case in cases), np.nan)
    spread_s, energy_j = latency_s.copy(), latency_s.copy()
    of_graph: dict[int, list[tuple[Case, slice]]] = {}
    first = 0
    for case in cases:
        rows = slice(first, first + len(case))
        first = rows.stop
        of_graph.setdefault(id(case.graph), []).append((case, rows))

    def run(some: list[tuple[Case, slice]]) -> None:
        for case, rows in some:
            out = {"latency_s": latency_s[rows], "spread_s": spread_s[rows], "energy_j": energy_j[rows]}
            _evaluate(case, machines[case.hardware], plans, out, failed)

    if threads == 1 or len(of_graph) == 1:
        for some in of_graph.values():
            run(some)
    else:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(run, of_graph.values()):
                pass
    rows_of_case = [len(case) for case in cases]
    runs = np.repeat([case.runs for case in cases], rows_of_case)
    latency_s, spread_s, energy_j = latency_s * runs, spread_s * runs, energy_j * runs
    low_s, high_s = _core.band_low(latency_s, spread_s), _core.band_high(latency_s, spread_s)
    host_s = np.repeat([case.host_s for case in cases], rows_of_case)
    return Predicted(latency_s + host_s, low_s + host_s, high_s + host_s, energy_j)


def _evaluate(
    case: Case, machine: Hardware, plans: Plans, out: Mapping[str, NDArray[np.float64]], failed: Failed
) -> None:
    """Evaluate the latencies of a case; after an error row by row, so that one row does not affect others."""
    try:
        axes = [(name, values, 1) for name, values in case.sizes.items()]
        _core.evaluate_grid(plans.of(case), axes, machine, first=0, points=len(case), out=out)
        return
    except _REFUSED as error:
        if len(case) == 1:
            _refuse(case, 0, error, out, failed)
            return
    for place in range(len(case)):
        row = slice(place, place + 1)
        try:
            axes = [(name, values[row], 1) for name, values in case.sizes.items()]
            one = {name: values[row] for name, values in out.items()}
            _core.evaluate_grid(plans.of(case), axes, machine, first=0, points=1, out=one)
        except _REFUSED as error:
            _refuse(case, place, error, out, failed)


def _refuse(case: Case, place: int, error: Exception, out: Mapping[str, NDArray[np.float64]], failed: Failed) -> None:
    for values in out.values():
        values[place] = np.nan  # discard values written before the failure
    failed(case, place, reason_of(error))


def reason_of(error: BaseException) -> str:
    """Return an error in one line."""
    text = " ".join(str(error).split())
    return text[:200] if text else type(error).__name__

"""Seconds for cases on machines, without a line of Python for each row.

Plans depend on neither sizes nor machines. They are made when a case is first predicted and kept (as long as its graph,
or as the caller's `Plans`), so predicting the same cases again, with other constants in the machines, costs only the
evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyinfercost import _core
from pyinfercost.predict.derived_costs import band
from pyinfercost.predict.plans import family_of

if TYPE_CHECKING:
    from pyinfercost import Graph, Hardware
    from pyinfercost._core import PlanFamily

    from .cases import Case

Failed = Callable[["Case", int, str], None]
"""Called with a case, the place of a row in it, and why that row has no prediction."""

_REFUSED = (ValueError, RuntimeError, OverflowError)


@dataclass(frozen=True)
class Predicted:
    """Seconds and joules of all rows, case after case; not a number where a row could not be predicted.

    Joules are None where nobody asked for them.
    """

    latency_s: NDArray[np.float64]
    low_s: NDArray[np.float64]
    high_s: NDArray[np.float64]
    energy_j: NDArray[np.float64] | None = None


def _ignore(case: Case, place: int, reason: str) -> None:
    """Leaves what failed to the caller, who sees it as not a number."""


class Plans:
    """Plans that live as long as this does, in place of as long as their graphs: those of a folder fill gigabytes."""

    def __init__(self) -> None:
        self._families: dict[tuple[int, str, str], tuple[Graph, PlanFamily]] = {}

    def of(self, case: Case) -> PlanFamily:
        """The plans of a case's graph for its way of running."""
        key = (id(case.graph), case.precision, case.execution)
        if key not in self._families:
            family = _core.PlanFamily(case.graph, precision=case.precision, execution=case.execution)
            self._families[key] = case.graph, family  # the graph, so that its id stays its own
        return self._families[key][1]


class _PlansOfGraphs(Plans):
    def of(self, case: Case) -> PlanFamily:
        return family_of(case.graph, case.precision, case.execution)


KEPT: Plans = _PlansOfGraphs()
"""Plans that are shared with the rest of the package, and kept as long as their graphs are."""


def predict(
    cases: Sequence[Case],
    machines: Mapping[str, Hardware],
    failed: Failed = _ignore,
    *,
    plans: Plans = KEPT,
    threads: int = 1,
) -> Predicted:
    """Predicts every row.

    Args:
        cases: what to predict.
        machines: the machine of each hardware id in `cases`; it may be any `Hardware`.
        failed: told of rows that have no prediction.
        plans: where plans are kept.
        threads: how many threads evaluate; results do not depend on it. The core releases Python's lock.
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
    low_s, high_s = band(latency_s, spread_s)
    host_s = np.repeat([case.host_s for case in cases], [len(case) for case in cases])
    return Predicted(latency_s + host_s, low_s + host_s, high_s + host_s, energy_j)


def _evaluate(
    case: Case, machine: Hardware, plans: Plans, out: Mapping[str, NDArray[np.float64]], failed: Failed
) -> None:
    """The latencies of a case; where they cannot be had at once, row by row, so that one row costs no other."""
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
        values[place] = np.nan  # what was written before it failed is no prediction
    failed(case, place, reason_of(error))


def reason_of(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return text[:200] if text else type(error).__name__

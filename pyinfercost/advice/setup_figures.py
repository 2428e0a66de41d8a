"""Figures of setups without traffic: many at once by sweeps, one by an estimate; both agree to the last digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any

from ..errors import Error, InputError
from ..hardware.dtypes import short_dtype
from ..predict.profile import profile_on
from ..results.advice import FIGURES
from ..sources.sizes import batch_name
from ..sweeps.sweep import sweep_over
from .case import Outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..deployment import Deployment
    from ..results.estimate import Estimate
    from ..sweeps.result import Sweep
    from .graphs import ModelGraphs
    from .setups import Setup, Variant


_NO_ENGINE = "no "  # begins the note of a kernel whose products a wider dtype computes


@dataclass(frozen=True)
class GridOutcomes:
    """Figures of deployments x batches, of one variant.

    Attributes:
        objective: The objective, [deployments, batches]; infinite where it is unknown.
        latency_s: Seconds of a forward.
        allowed: Whether the memory and all limits hold.
    """

    objective: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    allowed: NDArray[np.bool_]


class ForwardEvaluator:
    """Predicts the figures of setups of one forward.

    Attributes:
        graphs: The graphs of the model.
        evaluated: Number of setups that were evaluated.
    """

    def __init__(self, graphs: ModelGraphs) -> None:
        self.graphs = graphs
        self.evaluated = 0

    def exact(self, setup: Setup) -> tuple[Outcome, Estimate | None]:
        """Return the outcome and the estimate of a setup on the path of its command.

        Raises:
            InputError: The setup cannot run.
        """
        profile = profile_on(setup.placed, self.graphs.at(setup))
        found = profile.estimate
        if found is None:
            raise InputError("the setup has no machine; pass hardware=, such as hardware='l4'")
        self.evaluated += 1
        of_device = found.per_device
        memory_bytes = profile.counts.total.peak_memory_bytes if of_device is None else of_device.memory_bytes
        sequences = -(-profile.sizes.get(batch_name(profile.graph), 1) // setup.placed.rank_layout.copies)
        return outcome_of(found, int(memory_bytes), sequences), found

    def outcomes(self, setups: Sequence[Setup]) -> list[Outcome]:
        """Return the outcome of each setup; setups of one variant are points of one sweep."""
        groups: dict[tuple[Any, ...], list[int]] = {}
        found: list[Outcome] = [Outcome(error="not evaluated")] * len(setups)
        for place, setup in enumerate(setups):
            try:
                batch = batch_name(self.graphs.open(setup.variant))
            except Error as error:  # a format that does not fit the lengths of a weight
                found[place] = Outcome(error=str(error))
                continue
            others = tuple(sorted((name, size) for name, size in setup.sizes.items() if name != batch))
            groups.setdefault((setup.variant, others), []).append(place)
        for places in groups.values():
            for place, outcome in zip(places, self._of_variant([setups[place] for place in places]), strict=True):
                found[place] = outcome
        self.evaluated += len(setups)
        return found

    def _of_variant(self, setups: Sequence[Setup]) -> list[Outcome]:
        """Return the outcomes of setups of one variant; if one of them is refused, halves are tried."""
        import numpy as np

        first = setups[0]
        try:
            batch = batch_name(self.graphs.open(first.variant))
            batches = [setup.sizes.get(batch, 1) for setup in setups]
            deployments = [setup.placed for setup in setups]
            swept = self._sweep(first.variant, first.sizes, deployments, paired=batches)
        except Error as error:
            if len(setups) == 1:
                return [Outcome(error=str(error))]
            half = len(setups) // 2
            return [*self._of_variant(setups[:half]), *self._of_variant(setups[half:])]
        shares = [-(-size // on.rank_layout.copies) for size, on in zip(batches, deployments, strict=True)]
        return _outcomes(swept, _held(swept, np.asarray(shares) if self._opens_batch(first.variant) else None))

    def _opens_batch(self, variant: Variant) -> bool:
        graph = self.graphs.open(variant)
        return batch_name(graph) in graph.sizes

    def grid(
        self,
        variant: Variant,
        sizes: Mapping[str, int],
        deployments: Sequence[Deployment],
        batches: Sequence[int],
        objective: str,
        limits: Mapping[str, float],
    ) -> GridOutcomes:
        """Return the figures of all deployments at all batches.

        Args:
            variant: The variant of the graph.
            sizes: Values of other sizes.
            deployments: The deployments, all of which can run the variant.
            batches: The batches; one for a graph whose batch is fixed.
            objective: The figure to minimize.
            limits: Figure -> greatest value.

        Raises:
            InputError: A deployment cannot run the variant.
        """
        import numpy as np

        swept = self._sweep(variant, sizes, deployments, batches=batches)
        shape = (len(deployments), -1)
        values = np.array(swept[objective], dtype=np.float64)
        shares = -(-np.asarray(batches) // np.asarray([on.rank_layout.copies for on in deployments])[:, np.newaxis])
        allowed = _held(swept, shares.ravel() if self._opens_batch(variant) else None)
        for name, most in limits.items():
            allowed &= np.asarray(swept[name], dtype=np.float64) <= most  # an unknown figure satisfies no limit
        self.evaluated += len(values)
        return GridOutcomes(
            np.where(np.isnan(values), np.inf, values).reshape(shape),
            np.asarray(swept["latency_s"]).reshape(shape),
            allowed.reshape(shape),
        )

    def _sweep(
        self,
        variant: Variant,
        sizes: Mapping[str, int],
        deployments: Sequence[Deployment],
        *,
        batches: Sequence[int] = (),
        paired: Sequence[int] = (),
    ) -> Sweep:
        captured = self.graphs.opened(variant)
        batch = batch_name(captured.graph)
        known = {name: size for name, size in {**captured.sizes, **sizes}.items() if name in captured.graph.sizes}
        points: dict[str, Any] = {"on": list(deployments)}
        if batch in captured.graph.sizes:
            known.pop(batch, None)
            if paired:
                points[batch] = list(paired)
            else:
                known[batch] = list(batches)
        return sweep_over(captured._replace(sizes=known), points=points, progress=False)


def outcome_of(estimate: Estimate, memory_bytes: int, sequences: int) -> Outcome:
    """Return the outcome that an estimate states.

    Args:
        estimate: The estimate.
        memory_bytes: Peak memory of a device.
        sequences: Items of the batch on the fullest device.
    """
    most = estimate.max_sequences
    figures = {name: _number(getattr(estimate, name)) for name in FIGURES if hasattr(estimate, name)}
    emulated = [layer for layer in estimate.layers if layer.note.startswith(_NO_ENGINE)]
    evidence = max(estimate.evidence, key=lambda word: estimate.evidence[word]) if estimate.evidence else ""
    return Outcome(
        {name: memory_bytes if name == "peak_memory_bytes" else figures.get(name) for name in FIGURES},
        evidence,
        fits=estimate.fits_in_memory is not False and (most is None or sequences <= most),
        emulated_by=short_dtype(max(emulated, key=lambda each: each.latency_s).unit.split()[-1]) if emulated else "",
        spread=estimate.latency_high_s / estimate.latency_s - 1 if estimate.latency_s > 0 else 0.0,
    )


def _held(swept: Sweep, shares: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    """Return which points fit the memory, with the caches of their sequences and the memory that an engine reserves.

    Args:
        swept: The points.
        shares: Items of the batch on the fullest device, at each point; None if the batch has no name.
    """
    import numpy as np

    fits: NDArray[np.bool_] = np.array(swept["fits_in_memory"], dtype=np.bool_)
    if shares is None or "max_sequences" not in swept.data:
        return fits
    most = swept["max_sequences"]
    held: NDArray[np.bool_] = fits & (np.isnan(most) | (most >= shares))
    return held


def _outcomes(swept: Sweep, held: NDArray[np.bool_]) -> list[Outcome]:
    """Return the outcomes of all points of a sweep, of which some fit the memory."""
    known = {name: swept[name].tolist() if name in swept.data else [None] * len(swept) for name in FIGURES}
    found = []
    for row, (evidence, fits, emulated) in enumerate(
        zip(swept["evidence"].tolist(), held.tolist(), swept["emulated_by"].tolist(), strict=True)
    ):
        figures = {name: _number(column[row]) for name, column in known.items()}
        latency_s = figures["latency_s"] or 0.0
        spread = (figures["latency_high_s"] or 0.0) / latency_s - 1 if latency_s > 0 else 0.0
        found.append(Outcome(figures, evidence, fits=fits, emulated_by=emulated, spread=spread))
    return found


def _number(value: Any) -> float | int | None:
    """Return a figure; None for one that is unknown, or not a number."""
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    return value if isinstance(value, int) else float(value)

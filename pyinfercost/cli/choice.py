"""Selection of points from a sweep: all, or the points of a condition, a Pareto front, an objective or a curve."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from ..results import figures
from ..sources.sizes import BATCH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..sweeps.conditions import Condition
    from ..sweeps.result import Sweep
    from ..sweeps.storage import StoredSweep

KNEE_OF = "throughput_per_s"
"""Column whose knee `--knee` selects."""
_OPTIONS = {
    figures.PRICE: "--price, such as --price 2.49 or --price l4=0.80,t4=0.35",
    figures.PLACE: "--region, such as --region deu, or a --price with a region",
    figures.TOKENS: "a model with token inputs",
    figures.CACHE: "a model with a KV cache",
    figures.PREFILL: "the prefill of a language model, such as hf:config.json#prefill",
    figures.DECODE: "a decode step of a language model, such as hf:config.json#decode",
}
"""Requirement of a column -> how to satisfy it."""


@dataclass(frozen=True)
class Choice:
    """Selection by `--where`, `--pareto`, `--best` and related options.

    Attributes:
        where: Condition on the points.
        pareto: Columns of the Pareto front.
        maximize: Columns to maximize.
        minimize: Columns to minimize.
        best: Column that selects a single point.
        per: Columns; one best point is selected for each combination of their values.
        knee: Select the knee of each curve of throughput against batch.
        batch_tradeoff: Select these curves, with their knees marked.
        along: Name of the batch size, the axis of these curves.
    """

    where: Condition | None
    pareto: tuple[str, ...] = ()
    maximize: tuple[str, ...] = ()
    minimize: tuple[str, ...] = ()
    best: str | None = None
    per: tuple[str, ...] = ()
    knee: bool = False
    batch_tradeoff: bool = False
    along: str = BATCH

    def __post_init__(self) -> None:
        """Reject options that exclude one another."""
        directed = (*self.maximize, *self.minimize)
        named = {
            "--best": self.best,
            "--pareto": self.pareto,
            "--knee": self.knee,
            "--batch-tradeoff": self.batch_tradeoff,
        }
        given = [option for option, value in named.items() if value]
        if len(given) > 1:
            raise click.UsageError(f"{' and '.join(given)} cannot be combined; give one of them")
        if self.per and not self.best:
            raise click.UsageError("--per needs --best; give the column to choose by, such as --best latency_s")
        curve = "--knee" if self.knee else "--batch-tradeoff"
        if (self.knee or self.batch_tradeoff) and directed:
            raise click.UsageError(
                f"{curve} does not take --maximize or --minimize; it uses throughput against batch, so leave them out"
            )
        if self.best and set(directed) - {self.best}:
            raise click.UsageError(f"--best {self.best} takes one objective; use --pareto for several")

    def narrowed(self, condition: str) -> Choice:
        """Return the selection from points that also satisfy a condition."""
        from ..sweeps.conditions import Condition

        given = () if self.where is None else (self.where,)
        if self.where is not None and condition in re.split(r"\s+and\s+", str(self.where)):
            return self
        return replace(self, where=Condition.all_of((*given, condition)))

    @property
    def chooses(self) -> bool:
        """Whether an option other than `--where` selects points."""
        return bool(self.knee or self.batch_tradeoff or self._objectives)

    @property
    def is_one_point(self) -> bool:
        """Whether the selection is a single point."""
        return self.best is not None and not self.per

    @property
    def _objectives(self) -> tuple[str, ...]:
        """Columns by which points are compared."""
        named = (self.best,) if self.best else self.pareto
        return tuple(dict.fromkeys((*named, *self.maximize, *self.minimize)))

    def names(self) -> tuple[str, ...]:
        """Return the names of all columns that the options mention."""
        return (*(self.where.names if self.where else ()), *self._objectives, *self.per)

    def check(self, columns: Sequence[str]) -> None:
        """Reject names and conditions that do not fit the columns of the sweep, before anything is computed.

        Args:
            columns: Names of the columns that the sweep will have.

        Raises:
            click.UsageError: A column is unknown, or its direction is.
        """
        import numpy as np

        from ..sweeps.columns import TEXTS
        from ..sweeps.condition_syntax import ConditionError, unknown_column
        from ..sweeps.selection import DIRECTIONS, ObjectiveError, objectives

        for name in self.names():
            if name in figures.FIGURES and name not in columns:
                needs = [option for need, option in _OPTIONS.items() if need in figures.FIGURES[name].needs]
                if needs:
                    raise click.UsageError(f"{name} needs {', and '.join(needs)}")
        # One row with values of the right type: a condition that evaluates on it evaluates on every row.
        row = {name: np.asarray([""] if name in TEXTS else [1]) for name in columns}
        for name in self.per:
            if name not in row:
                raise click.UsageError(f"--per: {unknown_column(name, row)}")
        try:
            if self.where is not None:
                self.where.mask(row, rows=1)
            for name in self._objectives:
                if name not in row:
                    raise ObjectiveError(unknown_column(name, row))
                if name not in (*DIRECTIONS, *self.maximize, *self.minimize, *TEXTS):
                    raise click.UsageError(
                        f"the better direction of {name!r} is unknown; give --maximize {name} or --minimize {name}"
                    )
            if self._objectives:
                objectives(self._objectives, maximize=self.maximize, minimize=self.minimize, known=row)
        except (ConditionError, ObjectiveError) as error:
            raise click.UsageError(str(error)) from error

    def of(self, result: Sweep | StoredSweep) -> Sweep | StoredSweep:
        """Return the selected points.

        Args:
            result: The points that satisfy the condition.

        Raises:
            NothingFitsError: There is no point to select the best of.
        """
        from ..sweeps.result import Sweep

        if self.best is not None:
            if not self.per:
                point = result.best(self.best, maximize=self._direction)
                return as_sweep(result, {name: [value] for name, value in point.items()})
            return self.best_of_each(result, self.per)
        if self._objectives:
            return result.pareto(*self.pareto, maximize=self.maximize, minimize=self.minimize)
        if self.knee and isinstance(result, Sweep):
            return result.knee(self.along, KNEE_OF)
        if self.batch_tradeoff and isinstance(result, Sweep):
            return result.batch_tradeoff(self.along)
        return result

    @property
    def _direction(self) -> bool | None:
        """Whether more of the objective is better; None for its known direction."""
        return True if self.maximize else False if self.minimize else None

    def best_of_each(self, result: Sweep | StoredSweep, per: Sequence[str]) -> Sweep:
        """Return the best point for each combination of the values of some columns."""
        from ..sweeps.result import Sweep, joined

        found: Sweep
        if isinstance(result, Sweep):
            found = result.best(self.best or "", per=per, maximize=self._direction)
        else:
            parts = [part.best(self.best or "", per=per, maximize=self._direction) for part in result]
            found = joined(parts).best(self.best or "", per=per, maximize=self._direction)
        return found

    def ranked(self, result: Sweep | StoredSweep, per: Sequence[str]) -> Sweep:
        """Return the best point for each combination of the values of some columns, the best ones first."""
        from ..sweeps.selection import direction, numbers, objectives

        bests = self.best_of_each(result, per)
        best = self.best or ""
        ((_, most),) = objectives((best,), known=bests.data, **direction(best, self._direction))
        values = numbers(bests.data, best)
        return bests.take((-values if most else values).argsort(kind="stable"))

    def words(self) -> str:
        """Return a description of the selection; empty if all points are selected."""
        from ..sweeps.selection import DIRECTIONS

        if self.knee:
            return f"the knee of each curve of {KNEE_OF} against {self.along}"
        if self.batch_tradeoff:
            return f"{KNEE_OF} against latency along {self.along}: ends, doublings, knees"
        directions = {**DIRECTIONS, **dict.fromkeys(self.maximize, True), **dict.fromkeys(self.minimize, False)}
        aims = ", ".join(f"{'most' if directions[name] else 'least'} {name}" for name in self._objectives)
        if self.best:
            return f"{aims}" + (f", for each {', '.join(self.per)}" if self.per else "")
        return f"Pareto front of {aims}" if aims else ""


def as_sweep(result: Sweep | StoredSweep, columns: dict[str, Any]) -> Sweep:
    """Return columns by name as a `Sweep` like `result`; None becomes NaN."""
    import numpy as np

    from ..sweeps.result import Sweep

    data = {
        name: np.asarray([np.nan if value is None else value for value in values]) for name, values in columns.items()
    }
    return Sweep(result.model, result.sizes, data, complete=result.complete)

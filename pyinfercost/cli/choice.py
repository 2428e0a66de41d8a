"""Which points of a sweep are wanted: all, or those that a condition, a front, an objective or a curve picks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ..results import figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..sweeps.conditions import Condition
    from ..sweeps.result import Sweep
    from ..sweeps.storage import StoredSweep

KNEE = ("batch", "throughput_per_s")
_OPTIONS = {
    figures.PRICE: "--price, such as --price 2.49 or --price l4=0.80,t4=0.35",
    figures.PLACE: "--region, such as --region deu, or a --price that says where it is from",
    figures.TOKENS: "a model that reads tokens",
    figures.CACHE: "a model with a KV cache",
}
"""Need of a column -> what gives it."""


@dataclass(frozen=True)
class Choice:
    """What `--where`, `--pareto`, `--best` and their kin say together.

    Attributes:
        where: what must hold of a point.
        pareto: columns of a front.
        maximize: columns of which more is better.
        minimize: columns of which less is better.
        best: the column to choose one point by.
        per: columns; the best point of each of their combinations is wanted.
        knee: whether the knee of each curve of throughput against batch is wanted.
        tradeoff: whether these curves are wanted, with their knees marked.
    """

    where: Condition | None
    pareto: tuple[str, ...] = ()
    maximize: tuple[str, ...] = ()
    minimize: tuple[str, ...] = ()
    best: str | None = None
    per: tuple[str, ...] = ()
    knee: bool = False
    tradeoff: bool = False

    def __post_init__(self) -> None:
        """Refuses options that exclude one another."""
        directed = (*self.maximize, *self.minimize)
        named = {"--best": self.best, "--pareto": self.pareto, "--knee": self.knee, "--tradeoff": self.tradeoff}
        given = [option for option, value in named.items() if value]
        if len(given) > 1:
            raise click.UsageError(f"{' and '.join(given)} exclude each other: each picks points in a way of its own")
        if self.per and not self.best:
            raise click.UsageError("--per needs --best: it says for which combinations a best point is wanted")
        curve = "--knee" if self.knee else "--tradeoff"
        if (self.knee or self.tradeoff) and directed:
            raise click.UsageError(f"{curve} takes no --maximize or --minimize; it has throughput against batch")
        if self.best and set(directed) - {self.best}:
            raise click.UsageError(
                f"--best {self.best} has one objective; of several, --pareto finds the points that none beats"
            )

    @property
    def chooses(self) -> bool:
        """Whether points are chosen by more than a condition."""
        return bool(self.knee or self.tradeoff or self._objectives)

    @property
    def is_one_point(self) -> bool:
        """Whether the answer is a single point."""
        return self.best is not None and not self.per

    @property
    def _objectives(self) -> tuple[str, ...]:
        """The columns that points are compared by."""
        named = (self.best,) if self.best else self.pareto
        return tuple(dict.fromkeys((*named, *self.maximize, *self.minimize)))

    def names(self) -> tuple[str, ...]:
        """All columns that are named."""
        return (*(self.where.names if self.where else ()), *self._objectives, *self.per)

    def check(self, columns: Sequence[str]) -> None:
        """Refuses what does not suit the columns that the sweep will have, before anything is computed."""
        import numpy as np

        from ..sweeps.choosing import DIRECTIONS, ObjectiveError, objectives
        from ..sweeps.columns import TEXTS
        from ..sweeps.condition_syntax import ConditionError, unknown_column

        for name in self.names():
            if name in figures.FIGURES and name not in columns:
                needs = [option for need, option in _OPTIONS.items() if need in figures.FIGURES[name].needs]
                if needs:
                    raise click.UsageError(f"{name} needs {', and '.join(needs)}")
        # A row of values of the right kind: a condition that takes it takes every other.
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
                        f"whether more or less of {name!r} is better is not known; say --maximize {name} or "
                        f"--minimize {name}"
                    )
            if self._objectives:
                objectives(self._objectives, maximize=self.maximize, minimize=self.minimize, known=row)
        except (ConditionError, ObjectiveError) as error:
            raise click.UsageError(str(error)) from error

    def of(self, result: Sweep | StoredSweep) -> Sweep | StoredSweep:
        """The points that are wanted, of those that satisfy the condition.

        Raises:
            NothingFitsError: for the best of no points.
        """
        from ..sweeps.result import Sweep, joined

        if self.best is not None:
            maximize = True if self.maximize else False if self.minimize else None
            if not self.per:
                point = result.best(self.best, maximize=maximize)
                return as_sweep(result, {name: [value] for name, value in point.items()})
            if isinstance(result, Sweep):
                return result.best(self.best, per=self.per, maximize=maximize)  # type: ignore[no-any-return]
            bests = [part.best(self.best, per=self.per, maximize=maximize) for part in result]
            return joined(bests).best(self.best, per=self.per, maximize=maximize)  # type: ignore[no-any-return]
        if self._objectives:
            return result.pareto(*self.pareto, maximize=self.maximize, minimize=self.minimize)
        if self.knee and isinstance(result, Sweep):
            return result.knee(*KNEE)
        if self.tradeoff and isinstance(result, Sweep):
            return result.tradeoff(KNEE[0])
        return result

    def words(self) -> str:
        """What is chosen, in words; nothing where all points are wanted."""
        from ..sweeps.choosing import DIRECTIONS

        if self.knee:
            return f"the knee of each curve of {KNEE[1]} against {KNEE[0]}"
        if self.tradeoff:
            return f"{KNEE[1]} against latency along {KNEE[0]}: ends, doublings, knees"
        directions = {**DIRECTIONS, **dict.fromkeys(self.maximize, True), **dict.fromkeys(self.minimize, False)}
        aims = ", ".join(f"{'most' if directions[name] else 'least'} {name}" for name in self._objectives)
        if self.best:
            return f"{aims}" + (f", for each {', '.join(self.per)}" if self.per else "")
        return f"Pareto front of {aims}" if aims else ""


def as_sweep(result: Sweep | StoredSweep, columns: dict[str, Any]) -> Sweep:
    """Columns by name as a sweep like another; None is a number that is not known."""
    import numpy as np

    from ..sweeps.result import Sweep

    data = {
        name: np.asarray([np.nan if value is None else value for value in values]) for name, values in columns.items()
    }
    return Sweep(result.model, result.sizes, data, complete=result.complete)

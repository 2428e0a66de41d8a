"""The results of a sweep in memory as they come in, whatever the order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .columns import GridColumns
from .result import Sweep
from .spec import COMPUTED, SweepSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from .run import Run


class Gathered:
    """What has been computed so far.

    Where all points are kept there is one array per column from the start, and chunks are written into it; else the
    chunks are kept and joined at the end.

    Attributes:
        points_done: how many points of the grid were computed, those included that a filter left out.
    """

    POINT_BYTES: Final = 8 * len(COMPUTED)

    def __init__(self, run: Run, memory_bytes: float) -> None:
        import numpy as np

        self.points_done = 0
        self._run = run
        self._memory_bytes = memory_bytes
        self._done: dict[int, tuple[Any, Mapping[str, NDArray[np.float64]]]] = {}
        self._kept = 0
        self._columns: dict[str, NDArray[np.float64]] = {}
        if run.condition is None:
            self._columns = {name: np.empty(len(run.spec)) for name in COMPUTED}

    def views(self, stretch: slice) -> dict[str, NDArray[np.float64]]:
        """Where a stretch of the grid is to be written; `up_to` or `add` then says that it is there."""
        return {name: column[stretch] for name, column in self._columns.items()}

    def up_to(self, point: int) -> None:
        """All points before this one are there."""
        self.points_done = point

    def add(self, chunk: int, points: Any, computed: Mapping[str, NDArray[np.float64]]) -> None:
        """A chunk's results.

        Raises:
            MemoryError: where what a filter keeps outgrows the memory.
        """
        stretch = self._run.stretch(chunk)
        if self._columns:
            for name, view in self.views(stretch).items():
                view[:] = computed[name]
            self._done[chunk] = (stretch, {})
        else:
            self._kept += len(computed["latency_s"])
            self._done[chunk] = (points, computed)
        self.points_done += stretch.stop - stretch.start
        # Twice, since the chunks are there until they are joined; and the number of a point comes to its results.
        needed = 2 * self._kept * (self.POINT_BYTES + 8)
        if needed > self._memory_bytes:
            raise MemoryError(
                f"{self._kept:,} points satisfy the condition so far, and {needed / 1e9:.0f} GB are needed to hold "
                "them: give out=FOLDER to write them to disk, or a narrower condition"
            )

    def sweep(self) -> Sweep:
        """All that is there, in the order of the grid."""
        import numpy as np

        spec = self._run.spec
        chunks = [self._done[chunk] for chunk in sorted(self._done)]
        points: Any
        if not self._columns:
            none: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
            points = np.concatenate(
                [np.arange(p.start, p.stop) if isinstance(p, slice) else p for p, _ in chunks] or none
            )
            computed = {name: np.concatenate([part[name] for _, part in chunks] or [np.empty(0)]) for name in COMPUTED}
        elif self.points_done == len(spec) or not chunks:
            points = slice(0, self.points_done)
            computed = self.views(points)
        else:
            points = np.concatenate([np.arange(stretch.start, stretch.stop) for stretch, _ in chunks])
            computed = {name: column[points] for name, column in self._columns.items()}
        data = GridColumns(spec.grid, spec.facts, points, computed)
        return Sweep(spec.model, sizes_of(spec), data, complete=self.points_done == len(spec))


def sizes_of(spec: SweepSpec) -> tuple[str, ...]:
    """The columns of a sweep that are sizes, open ones and fixed ones."""
    return tuple(name for name in spec.grid.names if name not in spec.way_names)

"""Tables of many deployments on common knots, so that numpy evaluates all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .scheduler import Scheduler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .step_tables import StepCosts, Table

    Numbers = NDArray[np.float64]

_HOUR_S = 3600.0


class LoadError(InputError):
    """A load, or servers, whose numbers are out of range or contradict each other."""


class Servers:
    """Tables of many deployments on common knots, so that all are evaluated at once.

    Args:
        costs: The deployments.
        schedulers: How each forms its steps; by default with the engine's own settings.
    """

    def __init__(self, costs: Sequence[StepCosts], schedulers: Sequence[Scheduler] | None = None) -> None:
        import numpy as np

        if not costs:
            raise LoadError("there are no deployments; pass at least one StepCosts")
        ways = [Scheduler.of(each) for each in costs] if schedulers is None else list(schedulers)
        if len(ways) != len(costs):
            raise LoadError(f"there are {len(costs)} deployments and {len(ways)} schedulers; pass one for each")
        self.costs = tuple(costs)
        tokens = max(each.most_tokens for each in costs)
        sequences = max(each.most_sequences for each in costs)
        context = max(each.most_context for each in costs)
        self._tokens = _Axis(tokens)
        self._sequences = _Axis(sequences)
        self._sampled = _Axis(max(int(each.outputs.rows[-1]) for each in costs))
        self._contexts = _contexts_of(costs, context)
        self._chunks = _Axis(tokens)
        self._befores = _Axis(context)
        self.drafts = any(each.drafts is not None for each in costs)
        self.tables = {
            "tokens": _stacked([_line(each.tokens, self._tokens) for each in costs]),
            "recorded": _stacked([_recorded(each, self._sequences) for each in costs]),
            "outputs": _stacked([_line(each.outputs, self._sampled) for each in costs]),
            "drafts": _stacked([_line(each.drafts, self._sequences) for each in costs]),
            "decode": _stacked([_surface(each.decode, self._sequences, self._contexts) for each in costs]),
            "prefill": _stacked([_surface(each.prefill, self._chunks, self._befores) for each in costs]),
        }

        def column(values: Sequence[Any]) -> Numbers:
            return np.asarray(values, dtype=np.float64)

        self.numbers = {
            "width": column([each.draft_tokens + 1 for each in costs]),
            "yields": column([each.tokens_per_step for each in costs]),
            "host_step": column([each.host_step_s for each in costs]),
            "host_sequence": column([each.host_sequence_s for each in costs]),
            "host_prefill": column([each.host_prefill_s for each in costs]),
            "overlaps": column([each.overlaps_host for each in costs]),
            "idle_w": column([each.idle_w for each in costs]),
            "most": column(
                [
                    min(each.most_sequences, way.max_num_seqs or each.most_sequences)
                    for each, way in zip(costs, ways, strict=True)
                ]
            ),
            "pool": column([_pool(each, way) for each, way in zip(costs, ways, strict=True)]),
            "block": column([each.block_tokens for each in costs]),
            "copies": column([each.copies for each in costs]),
            "devices": column([each.devices for each in costs]),
            "usd_per_s": column([np.nan if each.usd_per_h is None else each.usd_per_h / _HOUR_S for each in costs]),
            "fill": column([each.prefill_fill for each in costs]),
            "mixes": column([way.mixes for way in ways]),
            "budget": column([way.budget for way in ways]),
            "chunks": column([way.enable_chunked_prefill for way in ways]),
            "reserves": column([way.reserves for way in ways]),
        }

    def line(self, name: str, axis: str, server: Any, at: Any) -> tuple[Numbers, Numbers]:
        """Return seconds and joules of a table of one axis."""
        place, share = self._axis(axis).place(at)
        table = self.tables[name]
        found = _between(table.reshape(-1, 2), server * table.shape[1] + place, share)
        return found[:, 0], found[:, 1]

    def surface(self, name: str, axes: tuple[str, str], server: Any, at: Any, other: Any) -> tuple[Numbers, Numbers]:
        """Return seconds and joules of a table of two axes."""
        row, share = self._axis(axes[0]).place(at)
        column, part = self._axis(axes[1]).place(other)
        table = self.tables[name]
        flat = table.reshape(-1, 2)
        first = (server * table.shape[1] + row) * table.shape[2] + column
        low = _between(flat, first, part)
        high = _between(flat, first + table.shape[2], part)
        found = low + share[:, None] * (high - low)
        return found[:, 0], found[:, 1]

    def _axis(self, name: str) -> _Axis:
        axis: _Axis = getattr(self, f"_{name}")
        return axis


def _pool(costs: StepCosts, scheduler: Scheduler) -> float:
    """Return the tokens that the cache of a copy holds."""
    if scheduler.num_gpu_blocks is not None:
        return float(scheduler.num_gpu_blocks * costs.block_tokens)
    return float("inf") if costs.pool_tokens is None else float(costs.pool_tokens)


_DENSE, _PER_OCTAVE = 64, 16  # knots of common axes: each number at first, then so many in an octave


class _Axis:
    """Knots whose place is found without a search: each number up to 64, then 16 in each octave."""

    def __init__(self, high: int) -> None:
        import numpy as np

        octaves = int(np.ceil(np.log2(max(high, 2 * _DENSE) / _DENSE)))
        beyond = _DENSE * 2.0 ** (np.arange(1, octaves * _PER_OCTAVE + 1) / _PER_OCTAVE)
        self.knots = np.concatenate([np.arange(1, _DENSE + 1, dtype=np.float64), beyond])

    def place(self, at: Any) -> tuple[NDArray[np.intp], Numbers]:
        """Return the interval of each number, and its place in it; beyond the knots the last interval goes on."""
        import numpy as np

        value = np.maximum(np.asarray(at, dtype=np.float64), 1.0)
        dense = value < _DENSE
        steps = np.where(dense, value - 1, _DENSE - 1 + _PER_OCTAVE * np.log2(np.maximum(value, _DENSE) / _DENSE))
        place = np.clip(steps.astype(np.intp), 0, self.knots.size - 2)
        low = self.knots[place]
        return place, (value - low) / (self.knots[place + 1] - low)


class _Searched(_Axis):
    """Knots of all tables, whose place is searched."""

    def __init__(self, knots: Numbers) -> None:
        self.knots = knots

    def place(self, at: Any) -> tuple[NDArray[np.intp], Numbers]:
        """Return the interval of each number, and its place in it."""
        import numpy as np

        value = np.asarray(at, dtype=np.float64)
        place = np.clip(np.searchsorted(self.knots, value, side="right") - 1, 0, self.knots.size - 2)
        low = self.knots[place]
        return place, (value - low) / (self.knots[place + 1] - low)


_MOST_KNOTS = 256


def _contexts_of(costs: Sequence[StepCosts], most: int) -> _Axis:
    """Return the contexts of all tables: attention goes in blocks of keys, so that lines between other knots differ."""
    import numpy as np

    every = [each.decode.columns for each in costs if each.decode.columns is not None]
    knots = np.unique(np.concatenate(every))
    return _Searched(knots) if knots.size <= _MOST_KNOTS else _Axis(most)


def _between(flat: Numbers, first: NDArray[np.intp], share: Numbers) -> Numbers:
    low = flat.take(first, axis=0)
    found: Numbers = low + share[:, None] * (flat.take(first + 1, axis=0) - low)
    return found


def _stacked(parts: Sequence[tuple[Numbers, Numbers]]) -> Numbers:
    """Return tables of shape (servers, ..., 2): seconds and joules beside each other, to be read together."""
    import numpy as np

    return np.stack([np.stack(part, axis=-1) for part in parts])


def _line(table: Table | None, axis: _Axis) -> tuple[Numbers, Numbers]:
    import numpy as np

    if table is None:
        return np.zeros(axis.knots.size), np.zeros(axis.knots.size)
    return table.at(axis.knots)


def _recorded(costs: StepCosts, axis: _Axis) -> tuple[Numbers, Numbers]:
    """Return products of steps that decode alone, over sequences: the mean of whole numbers around a knot.

    A mean number of sequences stands for some that are fewer and some that are more, of which each is padded.
    """
    import numpy as np

    width = costs.draft_tokens + 1
    around = np.maximum(1.0, axis.knots[:, None] * (1 + np.linspace(-_HALF_WIDTH, _HALF_WIDTH, _AROUND)))
    seconds, joules = costs.recorded.next(np.rint(around) * width)
    exact = costs.recorded.next(axis.knots * width)
    small = axis.knots <= _DENSE
    return np.where(small, exact[0], seconds.mean(axis=1)), np.where(small, exact[1], joules.mean(axis=1))


_HALF_WIDTH, _AROUND = 0.04, 9


def _surface(table: Table, rows: _Axis, columns: _Axis) -> tuple[Numbers, Numbers]:
    import numpy as np

    row, column = np.meshgrid(rows.knots, columns.knots, indexing="ij")
    return table.at(row, column)

"""Predictions of requests of a model in this process: estimates at the sizes of the requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from ..errors import Error
from ..predict.count import count
from ..predict.estimate import estimate
from ..predict.peaks import Peak, peak_of
from ..predict.plans import value_of
from ..results.live import Series, series

if TYPE_CHECKING:
    from .._core import Graph
    from ..deployment import Deployment
    from ..predict.rules import Rules

_AT_ONCE = 64  # new sizes in one snapshot: a tenth of a second
_MOST = 8192  # sizes that are kept
_NATIVE = "native"
_ALL = "all"


class Prediction(NamedTuple):
    """Prediction of one request.

    Attributes:
        latency_s: Time of the forward.
        low_s: The low end of its error band.
        high_s: The high end.
        flops: FLOPs of the model, both of products and elementwise.
        bytes: Memory traffic of the model.
    """

    latency_s: float | None
    low_s: float | None
    high_s: float | None
    flops: float
    bytes: float


class Figures(NamedTuple):
    """Predicted figures of a snapshot.

    Attributes:
        values: Measured and predicted seconds by part, FLOPs and bytes.
        requests: Part -> requests whose times these are.
    """

    values: dict[Series, float]
    requests: dict[str, float]


class Size(NamedTuple):
    """Size of a request: items of its batch and tokens of each."""

    items: int
    tokens: int


class Predictions:
    """Predictions of a graph on a deployment, kept by size.

    Args:
        graph: The graph of a forward. Its size with the role `batch` is the number of items, that with the role
            `sequence` the tokens of each item; other sizes have their defaults.
        on: Where it runs. Without a machine, work is counted and times are not predicted.
        rules: Work of the caller's own ops.
    """

    def __init__(self, graph: Graph, on: Deployment, rules: Rules | None = None) -> None:
        self.graph = graph
        self._on = on
        self._rules = rules
        self._batch = graph.size_of_role("batch")
        self._sequence = graph.size_of_role("sequence")
        self._known: dict[Size, Prediction | str] = {}

    @property
    def peak(self) -> Peak | None:
        """Peak rates of a device; None without a machine."""
        if self._on.hardware is None:
            return None
        precision = self._on.precision
        return peak_of(self._on.machine, _stored_dtype(self.graph) if precision == _NATIVE else precision)

    @property
    def refused(self) -> str | None:
        """Why a size has no prediction; None if all have one."""
        return next((known for known in self._known.values() if isinstance(known, str)), None)

    def figures(self, sizes: Mapping[str, list[int]]) -> Figures:
        """Return measured and predicted seconds by part, FLOPs and bytes of requests.

        Args:
            sizes: Columns of `Meter.sizes()`. Times of a row are predicted at its mean size. Rows that are not
                predicted yet, and those that cannot be, are left out of measured and predicted times alike.
        """
        new = 0
        found: dict[Series, float] = {}
        numbers: dict[str, float] = {}
        for requests, items, tokens, service_ns in zip(
            *(sizes[name] for name in ("requests", "items", "prompt_tokens", "service_ns")), strict=True
        ):
            if items < 0 or not requests:
                continue
            size = self._size(requests, items, tokens)
            if size not in self._known:
                new += 1
                if new > _AT_ONCE or len(self._known) >= _MOST:
                    continue
                self._known[size] = self._predicted(size)
            prediction = self._known[size]
            if isinstance(prediction, str):
                continue
            added = {series("model_flops"): prediction.flops, series("model_bytes"): prediction.bytes}
            if prediction.latency_s is not None and prediction.low_s is not None and prediction.high_s is not None:
                part = self._part(size)
                added[series("predicted_s", part=part)] = prediction.latency_s
                added[series("predicted_low_s", part=part)] = prediction.low_s
                added[series("predicted_high_s", part=part)] = prediction.high_s
                measured = series("measured_s", part=part)
                found[measured] = found.get(measured, 0.0) + service_ns * 1e-9
                numbers[part] = numbers.get(part, 0.0) + requests
            for each, value in added.items():
                found[each] = found.get(each, 0.0) + value * requests
        return Figures(found, numbers)

    def _size(self, requests: int, items: int, tokens: int) -> Size:
        mean_items = max(1, round(items / requests)) if self._batch is not None else 1
        mean_tokens = max(1, round(tokens / max(1, items))) if self._sequence is not None and tokens else 0
        return Size(mean_items, mean_tokens)

    def _part(self, size: Size) -> str:
        """Return the label of a size: the next powers of two, so that there are few."""
        parts = []
        if self._batch is not None:
            parts.append(f"batch<={_power_of_two(size.items)}")
        if size.tokens:
            parts.append(f"tokens<={_power_of_two(size.tokens)}")
        return ",".join(parts) or _ALL

    def _predicted(self, size: Size) -> Prediction | str:
        sizes: dict[str, int] = {}
        if self._batch is not None:
            sizes[self._batch] = size.items
        if self._sequence is not None and size.tokens:
            sizes[self._sequence] = size.tokens
        try:
            total = count(self.graph, rules=self._rules, sizes=sizes).total
            flops = float(value_of(total.contraction_flops, sizes) + value_of(total.pointwise_flops, sizes))
            moved = float(value_of(total.bytes_read, sizes) + value_of(total.bytes_written, sizes))
            if self._on.hardware is None:
                return Prediction(None, None, None, flops, moved)
            found = estimate(self.graph, on=self._on, rules=self._rules, sizes=sizes)
        except Error as error:
            return f"a request of {size.items} items and {size.tokens} tokens each has no prediction: {error}"
        return Prediction(found.latency_s, found.latency_low_s, found.latency_high_s, flops, moved)


def _power_of_two(value: int) -> int:
    return 1 << max(0, value - 1).bit_length()


def _stored_dtype(graph: Graph) -> str:
    """Return the dtype of most parameters, in which torch runs products by itself."""
    numbers: dict[str, float] = {}
    for tensor in graph.tensors:
        if tensor.role == "parameter":
            numbers[tensor.dtype] = numbers.get(tensor.dtype, 0.0) + (tensor.logical_numel or 0)
    return max(numbers, key=numbers.__getitem__, default="float32")

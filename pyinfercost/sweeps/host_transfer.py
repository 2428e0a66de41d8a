"""Columns of what moves at points of a sweep: transfer, cold start, tokens; as `following` has them for one point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..deployment.cold_start import cold_start_s
from ..deployment.host_transfer import HostLink, copying_s, egress_usd, host_link, network_s, waiting_s
from ..predict.boundary import Boundary, boundary_of, column_of, value_of
from ..predict.model_figures import graph_figure
from ..results.costs import Transfer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Graph, Hardware, Quantity
    from .columns import GridColumns


@dataclass(frozen=True)
class Moving:
    """What columns of transfer need beside the points.

    Attributes:
        graph: the model.
        terms: how data gets to the machines.
        counts: whether that is part of the cost.
        precisions: those of the sweep.
        links: of each machine.
        cold_s: seconds of a cold start of each machine, by precision.
    """

    graph: Graph = field(repr=False)
    terms: Transfer
    counts: bool
    precisions: tuple[str, ...]
    links: tuple[HostLink, ...]
    cold_s: Mapping[str, tuple[float, ...]]

    @property
    def has_cache(self) -> bool:
        """Whether a forward leaves keys and values."""
        return boundary_of(self.graph, self.precisions[0]).kv_cache_bytes is not None

    @property
    def has_tokens(self) -> bool:
        """Whether a forward reads tokens."""
        return boundary_of(self.graph, self.precisions[0]).tokens is not None

    def transfer_s(self, data: GridColumns) -> NDArray[np.float64]:
        """Seconds of a request beside the forward; not a number where a link is not known."""
        request, response = self._network_bytes(data)
        seconds: NDArray[np.float64] = self.host_s(data) + network_s(self.terms, request, response)
        return seconds

    def host_s(self, data: GridColumns) -> NDArray[np.float64]:
        """Seconds on the links between hosts and devices."""
        rate = data.of_machine([link.byte_per_s for link in self.links])
        latency_s = data.of_machine([link.latency_s for link in self.links])
        boundary = boundary_of(self.graph, self.precisions[0])  # of all precisions the tensors are the same
        into = self._of_precision(data, lambda found: found.input_bytes, share=True)
        out = self._of_precision(data, lambda found: found.output_bytes, share=True)
        seconds: NDArray[np.float64] = copying_s(into, boundary.input_tensors, rate, latency_s)
        return seconds + copying_s(out, boundary.output_tensors, rate, latency_s)

    def waiting_s(self, data: GridColumns, latency_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much longer than forwards devices are occupied."""
        found: NDArray[np.float64] = waiting_s(self.terms.overlapped, latency_s, self.host_s(data))
        return found

    def egress_usd(self, data: GridColumns, items: NDArray[Any]) -> NDArray[np.float64]:
        """USD for one item's answer to leave the cloud."""
        _, response = self._network_bytes(data)
        usd: NDArray[np.float64] = egress_usd(self.terms, response) / items
        return usd

    def cold_start_s(self, data: GridColumns) -> NDArray[np.float64]:
        """Seconds of a cold start."""
        import numpy as np

        codes, values = data.labels("precision")
        found = np.empty(data.rows)
        for code in np.unique(codes):
            rows = codes == code
            found[rows] = data.of_machine(self.cold_s[values[code]])[rows]
        return found

    def tokens(self, data: GridColumns) -> NDArray[np.float64]:
        """Tokens that a forward reads."""
        return self._of_precision(data, lambda found: found.tokens or 0)

    def graph_figure(self, data: GridColumns, key: str) -> NDArray[np.float64]:
        """A figure that the graph gives, of the largest share of the batch that a device has."""
        return self._at_points(data, lambda precision: graph_figure(key, self.graph, precision) or 0, share=True)

    def _network_bytes(self, data: GridColumns) -> tuple[Any, Any]:
        """Bytes of the whole batch on the network, in and out."""
        terms = self.terms
        items = data.batch_items()
        request = self._of_precision(data, lambda found: found.input_bytes)
        response = self._of_precision(data, lambda found: found.output_bytes)
        return (
            request if terms.request_bytes is None else items * terms.request_bytes,
            response if terms.response_bytes is None else items * terms.response_bytes,
        )

    def _of_precision(
        self, data: GridColumns, quantity: Callable[[Boundary], Quantity], *, share: bool = False
    ) -> NDArray[np.float64]:
        """A quantity of the boundary at each row: of all its batch, or of the largest share that a device has."""
        return self._at_points(data, lambda precision: quantity(boundary_of(self.graph, precision)), share=share)

    def _at_points(
        self, data: GridColumns, quantity: Callable[[str], Quantity], *, share: bool = False
    ) -> NDArray[np.float64]:
        """A quantity of the graph at a precision, at each row."""
        import numpy as np

        codes, values = data.labels("precision")
        found = np.empty(data.rows)
        for code in np.unique(codes):
            rows = codes == code

            def column(name: str, rows: NDArray[np.bool_] = rows) -> NDArray[np.int64]:
                whole = data[name]
                if share and name == "batch" and "devices" in data.grid.names:
                    whole = -(-whole // data["devices"])
                return whole[rows]

            found[rows] = column_of(self.graph, quantity(values[code]), int(rows.sum()), column)
        return found


def moving_of(
    graph: Graph, machines: tuple[Hardware, ...], precisions: tuple[str, ...], terms: Transfer | None
) -> Moving:
    """What columns of transfer need, of a graph on machines."""
    ways = terms or Transfer()
    defaults = graph.size_values({})
    weights = {name: value_of(boundary_of(graph, name).weight_bytes, defaults) for name in precisions}
    return Moving(
        graph=graph,
        terms=ways,
        counts=terms is not None,
        precisions=precisions,
        links=tuple(host_link(machine, ways.memory) for machine in machines),
        cold_s={
            name: tuple(cold_start_s(machine, nbytes, ways) for machine in machines) for name, nbytes in weights.items()
        },
    )

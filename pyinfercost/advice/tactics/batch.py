"""Batch: more items in one forward."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...sources.sizes import batch_name
from ..facts import why_not_at
from ..setups import SIZES
from ..tactic import Option, Options, Refusal, Tactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

BATCHES = (
    *range(1, 9), *range(10, 17, 2), *range(20, 33, 4), *range(40, 65, 8), *range(80, 129, 16), *range(160, 257, 32),
    *range(320, 513, 64),
)  # fmt: skip
"""Batches that are tried: neighbors differ by a fifth at most, beyond the first ones."""


class Batch(Tactic):
    """A larger or smaller batch."""

    name = "batch"
    title = "the batch"
    group = "batch"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer other batches, if the graph has a size for it and the limits allow it."""
        graph = case.graphs.open(setup.variant)
        name = batch_name(graph)
        if name not in graph.sizes:
            why = "the graph was captured at one batch; capture it with dynamic={0: {0: 'batch'}}"
            return Options((), [Refusal(text="a larger batch", why=why)])
        limits = graph.sizes[name]
        own = setup.sizes.get(name, limits["default"])
        most = min(limits["maximum"] or BATCHES[-1], case.limits.get("batch", BATCHES[-1]))
        if case.objective == "latency_s":
            most = min(most, own)  # more items never shorten a forward, but by chance
        found, refused = [], []
        for batch in BATCHES:
            if batch == own or not limits["minimum"] <= batch <= most:
                continue
            text = f"a batch of {batch}"
            if why := why_not_at(graph, {**setup.sizes, name: batch}):
                refused.append(Refusal(text=text, why=why))
                continue
            found.append(
                Option(
                    text=text,
                    phrase=f"at a batch of {batch}",
                    change={f"{SIZES}{name}": batch},
                    apply=f"results = model(torch.stack(inputs))  # {batch} of them" if batch > 1 else "",
                    note=f"{batch} inputs must be there at once" if batch > own else "",
                )
            )
        return Options(found, refused)

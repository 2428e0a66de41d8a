"""Fitted constants of systolic arrays. The tables have one chip; other families take its overheads by hand."""

from __future__ import annotations

from .parameters import Parameter

_LAYERS = ("tpu_layers",)


def _array(key: str, start: float, low: float, high: float, sd: float = 1.0) -> Parameter:
    return Parameter("systolic", key, start, low, high, _LAYERS, sd)


# The constants of products are set by hand: rows of q_proj and of o_proj, which have one shape, differ by five below
# 256 tokens, because the weights of o_proj stay on the chip, and a fit to both finds neither.
PARAMETERS = (
    _array("overheads.replay_gap_us", 0.1, 0.01, 3.0),
    _array("achieved.vector", 0.75, 0.1, 1.3),
    _array("kernel.normalization.minimum_clocks", 1200.0, 10.0, 10000.0),
    _array("kernel.normalization.compute", 0.75, 0.1, 2.0),
    _array("kernel.gather.minimum_clocks", 3500.0, 10.0, 20000.0),
    _array("kernel.gather.dram", 0.4, 0.02, 1.5),
)

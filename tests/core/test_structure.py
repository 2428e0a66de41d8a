"""Digests of what graphs compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import pyinfercost as ic


def block(
    module: str = "layers.3.mlp",
    *,
    weight: str | None = None,
    width: int = 64,
    dtype: str = "bfloat16",
    batch: str = "batch",
    scale: float = 1.0,
    source: str = "a.py:1",
    returned: int = 0,
    maximum: int | None = None,
) -> ic.Graph:
    builder = ic.GraphBuilder("block")
    rows = builder.size(batch, default=4, maximum=maximum)
    given = builder.tensor(dtype, [rows, width], role="input", name="x")
    parameter = builder.tensor(dtype, [width, width], role="parameter", name=weight or f"{module}.weight")
    made = [builder.tensor(dtype, [rows, width]) for _ in range(2)]
    builder.node("aten.linear.default", {"input": given, "weight": parameter}, [made[0]], module=module, source=source)
    builder.node("aten.mul.Scalar", {"self": made[0], "other": scale}, [made[1]], module=module)
    return builder.build([given], [made[returned]])


def test_equal_layers_at_other_places_have_equal_digests() -> None:
    digest = block().structure()
    assert len(digest) == 32
    assert int(digest, 16) >= 0
    assert digest == block().structure()
    for same in (
        block("layers.17.mlp"),
        block("layers.3.mlp", source="b.py:9"),
        block("layers.3.mlp", weight="layers.0.mlp.weight"),
    ):
        assert same.structure() == digest


@pytest.mark.parametrize(
    "other",
    [
        lambda: block("layers.3.mlp2"),
        lambda: block("blocks.3.mlp"),
        lambda: block("layers.x3.mlp"),
        lambda: block(width=128),
        lambda: block(dtype="float16"),
        lambda: block(batch="rows"),
        lambda: block(scale=2.0),
        lambda: block(returned=1),
        lambda: block(maximum=8),
        lambda: block(weight="other"),
    ],
)
def test_others_differ(other: Callable[[], Any]) -> None:
    assert other().structure() != block().structure()


def test_graphs_that_are_read_again_are_equal() -> None:
    graph = block()
    assert ic.Graph.from_json(graph.to_json()).structure() == graph.structure()

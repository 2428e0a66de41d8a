"""Published losses of accuracy: each row can be read and has a source, from whose figures its own follow."""

from __future__ import annotations

import importlib

import pytest

from pyinfercost._core import precisions
from pyinfercost.advice.published import FAMILIES, NOT_MEASURED, PublishedError, PublishedLoss, losses, published
from pyinfercost.formats.table import CACHE_DTYPES, FORMATS, PRUNED

OTHERS = {"channels", "widths", "distilled", "sibling", "early_exit", "speculation"}
"""Methods that are neither formats nor precisions."""


@pytest.mark.parametrize("row", published(), ids=lambda row: f"{row.methods[0]} {row.family}")
def test_every_row_names_its_source_and_known_methods(row: PublishedLoss) -> None:
    caches = {f"kv:{name}" for name in CACHE_DTYPES}
    assert set(row.methods) <= {*FORMATS, *PRUNED, *precisions(), *caches, *OTHERS}
    assert row.family in FAMILIES
    assert len(row.source) > 10
    assert row.measure
    assert row.finding
    assert NOT_MEASURED in str(row)
    if row.low is not None and row.high is not None:
        assert row.low <= row.high


def test_no_two_rows_are_equal() -> None:
    keys = [(method, row.family, row.source) for row in published() for method in row.methods]
    assert len(set(keys)) == len(keys)


def test_a_family_without_rows_has_those_of_any_model() -> None:
    (row,) = losses("int8_static", "vision transformer")
    assert row.family == "any"
    assert row.range_text == "0 to 1 % of the score lost"
    assert losses("int4_wo", "convolutional") == ()


def test_a_group_does_not_matter_and_a_cache_is_no_weight() -> None:
    assert losses("int4_wo:64", "language model") == losses("int4_wo", "language model")
    assert losses("kv:fp8", "language model") != losses("fp8", "language model")


def test_an_unknown_family_is_an_error() -> None:
    with pytest.raises(PublishedError, match="family is 'cnn'; expected one of convolutional"):
        losses("int8_static", "cnn")


@pytest.mark.torch
def test_torchvision_figures_are_those_of_its_metrics() -> None:
    """The ranges of `int8_static` for convolutional networks are the differences of torchvision's own figures."""
    quantization = importlib.import_module("torchvision.models.quantization")
    lost: dict[bool, list[float]] = {True: [], False: []}
    for name in dir(quantization):
        if not name.endswith("_QuantizedWeights"):
            continue
        for each in getattr(quantization, name):
            small = name.startswith(("MobileNet", "ShuffleNet"))
            metrics = [weights.meta["_metrics"]["ImageNet-1K"]["acc@1"] for weights in (each.meta["unquantized"], each)]
            lost[small].append(metrics[0] - metrics[1])
    large, small = [row for row in published() if "torchvision" in row.source and "int8_static" in row.methods]
    for row, several in ((large, lost[False]), (small, lost[True])):
        assert row.low == pytest.approx(min(several), abs=0.005)
        assert row.high == pytest.approx(max(several), abs=0.005)
        assert f"{len(several)} quantized weights" in row.source


@pytest.mark.parametrize(
    ("method", "base", "changed"),
    [  # perplexities of Llama-2-7B and Llama-3-8B in torchao's table
        ("int8_wo", (12.212, 7.441), (12.204, 7.447)),
        ("int8_dynamic", (12.212, 7.441), (12.262, 7.581)),
        ("int4_wo", (12.212, 7.441), (12.843, 8.316)),
        ("int4_gptq", (12.212, 7.441), (12.527, 7.921)),
    ],
)
def test_torchao_figures_are_rises_of_perplexity(
    method: str, base: tuple[float, float], changed: tuple[float, float]
) -> None:
    (row,) = [each for each in losses(method, "language model") if "torchao" in each.source]
    rises = [100 * (after / before - 1) for before, after in zip(base, changed, strict=True)]
    assert (row.low, row.high) == (pytest.approx(min(rises), abs=0.05), pytest.approx(max(rises), abs=0.05))

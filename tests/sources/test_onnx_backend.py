"""The models that the packages `onnx` and `onnxruntime` have for tests of runtimes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyinfercost as ic
from pyinfercost._core import Expr

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'pyinfercost[onnx]'")

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
# Gradients of a graph and normalization of text have no rows.
IN_THE_LEDGER = ("test_gradient_of_", "test_strnorm_")
# It asks for the length of a tensor, which its file declares as a sequence.
REFUSED = ("test_sequence_model8",)


def files() -> list[Path]:
    found = sorted(DATA.rglob("*.onnx"))
    try:
        import onnxruntime
    except ImportError:
        return found
    return found + sorted((Path(onnxruntime.__file__).parent / "datasets").glob("*.onnx"))


def test_models_of_files_count_with_an_empty_ledger() -> None:
    counted = set()
    for path in files():
        name = path.parent.name
        if name.startswith(REFUSED):
            continue
        counts = ic.count(ic.capture(path))
        assert bool(counts.unmodelled) == name.startswith(IN_THE_LEDGER), (path, counts.unmodelled)
        if not counts.unmodelled:
            counted.add(path.read_bytes())
    assert len(counted) >= 135  # different ones


# Multiply-accumulates from the layers of the papers' networks, without biases: 4 groups of convolutions and 3 products.
@pytest.mark.parametrize(
    ("name", "gigamacs"),
    [("resnet50", 4.09), ("vgg19", 19.63), ("bvlc_alexnet", 0.655), ("densenet121", 2.83), ("squeezenet", 0.35)],
)
def test_published_networks(name: str, gigamacs: float) -> None:
    total: Any = ic.count(ic.capture(DATA / "light" / f"light_{name}.onnx")).total
    assert total.macs / 1e9 == pytest.approx(gigamacs, rel=0.01)


LEDGER = {
    *("onnx.ImageDecoder", "onnx.TfIdfVectorizer", "onnx.StringSplit", "onnx.StringNormalizer", "onnx.StringConcat"),
    *("onnx.RegexFullMatch", "ai_onnx_ml.TreeEnsemble"),  # no arithmetic on tensors, or one that depends on data
    *("ai_onnx_preview_training.Momentum", "ai_onnx_preview_training.Adagrad", "ai_onnx_preview_training.Adam"),
    *("onnx.Loop", "onnx.SplitToSequence", "onnx.DFT", "onnx.STFT"),  # their lengths are inputs of the model
}


@pytest.mark.slow
def test_results_of_every_operator_have_the_shapes_of_the_reference() -> None:
    """Each case of the package is a model of one operator with its results."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    wrong = []
    compared = 0
    for case in cases:
        if any(_is_sequence(info) for info in (*case.model.graph.input, *case.model.graph.output)):
            continue  # how many tensors a sequence has is not stated
        if case.name in ("test_scan_sum", "test_affine_grid_2d_expanded", "test_affine_grid_2d_align_corners_expanded"):
            continue  # operator set 8, and a condition on the number of dimensions
        graph = ic.capture(case.model)
        unmodelled = ic.count(graph).unmodelled
        if unmodelled:
            if not LEDGER.issuperset(unmodelled):
                wrong.append((case.name, unmodelled))
            continue
        for result, tensor in zip(case.data_sets[0][1], graph.outputs, strict=True):
            lengths = np.shape(onnx.numpy_helper.to_array(result) if isinstance(result, onnx.TensorProto) else result)
            own = tensor.shape
            same = len(own) == len(lengths) and all(
                isinstance(a, Expr) or a == b for a, b in zip(own, lengths, strict=True)
            )
            compared += 1
            if not same:
                wrong.append((case.name, own, lengths))
    assert not wrong
    assert compared > 1700


def _is_sequence(info: Any) -> bool:
    return not info.type.HasField("tensor_type")

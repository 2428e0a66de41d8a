"""channels_last: the graph is that of a module that was put into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pyinfercost as ic
from pyinfercost.sources.memory_formats import in_channels_last, marked, split_format

torch: Any = pytest.importorskip("torch")
nn = torch.nn

pytestmark = pytest.mark.torch


def network() -> Any:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=2), nn.Flatten(), nn.Linear(16 * 12 * 12, 10)
    ).eval()


X = torch.arange(2 * 3 * 16 * 16, dtype=torch.float32).reshape(2, 3, 16, 16)


def test_the_copy_is_what_torch_makes() -> None:
    model = network()
    ours, (inputs, _) = in_channels_last(model, (X,))
    theirs = network().to(memory_format=torch.channels_last)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert one.stride() == other.stride()
    assert inputs[0].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(inputs[0], X)
    assert torch.allclose(ours(*inputs), model(X), rtol=1e-4, atol=1e-4)
    assert model[0].weight.is_contiguous()  # the given model is left alone
    assert X.is_contiguous()
    assert ic.capture(ours, inputs) == ic.capture(theirs, (X.to(memory_format=torch.channels_last),))


def test_a_spec_may_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one_network.py").write_text(
        "import torch\n"
        "def make(batch=1):\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)).eval(), (torch.zeros(batch, 3, 16, 16),)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    plain, last = (ic.capture(f"one_network:make{mark}", batch=2) for mark in ("", "#channels_last"))
    weights = [next(t for t in graph.tensors if t.role == "parameter" and len(t.shape) == 4) for graph in (plain, last)]
    assert [tuple(weight.strides) for weight in weights] == [(27, 9, 3, 1), (27, 1, 9, 3)]
    assert [tuple(graph.inputs[0].strides) for graph in (plain, last)] == [(768, 256, 16, 1), (768, 1, 48, 3)]


def test_volumes_and_caches() -> None:
    model = nn.Sequential(nn.Conv3d(1, 4, 3))
    changed, (inputs, _) = in_channels_last(model, (torch.zeros(1, 1, 8, 8, 8),))
    assert changed[0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    cache = torch.zeros(1, 4, 6, 8)
    _, (_, named) = in_channels_last(model, {"past_key_values_0": cache, "pixels": torch.zeros(1, 3, 8, 8)})
    assert named["past_key_values_0"].is_contiguous()
    assert named["pixels"].is_contiguous(memory_format=torch.channels_last)
    assert inputs[0].dim() == 5


def test_marks_of_specs() -> None:
    assert split_format("torchvision:resnet18#channels_last") == ("torchvision:resnet18", True)
    assert split_format("hf:config.json#decode") == ("hf:config.json#decode", False)
    assert marked("a:b", "channels_last") == "a:b#channels_last"
    assert marked("a:b", "") == "a:b"


def test_a_captured_graph_has_no_other_format(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text(ic.capture(network(), (X,)).to_json())
    with pytest.raises(ValueError, match="is not valid"):
        ic.capture(f"{path}#channels_last")

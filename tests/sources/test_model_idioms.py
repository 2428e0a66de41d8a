"""Idioms of public models that plain meta tensors do not support."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.function_module import Wrapped
from torch import nn

import pyinfercost as ic
from pyinfercost.sources.trace.trace import CaptureError

pytestmark = pytest.mark.torch


def ops(graph: ic.Graph) -> list[str]:
    return [graph.node(i).op for i in range(len(graph))]


@pytest.mark.parametrize("options", [{"enabled": False}, {"dtype": torch.float32}], ids=str)
def test_autocast_is_switched_off_for_the_device_of_a_tensor(options: dict[str, Any]) -> None:
    def rotary(_: Any, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, **options):
            return x.cos()

    before = torch.autocast.__init__
    assert ops(ic.capture(Wrapped(rotary), (torch.empty(3, device="meta"),))) == ["aten.cos"]
    assert torch.autocast.__init__ is before


def test_autocast_that_would_cast_is_refused() -> None:
    def forward(_: Any, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            return x @ x

    with pytest.raises(CaptureError, match="unsupported autocast device_type 'meta'"):
        ic.capture(Wrapped(forward), (torch.empty(3, 3, device="meta"),))


def test_a_complex_tensor_changes_shape_in_place() -> None:
    graph = ic.capture(
        Wrapped(lambda _, x: torch.view_as_complex(x).transpose_(0, 1).abs()), (torch.empty(3, 5, 2, device="meta"),)
    )
    assert graph.outputs[0].shape == (5, 3)
    assert ic.count(graph).total.to_dict() == ic.count(ic.Graph.from_json(graph.to_json())).total.to_dict()


def test_a_spectrogram() -> None:
    spectrogram = Wrapped(lambda _, x: torch.stft(x, 64, 16, window=torch.ones(64), return_complex=True).abs())
    graph = ic.capture(spectrogram, (torch.empty(2, 160, device="meta"),))
    # A frame every 16 samples of the padded recording, 64/2 + 1 frequencies of each.
    assert graph.outputs[0].shape == (2, 33, 160 // 16 + 1)
    assert not ic.count(graph).unmodelled


def test_a_number_from_a_list_that_the_forward_made() -> None:
    def forward(_: Any, x: torch.Tensor) -> torch.Tensor:
        steps = torch.tensor([3, 1, 2]).to(x.device)
        return x[: steps[0].item()]

    assert ic.capture(Wrapped(forward), (torch.empty(5, device="meta"),)).outputs[0].shape == (3,)


def test_lengths_of_a_mask_as_a_list() -> None:
    def forward(_: Any, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        lengths = mask.sum(dim=1).tolist()
        return torch.cat([x[i, :length] for i, length in enumerate(lengths)])

    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    graph = ic.capture(Wrapped(forward), (torch.empty(2, 3, 7, device="meta"), mask))
    assert graph.outputs[0].shape == (5, 7)
    assert not graph.sizes


def test_loads_of_experts_as_a_numpy_array() -> None:
    """Each token goes to the 2 best of 4 experts, in the way of models that sort tokens by expert."""

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        chosen = torch.topk(x @ torch.ones(6, 4), 2).indices.flatten()
        ends = chosen.bincount(minlength=4).cpu().numpy().cumsum(0)
        order = chosen.argsort() // 2
        results = []
        for expert, end in enumerate(ends):
            start = 0 if expert == 0 else ends[expert - 1]
            results.append(self.experts[expert](x[order[start:end]]))
        return torch.cat(results)

    experts = torch.nn.ModuleList(torch.nn.Linear(6, 6) for _ in range(4))
    graph = ic.capture(Wrapped(forward, experts=experts), (torch.empty(10, 6, device="meta"),))
    sizes = {name: size["default"] for name, size in graph.sizes.items()}
    # Whoever they go to, 10 tokens with 2 experts each are 20 rows of 6 to 6; and 10 of 6 to 4 choose.
    assert int(ic.count(graph, **sizes).total.macs) == 20 * 6 * 6 + 10 * 6 * 4


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_packed_sequences_run_their_own_steps_alone(kind: type[nn.RNNBase], gates: int) -> None:
    lengths, width, hidden = [7, 5, 2], 32, 16
    packed = nn.utils.rnn.pack_padded_sequence(torch.randn(3, 7, width), lengths, batch_first=True)
    counts = ic.count(ic.capture(kind(width, hidden, num_layers=2, bidirectional=True).eval(), (packed,)))
    first, second = (gates * hidden * (inputs + hidden) for inputs in (width, 2 * hidden))
    assert counts.total.macs == sum(lengths) * 2 * (first + second)
    assert not counts.unmodelled


def test_data_parallel_modules_are_captured_without_their_wrapper() -> None:
    graph = ic.capture(nn.DataParallel(nn.DataParallel(nn.Sequential(nn.Linear(3, 4)))), (torch.empty(2, 3),))
    assert [graph.node(i).module for i in range(len(graph))] == ["0"]
    assert int(ic.count(graph).total.macs) == 2 * 3 * 4


def test_work_that_numpy_does_is_told() -> None:
    def forward(_: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(x.detach().numpy() * 2)

    with pytest.warns(UserWarning, match=r"NumPy array at test_model_idioms.py:\d+; .* not counted"):
        ic.capture(Wrapped(forward), (torch.ones(2, 3),))


def test_a_branch_on_weights_is_refused_with_what_to_do() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        x = self.layer(x)
        return x * 2 if x.sum() > 0 else x

    with pytest.raises(CaptureError, match=r"depends on weights, choose the branch yourself.*torch\.where"):
        ic.capture(Wrapped(forward, layer=nn.Linear(3, 3)), (torch.ones(2, 3),))


def test_sizes_without_dimensions_are_refused() -> None:
    with pytest.raises(TypeError, match=r"dynamic is \{0: 'batch'\}; expected input -> dimension -> name"):
        ic.capture(nn.Linear(4, 4), (torch.empty(2, 4),), dynamic={0: "batch"})  # type: ignore[dict-item]


def test_models_are_captured_by_all() -> None:
    model, inputs = nn.Linear(4, 4), torch.empty(2, 4)
    graph = ic.capture(model, inputs)
    assert repr(ic.count(model, inputs).total) == repr(ic.count(graph).total)
    assert ic.estimate(model, inputs, hardware="l4") == ic.estimate(graph, hardware="l4")
    named = {"dynamic": {0: {0: "batch"}}, "batch": 8}
    assert repr(ic.count(model, inputs, **named).total) == repr(ic.profile(model, inputs, **named).counts.total)
    assert ic.estimate(model, inputs, hardware="l4", **named).sizes == {"batch": 8}


def test_a_spec_is_captured_at_its_sizes_by_all() -> None:
    pytest.importorskip("torchvision")
    known = ic.profile("resnet18", hardware="l4", batch=2)
    assert ic.estimate("resnet18", hardware="l4", batch=2) == known.estimate
    assert ic.count("resnet18", batch=2).total.contraction_flops == known.counts.total.contraction_flops


def test_a_class_in_the_place_of_its_object_is_named() -> None:
    with pytest.raises(TypeError, match=r"model is the class Linear; expected an object of it, Linear\(\.\.\.\)"):
        ic.capture(nn.Linear, (torch.ones(2, 3),))  # type: ignore[arg-type]

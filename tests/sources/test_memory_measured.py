"""Memory peaks compared with the records of torch's CPU allocator for a real forward, in bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from support.allocations import measure
from support.workspace_cases import OPS, PROCESSORS, THREADS, has, peaks_on
from torch import nn
from torch.nn import functional as F

import pyinfercost as ic
from pyinfercost.sources.trace.trace import trace_graph

pytestmark = pytest.mark.torch

NEAR = 0.02


BEYOND_COUNTS = {
    # 40 channels of a result are 5 blocks of 8, and then lie there once more as they are returned: 2 x 40 x 26 x 26
    # numbers twice. Counted are blocks of 16: 2 of the input, 3 of the result, and 3 x 2 of the weights.
    ("conv2d, part of a block", "AVX2"): 4
    * (2 * 2 * 40 * 26 * 26 - (2 * 32 * 28 * 28 + 2 * 48 * 26 * 26 + 48 * 32 * 3 * 3)),
    # Keys and values of 8 heads in the order of its tiles, and for each of 2 threads a block of keys on the way there.
    ("attention, half", "AMX"): 2 * (2 * 8 * 100 * 32 + 2 * 100 * 32),
}
"""Bytes that a processor allocates beyond those of the processor that workspaces are counted for, by op."""


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(2 * width)
        self.second = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(x)
        y = F.relu(self.norm(y), inplace=True)
        return self.second(y) + x


def convolutions() -> tuple[nn.Module, tuple[Any, ...]]:
    module = nn.Sequential(
        nn.Conv2d(3, 32, 7, stride=2, padding=3), nn.ReLU(), nn.MaxPool2d(2), Residual(32), Residual(32), nn.Flatten()
    )
    return module, (torch.randn(2, 3, 64, 64),)


def depthwise() -> tuple[nn.Module, tuple[Any, ...]]:
    module = nn.Sequential(
        nn.Conv2d(16, 64, 1),
        nn.ReLU6(),
        nn.Conv2d(64, 64, 3, padding=1, groups=64),
        nn.Hardswish(),
        nn.Conv2d(64, 16, 1),
    )
    return module, (torch.randn(2, 16, 32, 32),)


def encoder() -> tuple[nn.Module, tuple[Any, ...]]:
    layer = nn.TransformerEncoderLayer(64, 4, 256, batch_first=True, activation="gelu")
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), (torch.randn(2, 100, 64),)


def features() -> tuple[nn.Module, tuple[Any, ...]]:
    class Pyramid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.levels = nn.ModuleList(nn.Conv2d(16, 16, 3, stride=2, padding=1) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            kept = []
            for level in self.levels:
                x = level(x)
                kept.append(F.interpolate(x, size=(32, 32), mode="bilinear"))
            return torch.cat(kept, 1)

    return Pyramid(), (torch.randn(2, 16, 64, 64),)


MODELS: list[Callable[[], tuple[nn.Module, tuple[Any, ...]]]] = [convolutions, depthwise, encoder, features]


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_models(make: Callable[[], tuple[nn.Module, tuple[Any, ...]]]) -> None:
    module, args = make()
    module.eval()
    memory = ic.count(trace_graph(module, args)).memory
    measured = measure(lambda: lambda: module(*args))
    assert measured.peak_bytes > 0
    assert memory.peak_activation_bytes == pytest.approx(measured.peak_bytes, rel=NEAR)


@pytest.mark.parametrize("cached", [0, 96], ids=["prefill", "decode"])
def test_a_decoder_and_its_cache(cached: int) -> None:
    """A step makes each layer's cache anew and lets go of the old one: not all of them are there twice."""

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = nn.Linear(64, 192)

        def forward(self, x: torch.Tensor, cache: list[torch.Tensor]) -> torch.Tensor:
            q, k, v = self.qkv(x).view(*x.shape[:2], 3, 4, 16).permute(2, 0, 3, 1, 4).unbind(0)
            cache[0] = torch.cat([cache[0], k], 2)
            cache[1] = torch.cat([cache[1], v], 2)
            y = F.scaled_dot_product_attention(q, cache[0], cache[1], is_causal=x.shape[1] > 1)
            return y.transpose(1, 2).flatten(2)

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(Attention() for _ in range(3))

        def forward(self, x: torch.Tensor, past_key_values: list[list[torch.Tensor]]) -> Any:
            for layer, cache in zip(self.layers, past_key_values, strict=True):
                x = x + layer(x, cache)
            return x, past_key_values

    module = Decoder().eval()
    x = torch.randn(2, 1 if cached else 96, 64)

    def caches() -> list[list[torch.Tensor]]:
        return [[torch.randn(2, 4, cached, 16) for _ in range(2)] for _ in range(3)]

    def prepare() -> Callable[[], Any]:
        own = caches()
        return lambda: module(x, own)

    memory = ic.count(trace_graph(module, (x,), {"past_key_values": caches()})).memory
    assert memory.peak_activation_bytes == pytest.approx(measure(prepare).peak_bytes, rel=NEAR)


def test_a_window_of_a_larger_storage_frees_all_of_it() -> None:
    """After a prefill the cache of sliding attention is a view of all that it saw, and the step lets go of that."""

    class Window(nn.Module):
        def forward(self, x: torch.Tensor, past_key_values: list[torch.Tensor]) -> torch.Tensor:
            keys = past_key_values[0]
            past_key_values[0] = torch.cat([keys, x], 1)
            del keys
            return torch.cat([x] * 500, 1)

    def caches() -> list[torch.Tensor]:
        return [torch.randn(2, 400, 64)[:, -20:]]

    def prepare() -> Callable[[], Any]:
        own = caches()
        return lambda: module(x, own)

    module, x = Window().eval(), torch.randn(2, 1, 64)
    graph = trace_graph(module, (x,), {"past_key_values": caches()})
    counts = ic.count(graph)
    assert counts.memory.peak_activation_bytes == measure(prepare).peak_bytes
    assert counts.memory.input_bytes == (2 * 400 * 64 + 2 * 64) * 4
    again = ic.count(ic.Graph.from_json(graph.to_json()))
    assert again.memory.peak_activation_bytes == counts.memory.peak_activation_bytes
    assert [t.storage_elements for t in ic.Graph.from_json(graph.to_json()).inputs] == [None, 2 * 400 * 64]


def test_two_windows_of_one_storage_are_not_freed_twice() -> None:
    class Windows(nn.Module):
        def forward(self, x: torch.Tensor, past_key_values: list[torch.Tensor]) -> torch.Tensor:
            return x + past_key_values[0].sum() + past_key_values[1].sum()

    whole = torch.randn(2, 400, 64)
    graph = trace_graph(Windows(), (torch.randn(2),), {"past_key_values": [whole[:, :20], whole[:, 20:40]]})
    assert [t.storage_elements for t in graph.inputs] == [None, None, None]


@pytest.mark.parametrize(
    "processor", [pytest.param(each, marks=[] if each == "AVX2" else pytest.mark.slow) for each in PROCESSORS]
)
@pytest.mark.parametrize("name", OPS)
@pytest.mark.sample(8)
def test_workspaces(name: str, processor: str) -> None:
    """What an op allocates at its worst moment is its result and its workspace, which is of AVX-512 without AMX."""
    if not has(processor):
        pytest.skip(f"this machine has no {processor}")
    function, args = OPS[name]

    class One(nn.Module):
        def forward(self, *tensors: torch.Tensor) -> Any:
            rest = iter(tensors)
            return function(*[next(rest) if isinstance(a, torch.Tensor) else a for a in args])

    tensors = tuple(a for a in args if isinstance(a, torch.Tensor))
    memory = ic.count(trace_graph(One(), tensors)).memory
    expected = memory.peak_activation_bytes + BEYOND_COUNTS.get((name, processor), 0)
    assert expected == pytest.approx(peaks_on(processor)[name], rel=NEAR)

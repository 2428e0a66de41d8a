"""Engine graphs keep all products and weights of what they rewrite, however a model writes it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import pyinfercost as ic
from pyinfercost import _core

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("error::pyinfercost.errors.ConservationWarning")]

WIDTH, HEADS, TOKENS = 32, 4, 16
ENGINES = ("vllm", "trtllm", "llamacpp", "tensorrt", "onnxruntime")


class Block(nn.Module):
    """Words, what is tested, and a head."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.words, self.middle = nn.Embedding(50, WIDTH), middle
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.middle(self.words(ids))))


class Written(nn.Module):
    """A part whose result is written into memory that is read later."""

    def __init__(self, write: Callable[[torch.Tensor, nn.Module, torch.Tensor], None]) -> None:
        super().__init__()
        self.write = write
        self.part = nn.Sequential(nn.Linear(WIDTH, 64), nn.GELU(), nn.Linear(64, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = x.new_empty(x.shape)
        self.write(out, self.part, x)
        return out


def in_slices(out: torch.Tensor, part: nn.Module, x: torch.Tensor) -> None:
    for start in range(0, TOKENS, 8):
        out[:, start : start + 8] = part(x[:, start : start + 8])


def at_once(out: torch.Tensor, part: nn.Module, x: torch.Tensor) -> None:
    out.copy_(part(x))


def through_a_view(out: torch.Tensor, part: nn.Module, x: torch.Tensor) -> None:
    out.view(-1, WIDTH).copy_(part(x).view(-1, WIDTH))


def into_a_part(out: torch.Tensor, part: nn.Module, x: torch.Tensor) -> None:
    out.narrow(1, 0, TOKENS).copy_(part(x))


def into_views_made_before(out: torch.Tensor, part: nn.Module, x: torch.Tensor) -> None:
    for view, values in zip(out.split(8, dim=1), x.split(8, dim=1), strict=True):
        view.copy_(part(values))


def one_by_one(out: torch.Tensor, part: nn.Module, x: torch.Tensor) -> None:
    for place in range(2):
        out[:, place] = part(x[:, place])


class Attention(nn.Module):
    """Attention of products and a softmax, with something done to the queries, the scores and the weights."""

    def __init__(
        self,
        to_query: Callable[[torch.Tensor], torch.Tensor] = lambda query: query,
        to_scores: Callable[[torch.Tensor], torch.Tensor] = lambda scores: scores,
        to_weights: Callable[[torch.Tensor], torch.Tensor] = lambda weights: weights,
    ) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.to_query, self.to_scores, self.to_weights = to_query, to_scores, to_weights

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.to_query(self.q(x)), self.k(x), self.v(x)
        query, key, value = (each.unflatten(-1, (HEADS, -1)).transpose(1, 2) for each in (query, key, value))
        weights = self.to_weights(self.to_scores(query @ key.transpose(-1, -2)).softmax(-1))
        return (weights @ value).transpose(1, 2).flatten(2)


class Positions(Attention):
    """Scores of positions, which are products with queries, in the shape of the scores."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(HEADS, WIDTH // HEADS, TOKENS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (each(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for each in (self.q, self.k, self.v))
        scores = query @ key.transpose(-1, -2)
        places = torch.einsum("bhqc,hck->bhqk", query, self.table).unsqueeze(0).reshape_as(scores)
        return ((scores + places).softmax(-1) @ value).transpose(1, 2).flatten(2)


class WrittenPositions(Positions):
    """The same, written into the scores of all keys but the first, as vision models with a class token do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (each(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for each in (self.q, self.k, self.v))
        scores = query @ key.transpose(-1, -2)
        places = torch.einsum("bhqc,hck->bhqk", query, self.table)
        scores[..., 1:] = scores[..., 1:] + places[..., 1:]
        return (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)


class PositionsFirst(Positions):
    """The same, to which the scores are added."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (each(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for each in (self.q, self.k, self.v))
        places = torch.einsum("bhqc,hck->bhqk", query, self.table)
        places = places.reshape(2, HEADS, TOKENS, TOKENS)
        return ((places + query @ key.transpose(-1, -2)).softmax(-1) @ value).transpose(1, 2).flatten(2)


class Columns(nn.Module):
    """Weights times columns, as state spaces have them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(24, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.matmul(self.weight.unsqueeze(0), x.transpose(1, 2)).transpose(1, 2).mean(-1, keepdim=True)


class JoinedBiases(nn.Module):
    """Projections whose biases are parts of one that the forward joins, as `multi_head_attention_forward` has them."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layers = (self.q, self.k, self.v)
        biases = torch.cat([each.bias for each in layers]).chunk(3)
        query, key, value = (
            nn.functional.linear(x, each.weight, bias) for each, bias in zip(layers, biases, strict=True)
        )
        return nn.functional.scaled_dot_product_attention(query, key, value)


class Stacked(nn.Module):
    """A weight for each position, all of which read the first one."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(TOKENS, WIDTH, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        chosen = self.weights.index_select(0, torch.arange(TOKENS, device=x.device))
        return torch.matmul(x[:, :1].unsqueeze(-2), chosen.transpose(1, 2).unsqueeze(0)).squeeze(-2)


class Padded(Attention):
    """Queries and keys that are padded by zeros of their own dtype and device, in blocks, as audio models have them."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(WIDTH // HEADS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (each(x).unflatten(-1, (HEADS, -1)) for each in (self.q, self.k, self.v))
        query = query * 0.5 * self.scale
        blocks = []
        for heads in (query, key, value):
            padding = (heads.new_zeros(2, length, *heads.shape[2:]) for length in (0, 8))
            blocks.append(torch.cat([next(padding), heads, next(padding)], dim=1).unflatten(1, (3, 8)).transpose(2, 3))
        query, key, value = blocks
        return (
            ((query @ key.transpose(-1, -2)).softmax(-1) @ value).transpose(2, 3).flatten(1, 2)[:, :TOKENS].flatten(2)
        )


def masked_in_place(scores: torch.Tensor) -> torch.Tensor:
    hidden = torch.ones(1, 1, 1, TOKENS, dtype=torch.bool, device=scores.device)
    scores.masked_fill_(hidden.expand_as(scores), -1e4)
    return scores


def as_choices(weights: torch.Tensor) -> torch.Tensor:
    """Each query has one key; gradients would be those of the weights."""
    chosen = torch.zeros_like(weights).scatter_(-1, weights.max(-1, keepdim=True)[1], 1.0)
    return chosen - weights.detach() + weights


CASES = {
    "written in slices": lambda: Written(in_slices),
    "written at once": lambda: Written(at_once),
    "written through a view": lambda: Written(through_a_view),
    "written into a part": lambda: Written(into_a_part),
    "written into views made before": lambda: Written(into_views_made_before),
    "written one by one": lambda: Written(one_by_one),
    "queries scaled in place": lambda: Attention(to_query=lambda query: query.div_(2.0)),
    "scores masked in place": lambda: Attention(to_scores=masked_in_place),
    "weights that choose": lambda: Attention(to_weights=as_choices),
    "positions": Positions,
    "positions written into the scores": WrittenPositions,
    "positions first": PositionsFirst,
    "weights times columns": Columns,
    "joined biases": JoinedBiases,
    "stacked weights": Stacked,
    "padded queries": Padded,
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES)
def test_products_and_weights_are_kept(case: str, engine: str) -> None:
    graph = ic.capture(Block(CASES[case]()), torch.ones(2, TOKENS, dtype=torch.long))
    was, now = ic.count(graph).total, ic.count(ic.engine_graph(graph, engine)).total
    assert now.contraction_flops == was.contraction_flops
    assert (now.parameters, now.parameter_bytes) == (was.parameters, was.parameter_bytes)


class Doubled(nn.Module):
    """Attention whose mask, or whose scores, come from a chain in which each value is read twice."""

    def __init__(self, masked: bool) -> None:
        super().__init__()
        self.masked = masked
        self.attention = Attention(to_scores=self.to_scores)

    def to_scores(self, scores: torch.Tensor) -> torch.Tensor:
        if not self.masked:
            for _ in range(24):
                scores = scores * scores
            return scores
        hidden = torch.ones(TOKENS, TOKENS, dtype=torch.bool, device=scores.device).triu(1)
        for _ in range(60):
            hidden = hidden.logical_or(hidden)
        return scores.masked_fill(hidden, -1e4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x)


@pytest.mark.parametrize("masked", [True, False], ids=["mask", "scores"])
def test_each_node_before_a_softmax_is_looked_at_once(masked: bool) -> None:
    """2^60 paths lead through such a mask, and 2^24 through such scores: this ends, or takes more than a day."""
    graph = ic.capture(Block(Doubled(masked)), torch.ones(2, TOKENS, dtype=torch.long))
    now = ic.engine_graph(graph, "vllm")
    assert ic.count(now).total.contraction_flops == ic.count(graph).total.contraction_flops
    attention = next(node for node in now.nodes if node.op == "aten.scaled_dot_product_attention")
    assert bool(attention.argument("is_causal"))


def test_a_result_whose_parts_are_written_later_stays_a_result() -> None:
    class Scaled(nn.Module):
        """Boxes that are scaled one coordinate after another, as detectors do."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            boxes = x.relu().clone()
            boxes[..., 0] *= 2
            boxes[..., 1] *= 3
            return boxes

    graph = ic.capture(Scaled(), torch.ones(2, 4))
    for engine in ("tensorrt", "onnxruntime"):
        assert [t.shape for t in ic.engine_graph(graph, engine).outputs] == [(2, 4)]


def test_a_result_that_is_filled_stays_a_result() -> None:
    class Filled(nn.Module):
        """Logits in a part of a longer row, whose rest says that there is no such class."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(WIDTH, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rows = torch.full((x.shape[0], 16), -1e4, device=x.device)
            rows[:, :10] = self.layer(x).masked_fill(x[:, :1] > 0, 0.0)
            return rows

    graph = ic.capture(Filled(), torch.ones(2, WIDTH))
    for engine in ("tensorrt", "onnxruntime"):
        now = ic.engine_graph(graph, engine)
        assert ic.count(now).total.contraction_flops == ic.count(graph).total.contraction_flops == 2 * 2 * WIDTH * 10


def test_a_product_that_nobody_needs_is_not_joined_with_others() -> None:
    class Unneeded(Attention):
        """The values of a last layer that has no output."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores = self.q(x) @ self.k(x).transpose(-1, -2)
            _ = scores.softmax(-1) @ self.v(x)
            return scores @ x

    graph = ic.capture(Block(Unneeded()), torch.ones(2, TOKENS, dtype=torch.long))
    lost = 2 * 2 * TOKENS * (WIDTH * WIDTH + TOKENS * WIDTH)
    for engine in ENGINES:
        now = ic.engine_graph(graph, engine)
        assert ic.count(now).total.contraction_flops in (
            ic.count(graph).total.contraction_flops - each for each in (0, lost)
        )


def test_a_lost_product_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = ic.capture(Block(Attention()), torch.ones(2, TOKENS, dtype=torch.long))
    made = graph.without_lifetimes(), [("engine", 0.933)]
    monkeypatch.setattr(_core, "graph_of_engine", lambda given, engine: made)
    with pytest.warns(ic.errors.ConservationWarning, match=r"graph of vllm lacks 6\.70% of the contraction FLOPs"):
        ic.engine_graph(graph, "vllm")


class Remembering(nn.Module):
    """Attention whose cache is a plain attribute, of which slices are written and read."""

    def __init__(self) -> None:
        super().__init__()
        self.three = nn.Linear(WIDTH, 3 * WIDTH)
        self.keys, self.values = torch.zeros(4, 128, WIDTH), torch.zeros(4, 128, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, _ = x.shape
        query, key, value = self.three(x).chunk(3, dim=-1)
        self.keys[:batch, 40 : 40 + length] = key
        self.values[:batch, 40 : 40 + length] = value
        past = slice(0, 40 + length)
        return (query @ self.keys[:batch, past].transpose(1, 2)).softmax(-1) @ self.values[:batch, past]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cache_in_a_plain_attribute_keeps_what_is_written(engine: str) -> None:
    graph = ic.capture(Block(Remembering()).eval(), torch.ones(2, 1, dtype=torch.long))
    flops = ic.count(graph).total.contraction_flops
    assert flops == 2 * 2 * (WIDTH * 3 * WIDTH + 2 * 41 * WIDTH + WIDTH * 10)
    assert ic.count(ic.engine_graph(graph, engine)).total.contraction_flops == flops

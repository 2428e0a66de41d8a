"""Sizes that depend on data: names, bounds and defaults, and counts at a value equal to those of a run at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import pyinfercost as ic
from pyinfercost.sources.symbols import CaptureError

pytestmark = pytest.mark.torch

TOKENS, WIDTH, EXPERTS, CHOSEN = 32, 16, 8, 2
X = torch.empty(TOKENS, WIDTH, device="meta")


class Gated(nn.Module):
    """A router, experts, and what is done with them."""

    def __init__(self, run: Callable[[Any, torch.Tensor], Any]) -> None:
        super().__init__()
        self.gate = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.experts = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(EXPERTS))
        self.run = run

    def forward(self, x: torch.Tensor) -> Any:
        return self.run(self, x)


GATE_MACS = TOKENS * WIDTH * EXPERTS
EXPERT_MACS = WIDTH * WIDTH  # per token


def captured(run: Callable[[Any, torch.Tensor], Any], x: torch.Tensor = X, **options: Any) -> ic.Graph:
    graph = ic.capture(Gated(run), (x,), **options)
    again = ic.Graph.from_json(graph.to_json())
    assert again == graph
    assert again.sizes == graph.sizes
    assert ic.count(again).total.to_dict() == ic.count(graph).total.to_dict()
    assert ic.count(graph).unmodelled == {}
    return graph


def limits(graph: ic.Graph) -> dict[str, tuple[Any, Any]]:
    return {name: (size["default"], size["maximum"]) for name, size in graph.sizes.items()}


def selected(m: Any, x: torch.Tensor) -> torch.Tensor:
    return m.experts[0](x[m.gate(x)[:, 0] > 0])


LENGTHS: dict[str, tuple[Callable[[Any, torch.Tensor], Any], dict[str, tuple[int, int]]]] = {
    "mask": (selected, {"forward.nonzero": (32, 32)}),
    "nonzero": (lambda m, x: torch.nonzero(m.gate(x)), {"forward.nonzero": (256, 256)}),
    "where": (lambda m, x: torch.where(m.gate(x) > 0), {"forward.nonzero": (256, 256)}),
    "argwhere": (lambda m, x: torch.argwhere(m.gate(x)), {"forward.nonzero": (256, 256)}),
    "masked_select": (lambda m, x: torch.masked_select(x, m.gate(x)[:, :1] > 0), {"forward.nonzero": (32, 32)}),
    "unique": (lambda m, x: torch.unique(m.gate(x).argmax(-1)), {"forward.unique": (8, 8)}),
    "unique rows": (lambda m, x: torch.unique(x, dim=0), {"forward.unique": (32, 32)}),
    "bincount": (lambda m, x: torch.bincount(m.gate(x).argmax(-1)), {"forward.bincount": (8, 8)}),
    "one_hot": (lambda m, x: nn.functional.one_hot(m.gate(x).argmax(-1)), {"forward.one_hot": (8, 8)}),
    "repeated": (
        lambda m, x: x.repeat_interleave((m.gate(x)[:, 0] > 0).long() + 1, dim=0),
        {"forward.repeat_interleave": (64, 64)},
    ),
    "how many": (lambda m, x: x[: (m.gate(x)[:, 0] > 0).sum().item()], {"forward.item": (32, 32)}),
    "one of eight": (lambda m, x: x[m.gate(x).argmax(-1) == 3], {"forward.nonzero": (4, 32)}),
    # 1/0.3 of a row of a softmax are above 0.3 at most: 3 of 8, 106 of all.
    "softmax": (lambda m, x: torch.where(m.gate(x).softmax(-1) > 0.3), {"forward.nonzero": (106, 106)}),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_a_length_that_values_decide_is_a_named_size(name: str) -> None:
    run, expected = LENGTHS[name]
    graph = captured(run)
    assert limits(graph) == expected
    assert all("default: " in size["origin"] for size in graph.sizes.values())


@pytest.mark.parametrize("number", [0, 1, 2, 31, 32])
def test_a_count_at_a_value_is_the_work_of_that_many(number: int) -> None:
    graph = captured(selected)
    sizes: dict[str, Any] = {"forward.nonzero": number}
    bound = ic.count(graph, **sizes)
    assert bound.total.macs == GATE_MACS + number * EXPERT_MACS
    assert ic.count(captured(selected, **sizes)).total.macs == bound.total.macs
    # Of the rows that are selected: those read, as many written and read again, and results of that size.
    rows = {row.op: row.row for row in bound.layers if row.op in ("aten.index", "aten.linear")}
    assert rows["aten.index"].bytes_written == number * WIDTH * 4


def test_values_above_the_bound_are_refused() -> None:
    graph = captured(selected)
    with pytest.raises(ValueError, match=r"'forward.nonzero' must be from 0 to 32 in this graph, got 33"):
        ic.count(graph, **{"forward.nonzero": 33})
    with pytest.raises(ValueError, match=r"'forward.nonzero' .* must be from 0 to 32, got 33"):
        ic.capture(Gated(selected), (X,), **{"forward.nonzero": 33})
    with pytest.raises(ValueError, match=r"unknown size 'forward.nms'.*: forward.nonzero"):
        ic.capture(Gated(selected), (X,), **{"forward.nms": 1})


def test_bounds_and_defaults_follow_open_sizes() -> None:
    def run(m: Any, x: torch.Tensor) -> torch.Tensor:
        return m.experts[0](x[m.gate(x).argmax(-1) == 3])

    graph = captured(run, dynamic={0: {0: "tokens"}})
    tokens = ic.Expr.size("tokens")
    assert graph.sizes["forward.nonzero"]["maximum"] == tokens
    for number in (8, 32, 33):
        share = (
            number + EXPERTS - 1 - 3
        ) // EXPERTS  # what is left over goes to the first ones, and this is the fourth
        assert ic.count(graph, tokens=number).total.macs == number * WIDTH * EXPERTS + share * EXPERT_MACS
        assert ic.estimate(graph, hardware="l4", tokens=number).sizes["forward.nonzero"] == share
    found: dict[str, Any] = {"forward.nonzero": 9}
    assert ic.count(graph, tokens=10, **found).total.macs == 10 * WIDTH * EXPERTS + 9 * EXPERT_MACS
    with pytest.raises(ValueError, match=r"'forward.nonzero' is 9; expected at least 0 and at most 8, which is tokens"):
        ic.count(graph, tokens=8, **found)
    axis: dict[str, Any] = {"tokens": [8, 64], "forward.nonzero": [1, 5]}
    grid = ic.sweep(graph, hardware="l4", **axis)
    for point in range(len(grid)):
        sizes: dict[str, Any] = {name: int(grid[name][point]) for name in axis}
        assert grid["latency_s"][point] == ic.estimate(graph, hardware="l4", **sizes).latency_s
    by_default = ic.sweep(graph, hardware="l4", tokens=[8, 64])
    assert by_default["latency_s"][1] == ic.estimate(graph, hardware="l4", tokens=64).latency_s
    assert "forward.nonzero" not in by_default


def routed_by_where(m: Any, x: torch.Tensor) -> torch.Tensor:
    weights, chosen = torch.topk(m.gate(x), CHOSEN)
    out = torch.zeros_like(x)
    for i, expert in enumerate(m.experts):
        token, place = torch.where(chosen == i)
        if token.numel() == 0:
            continue
        out[token] += expert(x[token]) * weights[token, place, None]
    return out


def routed_by_one_hot(m: Any, x: torch.Tensor) -> torch.Tensor:
    weights, chosen = torch.topk(m.gate(x).softmax(-1), CHOSEN)
    out = torch.zeros_like(x)
    mask = nn.functional.one_hot(chosen, EXPERTS).permute(2, 1, 0)
    hit = torch.greater(mask.sum(dim=(-1, -2)), 0).nonzero()
    for at, row in enumerate(hit):
        if row[0] == EXPERTS:
            continue
        place, token = torch.where(mask[row[0]])
        out.index_add_(0, token, m.experts[at](x[token]) * weights[token, place, None])
    return out


def routed_by_any(m: Any, x: torch.Tensor) -> torch.Tensor:
    chosen, out = m.gate(x).topk(CHOSEN).indices, torch.zeros_like(x)
    for i, expert in enumerate(m.experts):
        mask = (chosen == i).sum(-1) > 0
        if mask.any():
            token = torch.where(chosen == i)[0]
            out[token] += expert(x[token])
    return out


def routed_by_split(m: Any, x: torch.Tensor) -> torch.Tensor:
    chosen = m.gate(x).topk(CHOSEN).indices.flatten()
    order = chosen.argsort()
    counts = torch.bincount(chosen, minlength=EXPERTS).tolist()
    parts = x.repeat_interleave(CHOSEN, dim=0)[order].split(counts)
    return torch.cat([expert(part) for expert, part in zip(m.experts, parts, strict=True)])


def routed_by_items(m: Any, x: torch.Tensor) -> torch.Tensor:
    chosen = m.gate(x).topk(CHOSEN).indices.flatten()
    counts = nn.functional.one_hot(chosen, EXPERTS).sum(0)
    rows, first, parts = x.repeat_interleave(CHOSEN, dim=0)[chosen.argsort()], 0, []
    for i, expert in enumerate(m.experts):
        number = counts[i].item()
        parts.append(expert(rows[first : first + number]))
        first += number
    return torch.cat(parts)


ROUTERS = [routed_by_where, routed_by_one_hot, routed_by_any, routed_by_split, routed_by_items]


@pytest.mark.parametrize("tokens", [TOKENS, 30])
@pytest.mark.parametrize("run", ROUTERS, ids=lambda run: run.__name__)
@pytest.mark.sample(3)
def test_routing_falls_evenly_on_experts(run: Callable[[Any, torch.Tensor], Any], tokens: int) -> None:
    graph = captured(run, torch.empty(tokens, WIDTH, device="meta"))
    macs = ic.count(graph).total.macs
    gate = tokens * WIDTH * EXPERTS
    assert gate + tokens * CHOSEN * EXPERT_MACS <= macs <= gate + (tokens * CHOSEN + EXPERTS - 1) * EXPERT_MACS
    if tokens == TOKENS:  # shares without a remainder
        assert macs == gate + tokens * CHOSEN * EXPERT_MACS


def test_shares_of_a_split_add_up_where_there_are_fewer_things_than_places() -> None:
    graph = captured(routed_by_split, torch.empty(1, WIDTH, device="meta"))
    assert sum(graph.size_values({}).values()) == CHOSEN
    assert ic.count(graph).total.macs == WIDTH * EXPERTS + CHOSEN * EXPERT_MACS


def test_a_truth_by_default_is_a_size_that_a_capture_can_set() -> None:
    assert captured(routed_by_any).sizes["forward.any"]["maximum"] == 1
    one_less = captured(routed_by_any, **{"forward.any_3": 0})
    macs = ic.count(one_less).total.macs
    assert macs == GATE_MACS + (EXPERTS - 1) * (TOKENS * CHOSEN // EXPERTS) * EXPERT_MACS
    with pytest.raises(ValueError, match=r"holds only where forward.any == 1"):
        ic.count(captured(routed_by_any), **{"forward.any": 0})


def test_a_loop_until_all_have_ended_runs_to_its_end() -> None:
    def run(m: Any, x: torch.Tensor) -> torch.Tensor:
        for _ in range(5):
            x = x + 1
            if m.gate(x).argmax(-1).eq(0).all():
                break
        return x

    assert ic.count(captured(run)).total.macs == 5 * GATE_MACS
    assert ic.count(captured(run, **{"forward.all_2": 1})).total.macs == 2 * GATE_MACS


def test_a_pattern_stands_for_several_sizes() -> None:
    graph = captured(routed_by_where)
    sizes: dict[str, Any] = {"forward.nonzero*": 5, "forward.nonzero_2": 3}
    assert ic.count(graph, **sizes).total.macs == GATE_MACS + (7 * 5 + 3) * EXPERT_MACS
    assert ic.count(captured(routed_by_where, **sizes)).total.macs == GATE_MACS + (7 * 5 + 3) * EXPERT_MACS
    with pytest.raises(ValueError, match=r"no size that depends on data matches 'layers\*'"):
        ic.count(graph, **{"layers*": 5})


def test_a_mask_has_one_length_however_often_it_is_used() -> None:
    def run(m: Any, x: torch.Tensor) -> torch.Tensor:
        mask = m.gate(x)[:, 0] > 0
        kept = x[mask] + x[torch.where(mask)[0]]
        mask[0] = True
        return kept, x[mask]

    assert list(captured(run).sizes) == ["forward.nonzero", "forward.nonzero_2"]  # the second after the write


def test_the_module_names_the_size() -> None:
    class Inner(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[x.abs().sum(-1) > 1]

    module = nn.ModuleDict({"a-b": nn.Sequential(nn.Identity(), Inner())})
    module.forward = lambda x: module["a-b"](module["a-b"](x))  # type: ignore[method-assign]
    assert list(ic.capture(module, (X,)).sizes) == ["a_b.1.nonzero", "a_b.1.nonzero_2"]
    assert list(ic.capture(nn.Sequential(Inner()), (X,)).sizes) == ["forward.0.nonzero"]


def test_values_that_follow_from_inputs_give_the_true_length() -> None:
    class Masked(nn.Module):
        def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return x[mask] * 2

    mask = torch.arange(TOKENS) < 5
    graph = ic.capture(Masked(), (torch.zeros(TOKENS, WIDTH), mask))
    assert graph.sizes == {}
    assert ic.count(graph).total.pointwise_flops == 5 * WIDTH


def test_what_nothing_bounds_has_to_be_given() -> None:
    class Cut(nn.Module):
        def forward(self, x: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
            return x[: length.max().item()] * 2

    inputs = (X, torch.empty(4, dtype=torch.int64, device="meta"))
    with pytest.raises(CaptureError, match=r"or pass a value: capture\(\.\.\., \*\*\{'forward.item': 12\}\)"):
        ic.capture(Cut(), inputs)
    graph = ic.capture(Cut(), inputs, **{"forward.item": 12})
    assert ic.count(graph).total.pointwise_flops == 4 + 12 * WIDTH  # the maximum of 4, and the product


def test_a_question_about_weights_without_a_sensible_answer_stays_an_error() -> None:
    def run(m: Any, x: torch.Tensor) -> torch.Tensor:
        return x if m.gate(x).sum() > 0 else x + 1

    with pytest.raises(CaptureError, match="and values only if they follow from real inputs"):
        ic.capture(Gated(run), (X,))


def test_a_mask_of_ones_masks_nothing_wherever_its_places_come_from() -> None:
    class Padded(nn.Module):
        def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            # Which place is chosen depends on values that are not there, and every place holds a one.
            mask = torch.cat([mask[:, x.argmax(0)[:1] % 3], mask], dim=1).bool()
            return x if mask.all() else x * 2

    ones = torch.ones(2, 3, dtype=torch.int32)
    assert "aten.mul" not in ic.count(ic.capture(Padded(), (X, ones))).by_op()
    ones[0, 2] = 0
    graph = ic.capture(Padded(), (X, ones))  # not all of them any more: the way that is not shorter
    assert "aten.mul" in ic.count(graph).by_op()
    assert graph.sizes["forward.all"]["default"] == 0


def test_a_forward_goes_on_where_its_check_of_itself_holds() -> None:
    def run(m: Any, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = m.gate(x)
        torch._check_tensor_all(y >= 0, lambda: "below zero")
        return y.sqrt()

    assert ic.count(captured(run)).total.macs == GATE_MACS


def test_a_tensor_may_be_written_over_with_what_follows_from_itself() -> None:
    def run(m: Any, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = m.gate(x).softmax(-1)
        y[:, 0] += 1e-6  # adds to a view, and puts the view back in its own place
        return y[y > 0.5]

    assert captured(run).sizes["forward.nonzero"]["maximum"] == TOKENS * EXPERTS


def test_a_mask_and_its_opposite_together_have_a_known_length() -> None:
    def run(m: Any, x: torch.Tensor) -> torch.Tensor:
        mask = m.gate(x) > 0
        both = torch.cat([x[:, :EXPERTS], x[:, :EXPERTS]], 1)[torch.cat([mask, ~mask], 1)]
        return both.reshape(TOKENS, EXPERTS)

    graph = captured(run)
    assert graph.sizes == {}
    assert graph.outputs[0].shape == (TOKENS, EXPERTS)


def test_a_check_of_arguments_passes() -> None:
    # A distribution asks whether all its probabilities are valid before it raises.
    graph = captured(lambda m, x: torch.distributions.Categorical(logits=m.gate(x), validate_args=True).entropy())
    assert graph.outputs[0].shape == (TOKENS,)


def test_a_loop_over_a_length_fixes_it() -> None:
    def run(m: Any, x: torch.Tensor) -> torch.Tensor:
        return sum(m.experts[0](row) for row in x[m.gate(x)[:, 0] > 0])

    graph = captured(run)
    assert ic.count(graph).total.macs == GATE_MACS + TOKENS * EXPERT_MACS
    with pytest.raises(ValueError, match=r"holds only where forward.nonzero == 32.*that value of forward.nonzero"):
        ic.count(graph, **{"forward.nonzero": 7})
    assert ic.count(captured(run, **{"forward.nonzero": 7})).total.macs == GATE_MACS + 7 * EXPERT_MACS


def test_programs_name_sizes_as_a_trace_does(tmp_path: Path) -> None:
    module = Gated(selected)
    x = torch.zeros(TOKENS, WIDTH)
    dims = {"x": {0: torch.export.Dim("tokens", max=4096)}}
    program = torch.export.export(module, (x,), dynamic_shapes=dims, strict=False)
    torch.export.save(program, tmp_path / "model.pt2")
    traced = ic.capture(module, (x,), dynamic={0: {0: "batch"}})
    for graph in (ic.capture(program), ic.capture(tmp_path / "model.pt2")):
        assert graph.sizes["forward.nonzero"] == traced.sizes["forward.nonzero"]
        sizes: dict[str, Any] = {"batch": 10, "forward.nonzero": 3}
        assert ic.count(graph, **sizes).total.macs == ic.count(traced, **sizes).total.macs
        assert ic.count(graph, batch=10).total.macs == ic.count(traced, batch=10).total.macs


def test_reports_show_values_bounds_and_choices() -> None:
    profile = ic.profile(Gated(routed_by_where), (X,), **{"forward.nonzero_2": 7})
    text = profile.to_text(width=200)
    assert "forward.nonzero* x7  8 of at most 64: elements of a mask that are true; default: in equal shares" in text
    assert "forward.nonzero_2" in text
    assert "forward.nonzero" not in text.partition("precision")[0]
    document = profile.to_dict()
    assert document["sizes"]["forward.nonzero"] == 8
    assert document["data_sizes"][0] == {
        "name": "forward.nonzero",
        "value": 8,
        "bound": 64,
        "bound_expression": "64",
        "default_expression": "8",
        "of": "elements of a mask that are true",
        "choice": "default: in equal shares",
    }
    assert "forward.nonzero" in profile.to_markdown()


@pytest.mark.parametrize(
    ("setting", "code", "message"),
    [
        ("foo=9", 2, "no size 'foo'; expected batch or image_size"),
        ("forward.nms=9", 2, "unknown size 'forward.nms'; the sizes of this model that depend on data: none"),
        ("batch=2", 0, ""),
    ],
)
def test_a_size_that_a_model_does_not_have_is_a_wrong_command(setting: str, code: int, message: str) -> None:
    pytest.importorskip("torchvision")
    from click.testing import CliRunner

    from pyinfercost.cli import main

    result = CliRunner().invoke(main, ["profile", "torchvision:squeezenet1_1", "--set", setting])
    assert result.exit_code == code
    assert message in result.output

"""Sensitivity of layers: losses are those of changed modules, savings those of fresh estimates."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from support.small_transformers import DECODER
from support.tiny_sensitivities import FORMATS, PI, Counting, run
from support.tiny_tradeoffs import X, closeness, tiny
from torch import nn

import pyinfercost as ic
from pyinfercost.errors import InputTypeError
from pyinfercost.formats.table import FormatError
from pyinfercost.tradeoffs import TradeoffError
from pyinfercost.tradeoffs.candidates import int8_weight_only, magnitude
from pyinfercost.tradeoffs.modules import signature_of

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def found() -> ic.results.Sensitivity:
    return run()


# --- figures -------------------------------------------------------------------------------------------------------


def test_each_layer_and_format_has_a_row(found: ic.results.Sensitivity) -> None:
    assert found.layers == ("0", "3", "5")
    assert found.formats == FORMATS
    assert len(found.rows) == 12
    assert found.original.accuracy == 1.0
    applied = {(row.layer, row.format): row.applied for row in found.rows if row.applicable}
    assert applied == {
        ("0", "fp16"): "cast",
        ("0", "int8_dynamic"): "rounded",
        **{(layer, "fp16"): "cast" for layer in "35"},
        **{(layer, form): "torchao" for layer in "35" for form in ("int8_wo", "int8_dynamic")},
        **{(layer, "2:4"): "zeros" for layer in "35"},
    }
    assert not found["0", "int8_wo"].applicable
    assert "applies to no layer" in str(found["0", "int8_wo"].error)
    with pytest.raises(KeyError, match="there is no row"):
        found["0", "int4_wo"]


def test_losses_are_those_of_the_candidate_in_one_layer(found: ic.results.Sensitivity) -> None:
    assert found["3", "int8_wo"].accuracy == closeness(int8_weight_only()(tiny(), "3"))
    for row in found.rows:
        if row.applicable:
            assert row.accuracy is not None
            assert row.lost == 1.0 - row.accuracy
            assert 0 < row.lost < 0.1


def test_savings_are_those_of_fresh_estimates(found: ic.results.Sensitivity) -> None:
    graph = ic.capture(tiny(), X)
    before = ic.estimate(graph, hardware=PI, price=0.1)
    assert found.original.latency_s == before.latency_s
    for row in found.rows:
        if not row.applicable:
            continue
        key = "prune" if row.format == "2:4" else "quantize"
        changed = ic.whatif(graph, **{key: {row.layer: row.format}})
        after = ic.estimate(changed, hardware=PI, price=0.1)
        assert row.saved_s == before.latency_s - after.latency_s
        assert row.saved_j == before.energy_j - after.energy_j
        assert row.saved_usd == before.cost_usd - after.cost_usd
        assert row.saved_bytes == ic.count(graph).total.parameter_bytes - ic.count(changed).total.parameter_bytes


def test_all_layers_together_are_evaluated_and_estimated_beside_the_sums(found: ic.results.Sensitivity) -> None:
    graph = ic.capture(tiny(), X)
    for whole in found.whole:
        rows = [row for row in found.rows if row.format == whole.format and row.applicable]
        assert whole.layers == len(rows)
        assert whole.added_lost == pytest.approx(sum(row.lost for row in rows if row.lost is not None))
        saved = sum(row.saved_s for row in rows if row.saved_s is not None)
        assert whole.added_latency_s == pytest.approx(found.original.latency_s - saved)
        changed = ic.whatif(graph, **{"prune" if whole.format == "2:4" else "quantize": whole.format})
        assert whole.figures.latency_s == ic.estimate(changed, hardware=PI, price=0.1).latency_s
    of_int8 = next(whole for whole in found.whole if whole.format == "int8_wo")
    assert of_int8.figures.accuracy == closeness(int8_weight_only()(tiny()))


def test_a_loss_is_lost_where_it_grows() -> None:
    found = run(["fp16"], evaluate=lambda module: 1 - closeness(module), maximize=False)
    assert found.original.accuracy == 0.0
    assert all(row.lost == row.accuracy for row in found.rows)


def test_dollars_and_joules_are_unknown_without_a_price_and_a_power(found: ic.results.Sensitivity) -> None:
    assert all(row.saved_usd is None for row in run(["fp16"], price=None).rows)
    assert "USD" in str(found)
    assert "USD" not in str(run(["fp16"], price=None))


def test_kernels_of_torchao_are_those_of_its_modules() -> None:
    on = {"hardware": "epyc-7742"}
    found = run(["int8_wo"], kernels="torchao", **on)
    graph = ic.whatif(ic.capture(tiny(), X), quantize={"3": "int8_wo"}, kernels="torchao")
    assert found["3", "int8_wo"].saved_s == found.original.latency_s - ic.estimate(graph, price=0.1, **on).latency_s
    assert "kernels of torchao" in str(found)


def test_both_tables_state_their_kernels() -> None:
    options: dict[str, Any] = {"evaluate": lambda _: 1.0, "inputs": X, "hardware": "l4"}
    modules, engines = "kernels of the evaluated modules", "kernels of serving engines, not of the evaluated modules"
    assert modules in str(ic.tradeoff(tiny(), {"int8": int8_weight_only()}, **options))
    assert engines in " ".join(str(ic.sensitivity(tiny(), ["int8_wo"], **options)).split())
    torchao = str(ic.sensitivity(tiny(), ["int8_wo"], kernels="torchao", **options))
    assert "kernels of torchao" in torchao
    assert engines not in " ".join(torchao.split())


def test_the_model_and_the_mode_stay(found: ic.results.Sensitivity) -> None:
    model = nn.Sequential(tiny(), nn.Dropout(0.5)).train()
    before = signature_of(model)
    result = run(["int8_wo"], model)
    assert signature_of(model) == before
    assert model.training
    assert result.original.accuracy == 1.0, "dropout is off"
    assert result["0.3", "int8_wo"].lost == found["3", "int8_wo"].lost


def test_a_format_without_a_unit_on_the_machine() -> None:
    rows = {row.layer: row for row in run(["fp8_dynamic", "fp8_wo"], hardware="t4").rows if row.format == "fp8_dynamic"}
    assert rows["3"].error == "t4 has no unit for products of float8"
    assert run(["fp8_dynamic"], hardware="l4")["3", "fp8_dynamic"].applicable


# --- layers and groups ---------------------------------------------------------------------------------------------


def test_a_pattern_is_one_layer() -> None:
    found = run(["int8_wo"], layers=["[35]", "0"])
    assert found.layers == ("[35]", "0")
    whole = next(whole for whole in run(["int8_wo"]).whole if whole.format == "int8_wo")
    row = found["[35]", "int8_wo"]
    assert row.accuracy == whole.figures.accuracy
    assert row.saved_s == found.original.latency_s - whole.figures.latency_s


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["7"], "no layer with a weight matches '7'; there are 0, 3, 5"),
        (["[35]", "3"], "'3' is in '[35]' and in '3'; name it once"),
        ([], "layers is empty"),
    ],
)
def test_layers_that_do_not_fit(layers: list[str], message: str) -> None:
    with pytest.raises(TradeoffError, match=re.escape(message)):
        run(["int8_wo"], layers=layers)


def test_a_module_without_a_product_is_not_changed_by_a_format() -> None:
    found = run(["int8_wo"], nn.Sequential(tiny()), layers=["0"])
    assert "computes no product with a weight itself; name its layers, such as '0.*'" in str(found.rows[0].error)


def test_a_layer_called_like_a_pattern_is_itself() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleDict({"a[0]": nn.Linear(32, 32), "a0": nn.Linear(32, 32)})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.parts["a0"](self.parts["a[0]"](x))

    x = torch.randn(2, 32)
    found = run(["int8_wo"], Named(), inputs=x, evaluate=lambda model: float(model(x).detach().sum()))
    assert found["parts.a[0]", "int8_wo"].saved_bytes == found["parts.a0", "int8_wo"].saved_bytes > 0


@pytest.mark.slow
def test_engines_fuse_what_groups_keep_together() -> None:
    """A serving engine runs queries, keys and values as one product, which a format of one of them breaks apart."""
    transformers = pytest.importorskip("transformers")
    wide = {"hidden_size": 1024, "intermediate_size": 2048, "num_attention_heads": 8, "head_dim": 128}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**(DECODER | wide))).eval()
    inputs = {"input_ids": torch.arange(16).reshape(1, 16)}
    on = {"hardware": "l4", "engine": "vllm", "precision": "fp16"}

    def evaluate(module: nn.Module) -> float:
        with torch.no_grad():
            return float(module(**inputs).logits.double().square().mean())

    names = ["*.0.self_attn.[qkv]_proj", *(f"model.layers.1.self_attn.{name}_proj" for name in "qkv")]
    found = run(["fp8_wo"], model, inputs=inputs, evaluate=evaluate, layers=names, price=None, **on)
    together, *alone = (row.saved_s for row in found.rows)
    assert together is not None
    assert together > sum(saved for saved in alone if saved is not None)


# --- candidates of the caller --------------------------------------------------------------------------------------


def thinner(model: nn.Sequential, path: str) -> nn.Module:
    """Remove half of the hidden units after a layer: a change of two layers, whose cost only a capture knows."""
    first, second = model[3], model[5]
    thin_first, thin_second = nn.Linear(256, 16), nn.Linear(16, 10)
    with torch.no_grad():
        thin_first.weight.copy_(first.weight[:16])
        thin_first.bias.copy_(first.bias[:16])
        thin_second.weight.copy_(second.weight[:, :16])
        thin_second.bias.copy_(second.bias)
    model[3], model[5] = thin_first, thin_second
    return model


def test_changed_modules_are_captured() -> None:
    found = run({"half": magnitude(0.5), "thin": thinner}, layers=["3"])
    half, thin = found.rows
    assert (half.applied, half.saved_s, half.saved_bytes) == ("own", 0.0, 0), "dense kernels multiply zeros"
    assert half.accuracy == closeness(magnitude(0.5)(tiny(), "3"))
    after = ic.profile(thinner(tiny(), "3"), X, hardware=PI).estimate
    assert thin.saved_s == found.original.latency_s - after.latency_s > 0
    assert thin.saved_bytes == 4 * (256 * 16 + 16 + 16 * 10)


def test_a_format_of_the_callers_own_costs_what_the_format_does() -> None:
    calls: list[str] = []

    def rounded(model: nn.Module, path: str) -> nn.Module:
        calls.append(path)
        part: Any = model.get_submodule(path)
        part.weight.data = part.weight.data.round(decimals=1)
        return model

    found = run({"int4_wo": rounded, "int8_wo": None}, layers=["3"])
    own, usual = found["3", "int4_wo"], found["3", "int8_wo"]
    assert (own.applied, usual.applied) == ("own", "torchao")
    assert own.saved_s == run(["int4_wo"], layers=["3"]).rows[0].saved_s
    assert calls == ["3"], "alone is the same as in all layers"


def test_a_failing_candidate_is_a_row_and_others_go_on() -> None:
    def broken(model: nn.Module, path: str) -> nn.Module:
        raise RuntimeError("no such kernel")

    found = run({"broken": broken, "int8_wo": None}, layers=["3"])
    assert found["3", "broken"].error == "RuntimeError: no such kernel"
    assert found["3", "int8_wo"].error is None
    assert "no such kernel" in str(found)


def test_a_failing_evaluation_is_a_row_and_the_original_is_an_error() -> None:
    def evaluate(model: nn.Module) -> float:
        if isinstance(model[3].weight, nn.Parameter) and type(model[3].weight.data) is torch.Tensor:
            return closeness(model)
        raise RuntimeError("out of memory")

    found = run(["int8_wo"], evaluate=evaluate)
    assert found["3", "int8_wo"].error == "RuntimeError: out of memory"
    assert found["5", "int8_wo"].lost is not None
    assert found.whole[0].error == "RuntimeError: out of memory"
    assert found.whole[0].added_lost is None
    assert "failed" in str(found)
    with pytest.raises(TradeoffError, match="the unchanged model fails: InputError: evaluate returned nan"):
        run(["int8_wo"], evaluate=lambda model: float("nan"))


# --- arguments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formats", "options", "error", "message"),
    [
        ("int8_wo", {}, InputTypeError, "formats is 'int8_wo'; expected names of formats"),
        ([], {}, TradeoffError, "formats is empty"),
        (["int7_wo"], {}, FormatError, "unknown format 'int7_wo'"),
        (["original"], {}, TradeoffError, "reserved"),
        ([3], {}, InputTypeError, "a format is named 3"),
        ({"mine": 3}, {}, InputTypeError, "format 'mine' is of type int"),
        ({"mine": tiny}, {}, InputTypeError, "candidate 'mine' does not take the path of a layer"),
        (["fp16"], {"evaluate": 3}, InputTypeError, "evaluate is of type int"),
        (["fp16"], {"inputs": None}, TradeoffError, "neither inputs nor graph is given"),
        (["fp16"], {"layers": "3"}, InputTypeError, "expected an iterable of paths or patterns, such as ['3']"),
        (["fp16"], {"model": 3}, InputTypeError, "model is of type int"),
        (["fp16"], {"hardware": "l5"}, ValueError, "l5"),
    ],
)
def test_arguments_that_do_not_fit(formats: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        run(formats, **options)


def test_costs_of_another_graph() -> None:
    graph = ic.capture(tiny(), X, dynamic={0: {0: "batch"}})
    found = run(["int8_wo", "int8_static"], graph=graph, sizes={"batch": 64})
    assert found.original.latency_s == ic.estimate(graph, hardware=PI, batch=64).latency_s
    without = run(["int8_wo", "int8_static"], graph=graph, inputs=None)
    assert "needs the range of the inputs of 0; pass inputs" in str(without["0", "int8_static"].error)
    with pytest.raises(TradeoffError, match="'half' is no format"):
        run({"half": magnitude(0.5)}, graph=graph)


def test_progress() -> None:
    steps: list[tuple[int, int]] = []
    run(["fp16", "int8_wo"], progress=lambda begun, all_steps: steps.append((begun, all_steps)))
    assert steps == [(step, 8) for step in range(9)], "the original, fp16 of 3 and int8_wo of 2, each in all"


# --- resuming ------------------------------------------------------------------------------------------------------


def test_finished_evaluations_are_not_made_again(tmp_path: Path) -> None:
    path = tmp_path / "accuracies.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run(evaluate=Counting(stop_at=5), resume=path)
    second = Counting()
    result = run(evaluate=second, resume=path)
    assert second.calls == 1 + 10 + 4 - 4, "the original, ten rows and four formats, without the four finished"
    assert result.rows == run().rows
    assert result.whole == run().whole


def test_the_file_serves_other_machines_and_not_other_models(tmp_path: Path, found: ic.results.Sensitivity) -> None:
    path = tmp_path / "accuracies.jsonl"
    run(resume=path)
    count = Counting()
    result = run(hardware="l4", execution="compiled", price=1.0, evaluate=count, resume=path)
    assert count.calls == 0
    assert [row.lost for row in result.rows] == [row.lost for row in found.rows]
    assert result.original.latency_s < found.original.latency_s
    with pytest.raises(TradeoffError, match="model was"):
        run(model=magnitude(0.1)(tiny()), resume=path)


def test_a_file_of_trade_offs_and_other_candidates_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    ic.tradeoff(tiny(), {"half": magnitude(0.5)}, evaluate=closeness, inputs=X, hardware=PI, resume=path)
    with pytest.raises(TradeoffError, match=r"is of pyinfercost\.tradeoff 1; expected pyinfercost\.sensitivity 1"):
        run(resume=path)
    other = tmp_path / "other.jsonl"
    run({"zeros": magnitude(0.5)}, resume=other)
    count = Counting()
    with pytest.raises(TradeoffError, match=re.escape("magnitude(0.5), own, but it is")):
        run({"zeros": magnitude(0.6)}, evaluate=count, resume=other)
    assert count.calls == 0, "refused before anything is evaluated"


# --- reports -------------------------------------------------------------------------------------------------------


def test_the_report_has_rows_sums_and_what_does_not_apply(found: ic.results.Sensitivity) -> None:
    text = found.to_text()
    assert "One layer in one format" in text
    assert re.search(r"int8_wo +torchao +\+0\.0003", text)
    assert re.search(r"No kernel.*\nint8_wo +0\n2:4 +0\n", text)
    assert re.search(r"int8_wo +2 ", text.partition("One format in all")[2])
    assert json.loads(found.to_json())["schema_version"] == 1
    document = json.loads(found.to_json())["sensitivity"]
    assert len(document["rows"]) == 12
    assert document["whole"][0]["figures"]["latency_s"] == found.whole[0].figures.latency_s
    assert found.to_csv().splitlines()[0].startswith("layer,format,applied,accuracy,lost,saved_s")


def test_many_rows_are_cut_to_the_largest_savings(
    monkeypatch: pytest.MonkeyPatch, found: ic.results.Sensitivity
) -> None:
    monkeypatch.setattr("pyinfercost.report.sensitivity._LISTED", 2)
    text = found.to_text()
    assert "The 2 largest savings of 10 rows; to_csv() has all." in text
    largest = sorted((row for row in found.rows if row.saved_s is not None), key=lambda row: -(row.saved_s or 0))[:2]
    assert all(re.search(rf"^{row.layer} +{row.format} ", text, re.MULTILINE) for row in largest)

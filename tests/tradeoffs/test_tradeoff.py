"""Trade-offs of accuracy and cost: applied candidates, and rows after errors and interrupts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.tiny_tradeoffs import CPU, WANTED, X, broken, closeness, run, tiny
from torch import nn
from torch.nn.utils import prune

import pyinfercost as ic
from pyinfercost.results.tradeoff import TradeoffRow
from pyinfercost.tradeoffs import TradeoffError
from pyinfercost.tradeoffs.candidates import cast, channels, int8_dynamic, int8_weight_only, magnitude, n_of_m
from pyinfercost.tradeoffs.front import front
from pyinfercost.tradeoffs.modules import copy_of, signature_of

pytestmark = pytest.mark.torch

# --- rows ----------------------------------------------------------------------------------------------------------


def test_each_candidate_is_applied_for_real_to_a_copy() -> None:
    model = tiny()
    before = signature_of(model)
    result = run({"half": magnitude(0.5), "2:4": n_of_m(), "rows": channels(0.25), "int8": int8_weight_only()}, model)
    assert signature_of(model) == before
    assert [row.name for row in result.rows] == ["original", "half", "2:4", "rows", "int8"]
    original, half, groups, rows, int8 = result.rows
    assert (original.accuracy, original.lost, original.zero_share) == (1.0, 0.0, 0.0)
    assert all(row.error is None and row.lost == 1.0 - row.accuracy > 0 for row in result.rows[1:])
    weights, biases = 4 * 9 + 256 * 32 + 32 * 10, 4 + 32 + 10
    assert half.zero_share == pytest.approx(weights / 2 / (weights + biases))
    assert groups.structure == "2:4"
    assert rows.zero_rows == 4 // 4 + 32 // 4 + round(10 / 4)
    kept = [part.weight for part in int8_weight_only()(tiny()) if isinstance(part, nn.Linear)]
    stored = sum(getattr(weight, name).nbytes for weight in kept for name in weight.__tensor_flatten__()[0])
    assert int8.parameter_bytes == stored + 4 * (4 * 9 + biases)
    assert 256 * 32 + 32 * 10 < stored < 1.1 * (256 * 32 + 32 * 10)


def test_masks_save_neither_time_nor_bytes_on_dense_kernels() -> None:
    result = run({"half": magnitude(0.5), "rows": channels(0.5), "with masks": magnitude(0.5, keep_masks=True)})
    original, half, rows, masked = result.rows
    for row in (half, rows):
        assert (row.latency_s, row.parameter_bytes) == (original.latency_s, original.parameter_bytes)
    assert masked.latency_s > original.latency_s  # the product with the mask runs in each forward
    assert "so pruning saves no time" in str(result)


def test_figures_are_those_of_a_profile_of_the_changed_module() -> None:
    row = run({"int8": int8_dynamic()}, price=1.0)["int8"]
    wanted = ic.profile(int8_dynamic()(tiny().eval()), X, hardware=CPU, price=1.0)
    assert row.latency_s == wanted.estimate.latency_s
    assert row.energy_j == wanted.estimate.energy_j
    assert row.cost_usd == wanted.estimate.cost_usd
    assert row.peak_memory_bytes == wanted.counts.total.peak_memory_bytes


def test_a_cast_model_takes_and_gives_floats() -> None:
    result = run({"bf16": cast("bf16"), "fp16": cast("fp16")})
    for name in ("bf16", "fp16"):
        assert result[name].error is None
        assert 0 < result[name].lost < 0.1
        assert result[name].parameter_bytes * 2 == result["original"].parameter_bytes


def test_dropout_is_off_and_a_loss_is_less_lost_where_it_is_less() -> None:
    model = nn.Sequential(tiny(), nn.Dropout(0.5)).train()
    result = run(
        {"half": magnitude(0.5)}, model, evaluate=lambda module: 1 - closeness(module), maximize=False, inputs=(X,)
    )
    assert result["original"].accuracy == 0.0
    assert result["half"].lost == result["half"].accuracy > 0
    assert model.training


def test_measuring_adds_seconds_of_this_machine() -> None:
    result = run({"half": magnitude(0.5)}, measure=True, seconds=0.01)
    for row in result.rows:
        assert row.measured_low_s <= row.measured_s <= row.measured_high_s
    assert "measured" in str(result)


def test_outputs_of_transformers_keep_their_names_when_cast() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = tiny()

        def forward(self, x: torch.Tensor) -> Any:
            return outputs.ImageClassifierOutput(logits=self.body(x))

    result = run({"bf16": cast("bf16")}, Named(), evaluate=lambda module: module(X).logits.mean())
    assert result["bf16"].error is None


def test_named_inputs() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = tiny()

        def forward(self, *, picture: torch.Tensor) -> torch.Tensor:
            return self.body(picture)

    result = run(
        {"bf16": cast("bf16")}, Named(), inputs={"picture": X}, evaluate=lambda module: module(picture=X).mean()
    )
    assert result["bf16"].error is None
    assert result["bf16"].latency_s > 0


# --- models that cannot simply be copied ---------------------------------------------------------------------------


def test_a_pruned_module_is_copied() -> None:
    model = tiny()
    prune.l1_unstructured(model[3], "weight", 0.5)
    with pytest.raises(RuntimeError, match="deepcopy"):
        __import__("copy").deepcopy(model)
    wanted = model(X)
    copied = copy_of(model)
    assert torch.equal(copied(X), wanted)
    copied[3].weight_mask.zero_()
    assert torch.equal(model(X), wanted), "a copy shares no memory"
    assert run({"more": n_of_m()}, model)["more"].error is None


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_signatures_tell_models_apart_and_are_those_of_their_copies() -> None:
    pruned = tiny()
    prune.l1_unstructured(pruned[3], "weight", 0.5)
    packed = torch.ao.nn.quantized.Linear(4, 4)
    models = [tiny(), pruned, tiny().bfloat16(), int8_weight_only()(tiny()), magnitude(0.5)(tiny()), packed]
    signatures = [signature_of(model) for model in models]
    assert len(set(signatures)) == len(models)
    assert [signature_of(copy_of(model)) for model in models] == signatures


def test_a_callable_makes_the_model() -> None:
    assert run({"half": magnitude(0.5)}, tiny).rows == run({"half": magnitude(0.5)}).rows


def test_a_callable_has_to_make_the_same_model_each_time() -> None:
    with pytest.raises(TradeoffError, match="different weights each time; seed it"):
        run({"half": magnitude(0.5)}, lambda: nn.Linear(4, 4))


def test_a_module_that_cannot_be_copied_says_what_to_do() -> None:
    model = tiny()
    model.lock = __import__("threading").Lock()
    with pytest.raises(TradeoffError, match="pass a callable that returns the model"):
        run({"half": magnitude(0.5)}, model)


# --- errors --------------------------------------------------------------------------------------------------------


def test_one_failing_candidate_is_a_row_with_its_error() -> None:
    result = run({"broken": broken, "nothing": lambda model: None, "half": magnitude(0.5)})
    assert result["broken"] == TradeoffRow(name="broken", error="applying it: RuntimeError: no such kernel")
    assert "the candidate returned NoneType; expected the changed module" in result["nothing"].error
    assert result["half"].error is None
    assert "RuntimeError: no such kernel" in str(result)


def test_what_was_known_before_an_error_is_kept() -> None:
    def worse(model: nn.Module) -> nn.Module:
        with torch.no_grad():
            model[5].weight.fill_(float("nan"))
        return model

    row = run({"worse": worse})["worse"]
    assert row.error == "evaluating it: InputError: evaluate returned nan; expected a finite number"
    assert row.accuracy is None
    assert row.latency_s > 0


def test_where_the_original_fails_there_is_nothing_to_compare() -> None:
    with pytest.raises(TradeoffError, match="the unchanged model fails: evaluating it: InputTypeError: evaluate"):
        run({"half": magnitude(0.5)}, evaluate=lambda model: "good")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"candidates": {}}, TradeoffError, "candidates is empty"),
        ({"candidates": [magnitude(0.5)]}, TypeError, "candidates is of type list"),
        ({"candidates": {"original": magnitude(0.5)}}, TradeoffError, "'original' is reserved for the unchanged model"),
        ({"candidates": {"": magnitude(0.5)}}, TypeError, "a candidate is named ''"),
        ({"candidates": {"a": 0.5}}, TypeError, "candidate 'a' is of type float"),
        ({"candidates": {"a": lambda: 1}}, TypeError, "candidate 'a' requires more than a model"),
        ({"candidates": {"a": broken}, "per_layer": True}, TypeError, "does not take the path of a layer"),
        ({"evaluate": 0.5}, TypeError, "evaluate is of type float"),
        ({"model": 5}, TypeError, "model is of type int; expected an nn.Module or a callable"),
        ({"model": lambda: 5}, TypeError, "returned a int; expected an nn.Module"),
        ({"measure": True, "precision": "int8"}, TradeoffError, "measure=True supports native, fp32, bf16, fp16; got"),
        ({"hardware": "no-such-machine"}, ValueError, "no-such-machine"),
        ({"per_layer": ["3", "nowhere"]}, TradeoffError, "no module 'nowhere'; expected some of 0, 3, 5"),
        ({"per_layer": "3"}, TypeError, "per_layer is '3'"),
        ({"per_layer": True, "model": nn.ReLU()}, TradeoffError, "the model has none"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    options = {"candidates": {"half": magnitude(0.5)}, **options}
    with pytest.raises(error, match=re.escape(message)):
        run(options.pop("candidates"), **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: magnitude(0.0), "amount is 0.0"),
        (lambda: channels(1.0), "amount is 1.0"),
        (lambda: n_of_m(4, 4), "n:m is 4:4"),
        (lambda: cast("int8"), "dtype is 'int8'; expected bf16 or fp16"),
    ],
)
def test_wrong_figures_of_candidates_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(TradeoffError, match=re.escape(message)):
        make()


# --- layers --------------------------------------------------------------------------------------------------------


def test_sensitivity_has_each_candidate_on_one_layer_at_a_time() -> None:
    changed: list[str] = []

    def zeroed(model: nn.Module, path: str) -> nn.Module:
        changed.append(path)
        with torch.no_grad():
            model.get_submodule(path).weight.zero_()
        return model

    result = run({"zeroed": zeroed, "int8": int8_weight_only()}, per_layer=True)
    assert [row.name for row in result.rows] == ["original", "int8"], "zeroed takes no model alone"
    assert changed == ["0", "3", "5"]
    lost = {(row.candidate, row.module): row.lost for row in result.layers}
    assert all(lost["zeroed", path] > 0 for path in changed)
    assert lost["int8", "3"] > 0
    refused = next(row for row in result.layers if (row.candidate, row.module) == ("int8", "0"))
    assert not refused.applicable
    assert refused.error == "int8_weight_only() applies to linear layers, but 0 is not one; expected at least one"
    table = str(result).split("Accuracy lost by changing one layer\n")[1].splitlines()
    assert [line.split()[0] for line in table[2:5]] == ["0", "3", "5"]
    assert table[2].split()[-1] == "-"


def test_one_layer_alone_is_changed() -> None:
    for candidate in (magnitude(0.5), n_of_m(), channels(0.5), int8_weight_only(), cast("bf16")):
        model = candidate(tiny().eval(), "3")
        others = [model[0].weight, model[5].weight]
        assert all(torch.equal(new, old) for new, old in zip(others, (tiny()[0].weight, tiny()[5].weight), strict=True))
        assert model(X).dtype is torch.float32
        assert not torch.equal(model(X), WANTED)


def test_paths_restrict_the_layers_and_errors_stay_in_theirs() -> None:
    def only_last(model: nn.Module, path: str) -> nn.Module:
        if path != "5":
            raise RuntimeError("not this one")
        return magnitude(0.5)(model, path)

    result = run({"last": only_last}, per_layer=["3", "5"])
    first, second = result.layers
    assert (first.module, first.error) == ("3", "RuntimeError: not this one")
    assert second.lost > 0
    assert "failed" in str(result)


# --- results -------------------------------------------------------------------------------------------------------


def result_of(*rows: tuple[str, float | None, float | None], maximize: bool = True) -> ic.results.Tradeoff:
    found = tuple(TradeoffRow(name=n, accuracy=a, latency_s=s) for n, a, s in rows)
    return ic.results.Tradeoff(
        model="m", hardware=CPU, precision="native", execution="eager", maximize=maximize, settings={}, rows=found
    )


def test_the_front_has_what_no_other_beats() -> None:
    result = result_of(("original", 0.9, 4.0), ("worse", 0.8, 5.0), ("fast", 0.7, 1.0), ("failed", None, 0.5))
    assert [row.name for row in front(result).rows] == ["original", "fast"]
    as_loss = result_of(("original", 0.9, 4.0), ("worse", 0.8, 5.0), ("fast", 0.7, 1.0), maximize=False)
    assert [row.name for row in front(as_loss, "latency_s").rows] == ["fast"]


def test_a_front_of_several_columns() -> None:
    result = run({"half": magnitude(0.5), "int8": int8_weight_only()})
    assert [row.name for row in front(result, "parameter_bytes", "peak_memory_bytes").rows] == ["original", "int8"]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("speed", "unknown column 'speed'; expected one of latency_s, peak_memory_bytes"),
        ("cost_usd", "no row has cost_usd: no price was given"),
        ("measured_s", "no row has measured_s: nothing was measured"),
    ],
)
def test_a_front_of_what_is_not_there_is_refused(column: str, message: str) -> None:
    with pytest.raises(TradeoffError, match=re.escape(message)):
        front(result_of(("original", 0.9, 4.0)), column)


def test_json_and_pandas_have_every_figure() -> None:
    result = run({"half": magnitude(0.5), "broken": broken}, price=1.0)
    document = json.loads(result.to_json())
    assert document == result.to_dict()
    assert document["schema_version"] == 1
    document = document["tradeoff"]
    assert [row["name"] for row in document["rows"]] == ["original", "half", "broken"]
    assert document["rows"][1]["latency_s"] == result["half"].latency_s
    assert document["settings"]["inputs"] == "float32[8, 1, 8, 8]"
    pandas = pytest.importorskip("pandas")
    frame = result.to_pandas()
    assert list(frame.columns) == list(document["rows"][0])
    assert frame.set_index("name")["accuracy"]["half"] == result["half"].accuracy
    assert pandas.isna(frame.set_index("name")["accuracy"]["broken"])


def test_the_table_fits_its_page_and_names_each_candidate() -> None:
    result = run({"half": magnitude(0.5), "broken": broken}, price=1.0)
    lines = str(result).splitlines()
    assert max(map(len, lines)) <= 100
    assert [line.split()[0] for line in lines[7:10]] == ["original", "half", "broken"]
    with pytest.raises(KeyError, match="no candidate is called 'third'"):
        result["third"]


def test_progress_says_what_is_at_work(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[int, int]] = []
    run({"half": magnitude(0.5)}, progress=lambda done, steps: told.append((done, steps)))
    assert told == [(0, 2), (1, 2), (2, 2)]
    run({"half": magnitude(0.5)})
    assert capsys.readouterr().err == "", "stderr is no terminal here"
    run({"half": magnitude(0.5)}, progress=True)
    assert capsys.readouterr().err == "tradeoff 1 of 2: original\ntradeoff 2 of 2: half\n"

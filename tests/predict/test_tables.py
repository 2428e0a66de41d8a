"""Tables of modules and of operators, and those of torchinfo and fvcore for the same models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.errors import InputTypeError


def conv() -> ic.Graph:
    """Return a convolution with a bias, a pooling, and a linear layer in a block."""
    builder = ic.GraphBuilder("conv")
    batch = builder.size("batch", default=2)
    x = builder.tensor("float32", (batch, 3, 8, 8), role="input", name="x")
    weight = builder.tensor("float32", (4, 3, 3, 3), role="parameter", name="stem.weight")
    bias = builder.tensor("float32", (4,), role="parameter", name="stem.bias")
    y = builder.tensor("float32", (batch, 4, 8, 8))
    builder.node(
        "aten.conv2d.default", {"input": x, "weight": weight, "bias": bias, "padding": [1, 1]}, [y], module="stem"
    )
    z = builder.tensor("float32", (batch, 4, 4, 4))
    builder.node("aten.max_pool2d.default", {"self": y, "kernel_size": [2, 2]}, [z], module="block.pool")
    flat = builder.tensor("float32", (batch, 64))
    builder.node("aten.flatten.using_ints", {"self": z, "start_dim": 1}, [flat], module="block")
    head = builder.tensor("int8", (10, 64), role="parameter", name="block.head.weight")
    out = builder.tensor("float32", (batch, 10))
    builder.node("aten.linear.default", {"input": flat, "weight": head}, [out], module="block.head")
    return builder.build([x], [out])


def test_shapes_weights_and_multiply_adds_of_modules() -> None:
    table = ic.module_table(ic.profile(conv(), hardware="l4", batch=5))
    rows = {row.module: row for row in table.rows}
    assert list(rows) == ["", "stem", "block", "block.pool", "block.head"]
    stem, pool, head, whole = rows["stem"], rows["block.pool"], rows["block.head"], rows[""]
    assert (stem.input_shape, stem.output_shape, stem.kernel_shape) == ((5, 3, 8, 8), (5, 4, 8, 8), (3, 3))
    assert (pool.input_shape, pool.output_shape, pool.kernel_shape) == ((5, 4, 8, 8), (5, 4, 4, 4), (2, 2))
    assert (head.input_shape, head.output_shape, head.kernel_shape) == ((5, 64), (5, 10), None)
    assert (rows["block"].input_shape, rows["block"].output_shape) == ((5, 4, 8, 8), (5, 10))
    assert (whole.input_shape, whole.output_shape) == ((5, 3, 8, 8), (5, 10))
    assert (stem.own_parameters, head.own_parameters, whole.own_parameters) == (4 * 3 * 9 + 4, 640, 0)
    assert whole.parameters == 4 * 3 * 9 + 4 + 640
    assert (stem.trainable, head.trainable, pool.trainable) == (True, False, None)  # integers are not trained
    assert stem.mult_adds == 5 * 4 * 8 * 8 * 3 * 9
    assert head.mult_adds == 5 * 10 * 64
    assert whole.mult_adds == stem.mult_adds + head.mult_adds
    assert (stem.activations, whole.activations) == (5 * 4 * 8 * 8, 5 * 4 * 8 * 8 + 5 * 10)
    assert whole.latency_s == pytest.approx(sum(rows[name].latency_s or 0 for name in ("stem", "block")))
    assert [row.depth for row in table.rows] == [0, 1, 1, 2, 2]


def test_the_table_looks_as_users_of_torchinfo_expect() -> None:
    text = ic.module_table(ic.profile(conv(), batch=5)).to_text(width=160)
    lines = [line.split() for line in text.splitlines()]
    assert "Layer (op): depth-idx" in text.splitlines()[0]
    assert " ".join(lines[3]) == "├─stem (conv2d): 1-1 [5, 3, 8, 8] [5, 4, 8, 8] [3, 3] 112 True 34,560"
    assert [line[0] for line in lines[4:7]] == ["└─block:", "├─pool", "└─head"]
    assert "Total params             752" in text
    assert "Trainable params         112" in text
    assert "Non-trainable params     640" in text
    short = ic.module_table(ic.profile(conv(), batch=5)).to_text(depth=1, width=160)
    assert "head" not in short
    assert [line.split()[-2:] for line in short.splitlines() if "block" in line] == [["--", "3,200"]]
    assert "640" in next(line for line in short.splitlines() if "block" in line)  # weights below a collapsed module
    assert "Modules below depth 1 have no row" in short


def test_sizes_without_a_value_stay_expressions() -> None:
    counts = ic.module_table(ic.profile(transformer(layers=2)))
    assert all(isinstance(length, int) for row in counts.rows for length in row.output_shape or ())
    assert json.loads(counts.to_json())["modules"]["rows"][0]["input_shape"] == list(counts.rows[0].input_shape or ())


def test_operators_add_up_to_the_model() -> None:
    profile = ic.profile(transformer(layers=3), hardware="t4", batch=4)
    table = ic.operator_table(profile)
    total = profile.counts.total
    assert sum(row.flops for row in table.rows) == total.flops
    assert sum(row.bytes_read for row in table.rows) == total.bytes_read
    assert sum(row.calls for row in table.rows) == len(profile.counts.layers)
    assert profile.estimate is not None
    assert sum(row.latency_s or 0 for row in table.rows) == pytest.approx(profile.estimate.latency_s)
    assert sum(row.energy_j or 0 for row in table.rows) == pytest.approx(
        sum(layer.energy_j or 0 for layer in profile.estimate.layers)
    )
    shares = [row.share for row in table.rows]
    assert shares == sorted(shares, key=lambda share: -(share or 0))
    assert sum(share or 0 for share in shares) == pytest.approx(1)
    for row in table.rows:
        calls = [layer for layer in profile.counts.layers if layer.op == row.op]
        assert row.calls == len(calls)
        assert row.contraction_flops == sum(layer.row.contraction_flops for layer in calls)


def test_an_operator_without_a_rule_is_no_zero() -> None:
    table = ic.operator_table(ic.profile(blocks(custom_op=True)))
    (missing,) = [row for row in table.rows if not row.is_modelled]
    text = table.to_text(width=120)
    assert f"Not modeled, and in no figure: {missing.op} x{missing.calls}" in text
    assert "?" in text
    with pytest.raises(InputTypeError, match="got a Graph; expected a Profile"):
        ic.operator_table(blocks())  # type: ignore[arg-type]


@pytest.mark.parametrize("view", ["torchinfo", "ops"])
@pytest.mark.parametrize("form", ["table", "json", "csv", "md"])
def test_the_views_of_the_command(tmp_path: Path, view: str, form: str) -> None:
    path = tmp_path / "conv.json"
    path.write_text(conv().to_json(), encoding="utf-8")
    done = CliRunner().invoke(main, ["profile", str(path), "--view", view, "--format", form, "-H", "l4"])
    assert done.exit_code == 0, done.output
    profile = ic.profile(conv(), hardware="l4")
    table: Any = ic.operator_table(profile) if view == "ops" else ic.module_table(profile)
    expected = {"json": table.to_json() + "\n", "csv": table.to_csv(), "md": table.to_markdown()}
    assert done.stdout == expected.get(form, done.stdout)
    assert ("linear" if view == "ops" else "head") in done.stdout
    refused = CliRunner().invoke(main, ["profile", str(path), "--view", view, "--sort", "flops"])
    assert refused.exit_code == 2
    assert "--sort is for the usual table" in refused.stderr


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "vit_b_16"])
def test_rows_equal_those_of_torchinfo(name: str) -> None:
    torchinfo = pytest.importorskip("torchinfo", reason="torchinfo is not installed: tables to compare")
    torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed: models to compare")
    torch = pytest.importorskip("torch")
    model = torchvision.models.get_model(name, weights=None).eval()
    info = torchinfo.summary(model, input_size=(2, 3, 224, 224), verbose=0, depth=10, device="cpu")
    table = ic.module_table(ic.profile(model, (torch.zeros(2, 3, 224, 224),)))
    rows = {row.module: row for row in table.rows}
    assert info.total_params == table.rows[0].parameters
    paths = {id(module): path for path, module in model.named_modules()}
    compared = 0
    for layer in info.summary_list:
        kind = layer.class_name
        row = rows.get(paths.get(id(layer.module), ""))
        if kind not in ("Conv2d", "Linear", "BatchNorm2d", "LayerNorm", "MaxPool2d") or row is None:
            continue
        if layer.module.__class__.__name__ == "NonDynamicallyQuantizableLinear":
            continue  # part of an attention, which reads its weight
        compared += 1
        assert row.own_parameters == layer.num_params
        assert list(row.input_shape or ()) == list(layer.input_size)
        assert list(row.output_shape or ()) == list(layer.output_size)
        if kind in ("Conv2d", "MaxPool2d"):
            window = layer.kernel_size
            assert list(row.kernel_shape or ()) == ([window] * 2 if isinstance(window, int) else list(window))
        if kind == "Conv2d":
            bias = layer.module.bias is not None
            assert row.mult_adds == layer.macs - (row.activations if bias else 0)  # torchinfo adds a bias as one
        if kind == "Linear":  # torchinfo leaves out the sequence
            tokens = 1
            for length in layer.output_size[1:-1]:
                tokens *= length
            assert row.mult_adds == (layer.macs - 2 * layer.output_size[-1]) * tokens
    assert compared > 30


@pytest.mark.torch
@pytest.mark.slow
def test_modules_equal_those_of_fvcore() -> None:
    fvcore = pytest.importorskip("fvcore.nn", reason="fvcore is not installed: counts to compare")
    torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed: models to compare")
    torch = pytest.importorskip("torch")
    model = torchvision.models.resnet18(weights=None).eval()
    inputs = torch.zeros(2, 3, 224, 224)
    flops = fvcore.FlopCountAnalysis(model, inputs).unsupported_ops_warnings(False)
    activations = fvcore.ActivationCountAnalysis(model, inputs).unsupported_ops_warnings(False)
    rows = {row.module: row for row in ic.module_table(ic.profile(model, (inputs,))).rows}
    counted, made, weights = flops.by_module_and_operator(), activations.by_module(), fvcore.parameter_count(model)
    for path, row in rows.items():
        assert row.mult_adds == sum(counted[path].get(op, 0) for op in ("conv", "linear"))  # it also counts norms
        assert row.activations == made[path]
        assert row.parameters == weights[path]

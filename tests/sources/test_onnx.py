"""ONNX models: counts of small ones by hand, names of sizes and modules, refused files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.onnx_texts import TEXTS, filled, model_of

import pyinfercost as ic
from pyinfercost.errors import InputError

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'pyinfercost[onnx]'")
from onnx import TensorProto, helper, parser  # noqa: E402


def graph_of(name: str) -> ic.Graph:
    return ic.capture(model_of(name))


def read(text: str) -> ic.Graph:
    return ic.capture(filled(parser.parse_model(text)))


def flops(graph: ic.Graph, **sizes: int) -> Any:
    return ic.count(graph, **sizes).total.contraction_flops


def test_a_product_and_its_bias_are_one_layer() -> None:
    graph = graph_of("linear")
    assert [node.op for node in graph.nodes] == ["aten.linear", "aten.relu"]
    counts = ic.count(graph, batch=3)
    assert counts.total.contraction_flops == 2 * 3 * 8 * 4
    assert counts.total.parameters == 8 * 4 + 4
    assert counts.total.parameter_bytes == 4 * (8 * 4 + 4)


def test_a_convolution_with_open_lengths() -> None:
    counts = ic.count(graph_of("convolution"), batch=2, height=65, width=64)
    # 33 x 32 places, 8 filters of 3 x 3 x 3
    assert counts.total.contraction_flops == 2 * 2 * 33 * 32 * 8 * 27
    assert counts.total.parameters == 8 * 27 + 16
    assert counts.total.buffer_bytes == 4 * 16  # mean and variance


def test_shapes_that_are_computed_stay_in_named_sizes() -> None:
    graph = graph_of("shapes")
    assert {"batch", "sequence"} == set(graph.sizes)
    assert not graph.guards
    # 4 heads of 16: scores and their products with values
    assert flops(graph, batch=2, sequence=10) == 2 * 2 * (2 * 4 * 10 * 10 * 16)
    # Shape, Gather, Unsqueeze and Concat run on the host.
    assert {node.op for node in graph.nodes} == {"aten.reshape", "aten.permute", "aten.matmul", "aten.softmax"}


def test_the_more_expensive_branch_of_a_condition_is_counted() -> None:
    graph = graph_of("condition")
    assert flops(graph, batch=1) == 2 * (8 * 16 + 16 * 4)
    assert not ic.count(graph).unmodelled


def test_a_loop_is_unrolled() -> None:
    graph = graph_of("loop")
    assert flops(graph, batch=1) == 3 * 2 * 8 * 8
    assert ic.count(graph).total.parameters == 64
    assert [tuple(map(str, t.shape)) for t in graph.outputs] == [("batch", "8"), ("3", "batch", "8")]


@pytest.mark.parametrize("steps", [0, -3])
def test_a_loop_without_a_step_returns_what_it_is_given(steps: int) -> None:
    text = f"""
        <ir_version: 10, opset_import: ["" : 18]>
        loop (float[batch, 8] x) => (float[batch, 8] y, float[n, batch, 8] first, int64[n] second)
        <float[8, 8] weight>
        {{
            count = Constant <value_int = {steps}> ()
            y, first, second = Loop (count, , x) <
                body = body (int64 i, bool go, float[batch, 8] h)
                    => (bool on, float[batch, 8] next, float[batch, 8] kept, int64 step)
                {{ on = Identity(go) next = MatMul(h, weight) kept = Identity(next) step = Identity(i) }}
            >
        }}
    """
    graph = read(text)
    assert flops(graph, batch=2) == 0
    assert [(tensor.dtype, tensor.shape[0]) for tensor in graph.outputs[1:]] == [("float32", 0), ("int64", 0)]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (1, "convolves 8 channels with filters of 2 and 1 groups"),
        (3, "convolves 8 channels with filters of 2 and 3 groups"),
    ],
)
def test_filters_that_do_not_fit_are_refused(groups: int, message: str) -> None:
    text = f"""
        <ir_version: 10, opset_import: ["" : 18]>
        conv (float[batch, 8, 16, 16] x) => (float[batch, 16, h, w] y)
        <float[16, 2, 3, 3] weight>
        {{ y = Conv <group = {groups}> (x, weight) }}
    """
    with pytest.raises(InputError, match=message):
        read(text)


def test_shapes_beyond_64_bits_are_refused() -> None:
    with pytest.raises(InputError, match=r"has a shape of 1.845e\+19 elements; expected at most 2\^63 - 1"):
        read("""
            <ir_version: 10, opset_import: ["" : 18]>
            g (float[batch, 8] x) => (float[a, b, c] y) {
                shape = Constant <value_ints = [4294967296, 4294967296, -1]> ()
                y = Reshape (x, shape)
            }
        """)


@pytest.mark.parametrize("attribute", ["kernel_shape", "strides", "dilations"])
def test_windows_below_one_are_refused(attribute: str) -> None:
    model = model_of("convolution")
    given = helper.make_attribute(attribute, [2, -1])
    pool = model.graph.node[2]
    kept = [each for each in pool.attribute if each.name != attribute]
    del pool.attribute[:]
    pool.attribute.extend([*kept, given])
    with pytest.raises(InputError, match="expected 1 or more"):
        ic.capture(model)


def test_a_loop_without_a_known_end_is_in_the_ledger() -> None:
    graph = read("""
        <ir_version: 10, opset_import: ["" : 18]>
        g (float[batch, 8] x, int64 steps) => (float[batch, 8] y) <float[8, 8] weight> {
            go = Constant <value = bool {1}> ()
            y = Loop (steps, go, x) <
                body = step (int64 n, bool before, float[batch, 8] state) => (bool after, float[batch, 8] next) {
                    after = Identity(before)
                    next = MatMul(state, weight)
                }
            >
        }
    """)
    assert flops(graph, batch=1) == 2 * 8 * 8
    assert ic.count(graph).unmodelled == {"onnx.Loop": 1}


def test_a_scan_over_a_known_length_is_unrolled() -> None:
    graph = read("""
        <ir_version: 10, opset_import: ["" : 18]>
        g (float[batch, 8] start, float[5, batch, 8] x) => (float[batch, 8] y, float[5, batch, 8] all)
        <float[8, 8] weight> {
            y, all = Scan <num_scan_inputs = 1, body = step (float[batch, 8] state, float[batch, 8] part)
                => (float[batch, 8] next, float[batch, 8] kept) {
                    product = MatMul(state, weight)
                    next = Add(product, part)
                    kept = Identity(next)
            }> (start, x)
        }
    """)
    assert flops(graph, batch=2) == 5 * 2 * 2 * 8 * 8
    assert ic.count(graph).unmodelled == {}


def test_functions_of_a_model_are_read_in_place() -> None:
    graph = graph_of("function")
    assert [node.op for node in graph.nodes] == ["aten.linear", "aten.leaky_relu"]
    assert graph.nodes[1].argument("negative_slope") == pytest.approx(0.1)


def test_functions_that_multiply_are_refused_before_they_are_read() -> None:
    """Each function calls the one before twice."""
    versions = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    functions = [helper.make_function("own", "f0", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], versions)]
    for level in range(1, 22):
        calls = [helper.make_node(f"f{level - 1}", [a], [b], domain="own") for a, b in (("a", "t"), ("t", "b"))]
        functions.append(helper.make_function("own", f"f{level}", ["a"], ["b"], calls, versions))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 8]) for name in "xy")

    def calling(name: str) -> Any:
        graph = helper.make_graph([helper.make_node(name, ["x"], ["y"], domain="own")], "g", [x], [y])
        return helper.make_model(graph, opset_imports=versions, functions=functions)

    assert ic.capture(calling("f5")).op_counts() == {"aten.relu": 32}
    # 2^21 of Relu, and 2^22 - 1 calls.
    with pytest.raises(InputError, match="has 6,291,455 nodes with its functions expanded; expected at most 20,000"):
        ic.capture(calling("f21"))


def test_a_tile_without_elements_takes_no_memory() -> None:
    """Numpy would repeat the first axis before the second one has no length."""
    text = """
        <ir_version: 10, opset_import: ["" : 18]>
        g (float[batch, 8] x) => (float[batch, 8] y, int64[rows, columns] none) {
            two = Constant <value = int64[1, 2] {1, 2}> ()
            times = Constant <value_ints = [1000000000000, 0]> ()
            none = Tile (two, times)
            y = Relu (x)
        }
    """
    assert ic.capture(parser.parse_model(text)).op_counts()["aten.relu"] == 1


def test_loops_within_loops_are_unrolled_up_to_a_number_of_nodes() -> None:
    text = """
        <ir_version: 10, opset_import: ["" : 18]>
        g (float[batch, 8] x) => (float[batch, 8] y) <float[8, 8] weight> {
            count = Constant <value_int = STEPS> ()
            y = Loop (count, , x) <
                body = outer (int64 i, bool go, float[batch, 8] h) => (bool on, float[batch, 8] out) {
                    on = Identity(go)
                    out = Loop (count, , h) <
                        body = inner (int64 j, bool go2, float[batch, 8] k) => (bool on2, float[batch, 8] next) {
                            on2 = Identity(go2)
                            next = MatMul(k, weight)
                        }
                    >
                }
            >
        }
    """
    assert flops(read(text.replace("STEPS", "5")), batch=1) == 25 * 2 * 8 * 8
    once = ic.count(read(text.replace("STEPS", "200")), batch=1)  # 80,000 nodes: the inner loop is read once
    assert once.total.contraction_flops == 200 * 2 * 8 * 8
    assert once.unmodelled == {"onnx.Loop": 200}


def test_an_unknown_operator_is_in_the_ledger_and_keeps_the_shape() -> None:
    graph = graph_of("unknown")
    counts = ic.count(graph)
    assert counts.unmodelled == {"shop.Mystery": 1}
    assert str(graph.outputs[0].shape) == "(Expr('batch'), 8)"
    work = ic.Work(kind="gemm", contraction_flops=7)
    assert ic.count(graph, rules={"shop::Mystery": lambda node: work}).total.contraction_flops == 7


def test_lengths_that_depend_on_data_have_the_most_there_can_be() -> None:
    graph = graph_of("data")
    sizes = graph.sizes
    assert {name: str(sizes[name]["default"]) for name in sizes if sizes[name]["role"] == "data"} == {
        "forward.nonzero": "8*batch",
        "forward.nonzero_2": "batch",
    }
    assert ic.count(graph, batch=4, sizes={"forward.nonzero_2": 2}).total.bytes_written > 0


def test_both_directions_of_a_recurrent_layer() -> None:
    counts = ic.count(graph_of("recurrent"), batch=3, sequence=5)
    assert counts.total.contraction_flops == 2 * 2 * 5 * 3 * 64 * (8 + 16)
    assert counts.total.parameters == 2 * (64 * 8 + 64 * 16 + 128)


def test_integers_between_quantizing_operators_are_one_product() -> None:
    graph = graph_of("quantized")
    ops = [node.op for node in graph.nodes]
    assert ops == [
        "quantized_decomposed.quantize_per_tensor",
        "quantized.linear",
        "quantized_decomposed.dequantize_per_tensor",
    ]
    total = ic.count(graph, batch=2).total
    assert (total.contraction_flops, total.parameters, total.parameter_bytes) == (2 * 2 * 8 * 4, 32, 32)
    assert graph.nodes[1].outputs[0].dtype == "int8"


QUANTIZED_RESIDUAL = """
    <ir_version: 10, opset_import: ["" : 21]>
    g (float[batch, 8, 6, 6] x) => (float[batch, 8, 6, 6] y)
    <int8[8, 8, 3, 3] w1, int8[8, 8, 3, 3] w2, float[8] scales, int8[8] zeros, float s = {0.1}, int8 z = {0}> {
        xq = QuantizeLinear(x, s, z)
        xd = DequantizeLinear(xq, s, z)
        w1d = DequantizeLinear <axis = 0> (w1, scales, zeros)
        c1 = Conv <pads = [1, 1, 1, 1]> (xd, w1d)
        c1q = QuantizeLinear(c1, s, z)
        c1d = DequantizeLinear(c1q, s, z)
        w2d = DequantizeLinear <axis = 0> (w2, scales, zeros)
        c2 = Conv <pads = [1, 1, 1, 1]> (c1d, w2d)
        c2q = QuantizeLinear(c2, s, z)
        c2d = DequantizeLinear(c2q, s, z)
        sum = Add(c2d, xd)
        positive = Relu(sum)
        yq = QuantizeLinear(positive, s, z)
        y = DequantizeLinear(yq, s, z)
    }
"""


def test_a_sum_between_quantizing_operators_is_one_of_integers() -> None:
    graph = read(QUANTIZED_RESIDUAL)
    assert [node.op.rpartition(".")[2] for node in graph.nodes] == [
        *("quantize_per_tensor", "conv2d", "conv2d", "add_relu", "dequantize_per_tensor")
    ]
    # Without the last rounding the sum is one of floats.
    text = QUANTIZED_RESIDUAL.replace("yq = QuantizeLinear(positive, s, z)", "").replace(
        "y = DequantizeLinear(yq, s, z)", "y = Identity(positive)"
    )
    ops = [node.op for node in read(text).nodes]
    assert ops[-2:] == ["aten.add", "aten.relu"]
    assert ops.count("quantized_decomposed.dequantize_per_tensor") == 2


def test_engines_run_quantized_layers_as_their_own_kernels() -> None:
    graph = read(QUANTIZED_RESIDUAL)
    kernels = {
        engine: [n.argument("kernel") for n in ic.engine_graph(graph, engine).nodes if "convolution" in n.op]
        for engine in ("tensorrt", "onnxruntime")
    }
    assert kernels == {"tensorrt": ["conv2d", "conv2d+add_relu"], "onnxruntime": ["conv2d", "conv2d"]}
    plain = ic.count(graph, batch=3).total
    for engine in kernels:
        own = ic.count(ic.engine_graph(graph, engine), batch=3).total
        assert own.contraction_flops == plain.contraction_flops
        assert own.pointwise_flops == plain.pointwise_flops
        assert own.parameter_bytes == plain.parameter_bytes
        layers = ic.profile(graph, hardware="t4", engine=engine).to_dict()["layers"]
        assert {layer["unit"] for layer in layers if layer["contraction_flops"]} == {"matrix int8"}


CONVERSIONS = ("quantized_decomposed.", "engine.pointwise")


@pytest.mark.parametrize("engine", ["tensorrt", "onnxruntime"])
def test_explicit_quantization_costs_as_the_precision_does(engine: str) -> None:
    """The conversions at both ends are left out."""
    text = QUANTIZED_RESIDUAL.replace("8, 6, 6", "256, 28, 28").replace("8, 8, 3, 3", "256, 256, 3, 3")
    graph = read(text.replace("[8] scales", "[256] scales").replace("[8] zeros", "[256] zeros"))
    floats = read("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (float[batch, 256, 28, 28] x) => (float[batch, 256, 28, 28] y)
        <float[256, 256, 3, 3] w1, float[256, 256, 3, 3] w2> {
            c1 = Conv <pads = [1, 1, 1, 1]> (x, w1)
            c2 = Conv <pads = [1, 1, 1, 1]> (c1, w2)
            sum = Add(c2, x)
            y = Relu(sum)
        }
    """)

    def of_layers(model: ic.Graph, precision: str) -> float:
        layers = ic.profile(model, hardware="t4", engine=engine, precision=precision, batch=8).to_dict()["layers"]
        return sum(layer["latency_s"] for layer in layers if not layer["op"].startswith(CONVERSIONS))

    assert of_layers(graph, "native") == pytest.approx(of_layers(floats, "int8"), rel=0.1)


def test_quantized_tables_are_weights() -> None:
    graph = read("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (int64[batch, sequence] ids) => (float[batch, sequence, 8] y)
        <uint8[50, 8] table, float s = {0.1}, uint8 z = {0}, float[8, 8] w> {
            rows = Gather(table, ids)
            floats = DequantizeLinear(rows, s, z)
            y = MatMul(floats, w)
        }
    """)
    total = ic.count(graph, batch=1, sequence=3).total
    assert (total.parameters, total.parameter_bytes) == (50 * 8 + 64, 50 * 8 + 4 * 64)


def test_engines_see_a_model_that_starts_with_a_quantized_table() -> None:
    graph = read("""
        <ir_version: 10, opset_import: ["" : 21]>
        g (int64[batch, sequence] ids) => (float[batch, sequence, 8] y)
        <int8[50, 8] table, float s = {0.1}, int8 z = {0}, float[8, 8] w> {
            floats = DequantizeLinear(table, s, z)
            rows = Gather(floats, ids)
            product = MatMul(rows, w)
            y = Tanh(product)
        }
    """)
    assert [node.op for node in ic.engine_graph(graph, "tensorrt").nodes] == [
        *("quantized.embedding_byte", "engine.product")
    ]


def test_packed_weights_have_their_true_bytes() -> None:
    total = ic.count(graph_of("packed"), batch=1, sequence=10).total
    assert total.contraction_flops == 2 * 10 * 64 * 32
    assert total.parameters == 64 * 32
    assert total.parameter_bytes == 64 * 32 // 2 + 2 * 64  # 4 bits each, and a scale of 2 bytes for 32 of them


def test_grouped_attention_reads_its_cache() -> None:
    graph = graph_of("grouped_attention")
    counts = ic.count(graph, batch=1, sequence=1, past=99)
    assert counts.total.contraction_flops == 2 * 4 * 100 * (16 + 16)
    cached = [t for t in graph.inputs if t.role == "kv_cache"]
    assert [t.name for t in cached] == ["past_key_values_0_key", "past_key_values_0_value"]
    assert [t.name for t in graph.outputs[1:]] == [t.name for t in cached]


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("/layer1/layer1.0/conv1/Conv", "layer1.0.conv1"),
        ("/encoder/layer.0/attention/self/query/MatMul", "encoder.layer.0.attention.self.query"),
        ("/Conv", ""),
        ("model/block/conv/Conv2D", "model.block.conv"),
        ("Conv_0", ""),
    ],
)
def test_names_of_nodes_are_paths_of_modules(name: str, module: str) -> None:
    model = model_of("linear")
    model.graph.node[2].name = name
    assert ic.capture(model).nodes[-1].module == module


def test_scopes_of_torch_and_names_of_weights_are_paths_of_modules() -> None:
    model = model_of("linear")
    model.graph.node[2].metadata_props.add(key="pkg.torch.onnx.name_scopes", value="['', 'head', 'head.act', 'relu']")
    assert ic.capture(model).nodes[-1].module == "head.act"
    model.graph.initializer[0].name = "head.fc.weight"
    model.graph.node[0].input[1] = "head.fc.weight"
    assert ic.capture(model).nodes[0].module == "head.fc"


def test_dynamic_names_open_dimensions() -> None:
    model = model_of("convolution")
    graph = ic.capture(model, dynamic={"x": {0: "images", 2: "h", 3: "w"}})
    assert set(graph.sizes) == {"images", "h", "w"}
    with pytest.raises(InputError, match="dimension 1 of input 'x'"):
        ic.capture(model, dynamic={0: {1: "c"}})


def test_expressions_of_dimensions_are_read() -> None:
    model = model_of("linear")
    other = helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch", "past_tokens", "past_tokens + 1"])
    model.graph.input.append(other)
    graph = ic.capture(model)
    assert str(graph.inputs[1].shape) == "(Expr('batch'), Expr('past_tokens'), Expr('past_tokens + 1'))"


def test_names_of_the_batch_are_the_batch() -> None:
    model = model_of("linear")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    assert set(ic.capture(model).sizes) == {"batch"}
    model.graph.input[0].type.tensor_type.shape.dim[0].ClearField("dim_param")
    assert set(ic.capture(model).sizes) == {"batch"}


def test_external_data_is_not_opened(tmp_path: Path) -> None:
    model = model_of("linear")
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.dims[:] = [8, 4_000_000]
    weight.data_location = 1
    weight.external_data.add(key="location", value="missing.bin")
    model.graph.initializer[1].dims[:] = [4_000_000]
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert ic.count(ic.capture(path), batch=1).total.parameter_bytes == 4 * 9 * 4_000_000
    with pytest.raises(InputError, match="no such file"):
        ic.sparsity(path)


def test_sparsity_of_weights_in_the_file_and_beside_it(tmp_path: Path) -> None:
    model = model_of("linear")
    numbers = np.zeros((8, 4), dtype=np.float32)
    numbers[:2] = 1
    model.graph.initializer[0].raw_data = numbers.tobytes()
    inside = tmp_path / "inside.onnx"
    onnx.save(model, inside)
    outside = tmp_path / "outside.onnx"
    onnx.save(model, outside, save_as_external_data=True, size_threshold=0)
    for path in (inside, outside):
        found = {row.name: row for row in ic.sparsity(path).weights}
        assert found["weight"].zero_share == pytest.approx(0.75), path
        assert found["bias"].zero_share == 1


def test_engines_join_work_with_products() -> None:
    graph = ic.engine_graph(graph_of("convolution"), "onnxruntime")
    assert graph.nodes[0].argument("kernel") == "conv2d+batch_norm"
    assert flops(graph, batch=1, height=32, width=32) == flops(graph_of("convolution"), batch=1, height=32, width=32)


def test_formats_apply_to_linear_layers() -> None:
    narrow = ic.count(ic.whatif(graph_of("linear"), quantize="int8_wo"), batch=8).total
    assert narrow.contraction_flops == 2 * 8 * 8 * 4
    assert narrow.parameter_bytes == 8 * 4 + 4 * (4 + 1) + 4 * 4  # scales, zero points, and the bias


def refused(path: Path, content: bytes, match: str) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match=match):
        ic.capture(path)


def test_other_files_are_refused_with_a_hint(tmp_path: Path) -> None:
    whole = model_of("linear").SerializeToString()
    path = tmp_path / "model.onnx"
    refused(path, b"", "has no graph; expected a model as written by onnx.save")
    refused(path, b"not a model at all", "is not an ONNX model, or was truncated")
    refused(path, whole[: len(whole) // 2], "truncated|has no graph|nothing before it writes")
    refused(path, whole[:4] + b"ORTM" + whole[8:], "is a model of ONNX Runtime's own format.*pass the .onnx file")
    refused(path, whole[:4] + b"TFL3" + whole[8:], "is a TensorFlow Lite model; convert it")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    refused(path, pointer, "is a pointer of Git LFS.*git lfs pull")
    refused(tmp_path / "model.ort", whole, "pass the .onnx file that it was converted from")
    refused(tmp_path / "model.tflite", whole, "python -m tf2onnx.convert --tflite")
    with pytest.raises(InputError, match="no such file"):
        ic.capture(tmp_path / "none.onnx")


def test_errors_name_the_node() -> None:
    model = model_of("linear")
    model.graph.node[1].name = "add"
    model.graph.node[1].input[1] = "nowhere"
    with pytest.raises(InputError, match=r"node 'add' \('Add'\): reads 'nowhere', which nothing before it writes"):
        ic.capture(model)
    model = model_of("linear")
    model.graph.initializer[0].dims[:] = [9, 4]
    with pytest.raises(InputError, match="lengths 8 and 9 differ"):
        ic.capture(model)


def test_all_small_models_have_a_plan() -> None:
    for name in TEXTS:
        graph = graph_of(name)
        sizes = {n: 2 for n, limits in graph.sizes.items() if limits["role"] != "data"}
        for engine in ("torch", "onnxruntime", "tensorrt"):
            estimate = ic.estimate(graph, hardware="l4", precision="fp16", engine=engine, sizes=sizes)
            assert estimate.latency_s > 0, (name, engine)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
@pytest.mark.parametrize("mask", ["", "mask"])
def test_attention_that_returns_its_scores_multiplies_once(mode: int, mask: str) -> None:
    text = f"""
        <ir_version: 10, opset_import: ["" : 23]>
        attention (float[2, 6, 7, 8] q, float[2, 3, 11, 8] k, float[2, 3, 11, 8] v, float[7, 11] mask)
            => (float[2, 6, 7, 8] y, float[2, 6, 7, 11] scores)
        {{
            y, present_k, present_v, scores = Attention <qk_matmul_output_mode = {mode}> (q, k, v, {mask})
        }}
    """
    graph = ic.capture(onnx.parser.parse_model(text))
    assert flops(graph) == 2 * 2 * 6 * 7 * 11 * (8 + 8)
    assert [tuple(map(int, t.shape)) for t in graph.outputs] == [(2, 6, 7, 8), (2, 6, 7, 11)]

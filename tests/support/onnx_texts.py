"""Small ONNX models as text, which `onnx.parser` reads; each has something that others have not."""

from __future__ import annotations

import math
from typing import Any

TEXTS = {
    "linear": """
        <ir_version: 10, opset_import: ["" : 18]>
        linear (float[batch, 8] x) => (float[batch, 4] y)
        <float[8, 4] weight, float[4] bias>
        {
            product = MatMul(x, weight)
            sum = Add(product, bias)
            y = Relu(sum)
        }
    """,
    "convolution": """
        <ir_version: 10, opset_import: ["" : 21]>
        convolution (float[batch, 3, height, width] x) => (float[batch, 8, h, w] y)
        <float[8, 3, 3, 3] weight, float[8] scale, float[8] shift, float[8] mean, float[8] variance>
        {
            image = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (x, weight)
            normed = BatchNormalization(image, scale, shift, mean, variance)
            y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (normed)
        }
    """,
    "shapes": """
        <ir_version: 10, opset_import: ["" : 18]>
        shapes (float[batch, sequence, 64] x) => (float[batch, sequence, 64] y)
        {
            shape = Shape(x)
            zero = Constant <value_int = 0> ()
            one = Constant <value_int = 1> ()
            axis = Constant <value_ints = [0]> ()
            rows = Gather(shape, zero)
            tokens = Gather(shape, one)
            first = Unsqueeze(rows, axis)
            second = Unsqueeze(tokens, axis)
            heads = Constant <value_ints = [4, 16]> ()
            apart = Concat <axis = 0> (first, second, heads)
            split = Reshape(x, apart)
            turned = Transpose <perm = [0, 2, 1, 3]> (split)
            back = Transpose <perm = [0, 2, 3, 1]> (split)
            scores = MatMul(turned, back)
            shares = Softmax <axis = -1> (scores)
            mixed = MatMul(shares, turned)
            joined = Transpose <perm = [0, 2, 1, 3]> (mixed)
            width = Constant <value_ints = [-1]> ()
            whole = Concat <axis = 0> (first, second, width)
            y = Reshape(joined, whole)
        }
    """,
    "condition": """
        <ir_version: 10, opset_import: ["" : 18]>
        condition (float[batch, 8] x, bool flag) => (float[batch, 4] y)
        <float[8, 4] small, float[8, 16] wide, float[16, 4] narrow>
        {
            y = If (flag) <
                then_branch = one () => (float[batch, 4] a) { a = MatMul(x, small) },
                else_branch = two () => (float[batch, 4] b) { hidden = MatMul(x, wide)  b = MatMul(hidden, narrow) }
            >
        }
    """,
    "loop": """
        <ir_version: 10, opset_import: ["" : 18]>
        loop (float[batch, 8] x) => (float[batch, 8] y, float[3, batch, 8] all)
        <float[8, 8] weight>
        {
            steps = Constant <value_int = 3> ()
            go = Constant <value = bool {1}> ()
            y, all = Loop (steps, go, x) <
                body = step (int64 number, bool before, float[batch, 8] state)
                    => (bool after, float[batch, 8] next, float[batch, 8] kept) {
                    after = Identity(before)
                    next = MatMul(state, weight)
                    kept = Identity(next)
                }
            >
        }
    """,
    "quantized": """
        <ir_version: 10, opset_import: ["" : 21]>
        quantized (float[batch, 8] x) => (float[batch, 4] y)
        <int8[8, 4] weight, float scale = {0.1}, int8 zero = {0}>
        {
            a = QuantizeLinear(x, scale, zero)
            b = DequantizeLinear(a, scale, zero)
            w = DequantizeLinear(weight, scale, zero)
            product = MatMul(b, w)
            rounded = QuantizeLinear(product, scale, zero)
            y = DequantizeLinear(rounded, scale, zero)
        }
    """,
    "packed": """
        <ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>
        packed (float16[batch, sequence, 64] x) => (float16[batch, sequence, 32] y)
        <uint8[32, 2, 16] weight, float16[64] scales>
        {
            y = com.microsoft.MatMulNBits <K = 64, N = 32, bits = 4, block_size = 32> (x, weight, scales)
        }
    """,
    "grouped_attention": """
        <ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>
        grouped_attention (float16[batch, sequence, 64] q, float16[batch, sequence, 32] k,
            float16[batch, sequence, 32] v, float16[batch, 2, past, 16] past_key_values_0_key,
            float16[batch, 2, past, 16] past_key_values_0_value, int32[batch] lengths, int32 total)
            => (float16[batch, sequence, 64] y, float16[batch, 2, all, 16] present_0_key,
                float16[batch, 2, all, 16] present_0_value)
        {
            y, present_0_key, present_0_value = com.microsoft.GroupQueryAttention <num_heads = 4, kv_num_heads = 2>
                (q, k, v, past_key_values_0_key, past_key_values_0_value, lengths, total)
        }
    """,
    "function": """
        <ir_version: 10, opset_import: ["" : 18, "own" : 1]>
        function (float[batch, 8] x) => (float[batch, 8] y)
        <float[8, 8] weight>
        {
            y = own.layer <slope: float = 0.1> (x, weight)
        }
        <domain: "own", opset_import: ["" : 18]>
        layer <slope> (a, w) => (c)
        {
            b = MatMul(a, w)
            c = LeakyRelu <alpha: float = @slope> (b)
        }
    """,
    "data": """
        <ir_version: 10, opset_import: ["" : 18]>
        data (float[batch, 8] x, float[8] y) => (float[kept, 8] z, int64[8, count] places)
        {
            mask = Greater(x, y)
            places = NonZero(mask)
            axis = Constant <value_ints = [1]> ()
            any = ReduceMax <keepdims = 0> (x, axis)
            zero = Constant <value_float = 0.0> ()
            keep = Greater(any, zero)
            z = Compress <axis = 0> (x, keep)
        }
    """,
    "recurrent": """
        <ir_version: 10, opset_import: ["" : 18]>
        recurrent (float[sequence, batch, 8] x) => (float[sequence, 2, batch, 16] y)
        <float[2, 64, 8] w, float[2, 64, 16] r, float[2, 128] b>
        {
            y = LSTM <hidden_size = 16, direction = "bidirectional"> (x, w, r, b)
        }
    """,
    "unknown": """
        <ir_version: 10, opset_import: ["" : 18, "shop" : 1]>
        unknown (float[batch, 8] x) => (float[batch, 8] y)
        {
            z = shop.Mystery(x)
            y = Relu(z)
        }
    """,
}
"""Name -> text."""


def model_of(name: str) -> Any:
    """Return the `ModelProto` of a text; weights have their shapes and zeros."""
    from onnx import parser

    return filled(parser.parse_model(TEXTS[name]))


def filled(model: Any) -> Any:
    """Turn values that nothing writes into initializers of zeros: the text has only their types."""
    from onnx import TensorProto

    written = {name for node in model.graph.node for name in node.output}
    for info in list(model.graph.value_info):
        if info.name in written:
            continue
        kind = info.type.tensor_type
        dims = [dim.dim_value for dim in kind.shape.dim]
        zeros = bytes(_BYTES[kind.elem_type] * math.prod(dims))
        model.graph.initializer.append(TensorProto(name=info.name, data_type=kind.elem_type, dims=dims, raw_data=zeros))
        model.graph.value_info.remove(info)
    return model


_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 10: 2}  # of an element, by onnx.TensorProto.DataType

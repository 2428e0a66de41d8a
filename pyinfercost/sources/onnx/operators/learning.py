"""Operators of `ai.onnx.ml`: linear models, scalers and encoders of classic machine learning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..op import Op, Result, handles
from ..shapes import plain, product
from ..stored import OnnxError, StoredTensor
from ..values import Sequenced, Size, Value

ML = "ai.onnx.ml"


def _weights(op: Op, name: str, columns: int) -> Value:
    """Return an attribute of floats as a parameter [rows, columns]."""
    from onnx import TensorProto

    numbers = list(op.attributes()[name].floats) if op.has(name) else []
    if columns < 1 or len(numbers) % columns:
        raise OnnxError(f"has {len(numbers)} {name} for rows of {columns}")
    rows = len(numbers) // columns
    # Numbers of an attribute are stored in the node.
    proto = TensorProto(name=f"{op.proto.name or op.type}.{name}", data_type=1, dims=[rows, columns])
    proto.float_data.extend(numbers)
    stored = StoredTensor(proto, None)
    return Value("float32", (rows, columns), stored=stored)


def _floats(op: Op, x: Value) -> Value:
    if x.dtype == "float32":
        return x
    return op.inner("aten._to_copy.default", {"self": x, "dtype": "float32"}, "float32", x.shape)


def _linear(op: Op, *, targets: int) -> Value:
    x = _floats(op, op[0])
    rows = product(x.shape[:-1])
    width = x.shape[-1]
    if not isinstance(width, int) or width < 1:
        raise OnnxError(f"has {width} features; expected a number")
    weight = _weights(op, "coefficients", width)
    if weight.shape[0] != targets:
        raise OnnxError(f"has {weight.shape[0]} rows of coefficients; expected {targets}")
    arguments: dict[str, Any] = {"input": x, "weight": weight}
    if op.has("intercepts"):
        bias = _weights(op, "intercepts", 1)
        arguments["bias"] = Value("float32", (bias.shape[0],), stored=bias.stored)
    return op.inner("aten.linear.default", arguments, "float32", (rows, targets))


@handles("LinearRegressor", domain=ML)
def linear_regressor(op: Op) -> Result:
    return _linear(op, targets=op.integer("targets", 1))


def _scores(op: Op, scores: Value) -> Value:
    transform = op.text("post_transform", "NONE")
    if transform in ("SOFTMAX", "SOFTMAX_ZERO"):
        return op.inner("aten.softmax.int", {"self": scores, "dim": -1}, scores.dtype, scores.shape)
    if transform == "LOGISTIC":
        return op.inner("aten.sigmoid.default", {"self": scores}, scores.dtype, scores.shape)
    return scores


@handles("LinearClassifier", domain=ML)
def linear_classifier(op: Op) -> Sequence[Result]:
    classes = len(op.integers("classlabels_ints") or op.texts("classlabels_strings") or [])
    width = op[0].shape[-1]
    count = len(op.attributes()["coefficients"].floats) if op.has("coefficients") else 0
    if not isinstance(width, int) or width < 1:
        raise OnnxError(f"has {width} features; expected a number")
    scores = _scores(op, _linear(op, targets=count // width))
    rows = scores.shape[0]
    labels = op.emit("aten.argmax.default", {"self": scores, "dim": 1}, op.result("int64", (rows,)))
    if count // width == 1 and classes == 2:
        scores = op.inner("aten.cat.default", {"tensors": [scores, scores], "dim": 1}, "float32", (rows, 2))
    return [labels, scores]


@handles("ZipMap", domain=ML)
def zip_map(op: Op) -> Result:
    # A mapping of names to the scores, on the host.
    return Sequenced([op[0]])


@handles("CastMap", "DictVectorizer", domain=ML)
def from_map(op: Op) -> Result:
    value = op.inputs[0]
    return value.items[0] if isinstance(value, Sequenced) and value.items else op[0]


@handles("Scaler", domain=ML)
def scaler(op: Op) -> Result:
    x = _floats(op, op[0])
    for name, aten in (("offset", "sub"), ("scale", "mul")):
        if op.has(name):
            numbers = _weights(op, name, 1)
            row = Value("float32", (numbers.shape[0],), stored=numbers.stored)
            x = op.inner(f"aten.{aten}.Tensor", {"self": x, "other": row}, "float32", x.shape)
    return x


@handles("Normalizer", domain=ML)
def normalizer(op: Op) -> Result:
    x = _floats(op, op[0])
    name = "amax.default" if op.text("norm", "MAX") == "MAX" else "linalg_vector_norm.default"
    shape = (*x.shape[:-1], 1)
    norm = op.inner(f"aten.{name}", {"self": x, "dim": [x.rank - 1]}, "float32", shape)
    return op.new("aten.div.Tensor", {"self": x, "other": norm}, "float32", x.shape)


@handles("Binarizer", domain=ML)
def binarizer(op: Op) -> Result:
    return op.new("aten.threshold.default", {"self": op[0]}, op[0].dtype, op[0].shape)


@handles("Imputer", domain=ML)
def imputer(op: Op) -> Result:
    return op.new("aten.nan_to_num.default", {"self": op[0]}, op[0].dtype, op[0].shape)


@handles("ArrayFeatureExtractor", domain=ML)
def array_feature_extractor(op: Op) -> Result:
    x, places = op[0], op[1]
    rows: list[Size] = list(x.shape[:-1]) or [1]
    shape = [*rows, product(places.shape)]
    return op.new("aten.index_select.default", {"self": x, "index": places}, x.dtype, shape)


@handles("FeatureVectorizer", domain=ML)
def feature_vectorizer(op: Op) -> Result:
    values = [_floats(op, value) for value in op.all()]
    width: Size = 0
    for value in values:
        width = plain(width + value.shape[-1])
    shape = (values[0].shape[0], width)
    return op.new("aten.cat.default", {"tensors": values, "dim": 1}, "float32", shape)


@handles("OneHotEncoder", domain=ML)
def one_hot_encoder(op: Op) -> Result:
    classes = len(op.integers("cats_int64s") or op.texts("cats_strings") or [])
    return op.new("aten.one_hot.default", {"self": op[0]}, "float32", (*op[0].shape, classes))


@handles("LabelEncoder", "CategoryMapper", domain=ML)
def label_encoder(op: Op) -> Result:
    x = op[0]
    values = [name for name in op.attributes() if name.startswith("values_")]
    dtype = "float32" if "values_floats" in values else "int64"
    if op.has("values_tensor"):
        stored = op.stored("values_tensor")
        dtype = dtype if stored is None else stored.dtype
    # A search in a table of keys for each element.
    keys = [a for name, a in op.attributes().items() if name.startswith(("keys_", "cats_"))]
    count = max([1, *(len(a.ints) or len(a.floats) or len(a.strings) for a in keys)])
    table = Value("int64", (count,), data=np.zeros(count, dtype=np.int64))
    return op.new("aten.searchsorted.Tensor", {"sorted_sequence": table, "self": x}, dtype, x.shape)

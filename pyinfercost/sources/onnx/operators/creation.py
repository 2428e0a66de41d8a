"""Constants, ranges and random numbers."""

from __future__ import annotations

import numpy as np

from pyinfercost._core import Expr

from ..op import CONTRIB, NotKnownError, Op, Result, handles
from ..shapes import ceil_div, plain, product
from ..stored import OnnxError, StoredTensor
from ..values import MOST_KNOWN, Size, Value


@handles("Constant")
def constant(op: Op) -> Result:
    for name, dtype in (("value_float", "float32"), ("value_int", "int64")):
        if op.has(name):
            number = op.real(name) if dtype == "float32" else op.integer(name)
            return Value(dtype, (), data=np.array(number, dtype=dtype))
    for name, dtype in (("value_floats", "float32"), ("value_ints", "int64")):
        if op.has(name):
            attribute = op.attributes()[name]
            numbers = np.array(list(attribute.floats or attribute.ints), dtype=dtype)
            return Value(dtype, numbers.shape, data=numbers)
    for name in ("value_string", "value_strings"):
        if op.has(name):
            count = 1 if name == "value_string" else len(op.texts(name) or [])
            shape = () if name == "value_string" else (count,)
            return Value("int64", shape, data=np.zeros(shape, dtype=np.int64))
    if op.has("sparse_value"):
        sparse = op.attributes()["sparse_value"].sparse_tensor
        values = StoredTensor(sparse.values, op.walker.folder)
        return Value(values.dtype, tuple(sparse.dims), stored=values)
    stored = op.stored("value")
    if stored is None:
        raise OnnxError("has no value")
    return constant_of(stored)


def constant_of(stored: StoredTensor) -> Value:
    """Return a constant: small ones are known by their content, which is no weight."""
    if stored.elements <= MOST_KNOWN:
        data = stored.array()
        if data is not None and (stored.elements <= 1 or not stored.dtype.startswith("float")):
            return Value(stored.dtype, stored.shape, data=data)
    return Value(stored.dtype, stored.shape, stored=stored)


@handles("ConstantOfShape")
def constant_of_shape(op: Op) -> Result:
    stored = op.stored("value")
    dtype = "float32" if stored is None else stored.dtype
    try:
        shape = op.sizes(0)
    except NotKnownError:
        declared = op.declared(0)
        if declared is None:
            declared = op.shape_of_data("shape", op[0].shape[0])
        shape = list(declared)
    elements = product(shape)
    array = np.zeros(1, dtype=np.float32) if stored is None else stored.array()
    known = [length for length in shape if isinstance(length, int)]
    if len(known) == len(shape) and isinstance(elements, int) and array is not None and array.size:
        small = elements <= (MOST_KNOWN if not dtype.startswith("float") else 1)
        if small and min(known, default=1) >= 0:
            return Value(dtype, shape, data=np.full(known, array.reshape(-1)[0]))
    return op.new("aten.full.default", {"size": shape}, dtype, shape)


@handles("Range")
@handles("Range", domain=CONTRIB)
def range_(op: Op) -> Result:
    dtype = op[0].dtype
    ends = [op[place].scalar() for place in range(2)]
    step = op[2].scalar() if op.get(2) is not None else 1
    length: Size
    if any(end is None for end in ends) or not isinstance(step, (int, float)) or step == 0:
        declared = op.declared(0)
        length = declared[0] if declared else op.length_of_data("range", "numbers of a range whose ends are data", None)
    elif all(isinstance(end, (int, Expr)) for end in ends) and isinstance(step, int):
        span = ends[1] - ends[0]
        length = plain(ceil_div(span, step) if step > 0 else ceil_div(-span, -step))
    elif any(isinstance(end, Expr) for end in ends):
        raise NotKnownError
    else:
        quotient = (float(ends[1]) - float(ends[0])) / step
        if not np.isfinite(quotient) or quotient > 2**48:
            raise OnnxError("has a range without an end")
        length = int(np.ceil(quotient))
    if isinstance(length, int):
        length = max(length, 0)
    return op.new("aten.arange.start_step", {"end": length}, dtype, (length,))


@handles("EyeLike")
def eye_like(op: Op) -> Result:
    x = op[0]
    dtype = op.dtype_attribute("dtype") if op.has("dtype") else x.dtype
    return op.new("aten.eye.m", {"n": x.shape[0], "m": x.shape[1]}, dtype, x.shape)


_RANDOM = {"RandomNormal": "randn", "RandomUniform": "rand"}


@handles(*_RANDOM)
def random(op: Op) -> Result:
    shape = op.integers("shape") or []
    return op.new(f"aten.{_RANDOM[op.type]}.default", {"size": shape}, op.dtype_attribute("dtype"), shape)


@handles("RandomNormalLike", "RandomUniformLike", "Bernoulli")
def random_like(op: Op) -> Result:
    x = op[0]
    dtype = op.dtype_attribute("dtype") if op.has("dtype") else x.dtype
    name = {"RandomNormalLike": "randn_like", "RandomUniformLike": "rand_like", "Bernoulli": "bernoulli"}[op.type]
    return op.new(f"aten.{name}.default", {"self": x}, dtype, x.shape)


@handles("Multinomial")
def multinomial(op: Op) -> Result:
    count = op.integer("sample_size", 1)
    dtype = op.dtype_attribute("dtype", 6)
    return op.new("aten.multinomial.default", {"self": op[0], "num_samples": count}, dtype, (op[0].shape[0], count))


@handles("HannWindow", "HammingWindow", "BlackmanWindow")
def window(op: Op) -> Result:
    length: Size
    sizes = op[0].sizes()
    length = op.length_of_data("window", "points of a window", None) if sizes is None else sizes[0]
    name = {"HannWindow": "hann_window", "HammingWindow": "hamming_window", "BlackmanWindow": "blackman_window"}[
        op.type
    ]
    dtype = op.dtype_attribute("output_datatype")
    return op.new(f"aten.{name}.default", {"window_length": length}, dtype, (length,))


@handles("MelWeightMatrix")
def mel_weights(op: Op) -> Result:
    bins, length = op.sizes(0)[0], op.sizes(1)[0]
    shape = (plain(length // 2 + 1), bins)
    # Triangles: a product and a difference for each element of a matrix that is filled once.
    return op.new("aten.full.default", {"size": list(shape)}, op.dtype_attribute("output_datatype"), shape)

"""Fourier transforms."""

from __future__ import annotations

from typing import Any

from ..op import CONTRIB, NotKnownError, Op, Result, handles
from ..shapes import axis_of, plain
from ..values import Size, Value


@handles("DFT")
def dft(op: Op) -> Result:
    x = op[0]
    axis = op.integer("axis", 1)
    if op.version >= 20:
        axis = -2 if op.get(2) is None else op.whole(2)[0]
    place = axis_of(axis, x.rank)
    onesided = bool(op.integer("onesided"))
    inverse = bool(op.integer("inverse"))
    if op.get(1) is not None:
        length = op.sizes(1)[0]
    else:
        # Half a spectrum of real numbers: the other half is its mirror image.
        length = plain((x.shape[place] - 1) * 2) if onesided and inverse else x.shape[place]
    # The last dimension is one real part, or a real and an imaginary one.
    real_in = x.shape[-1] == 1
    shape = list(x.shape)
    shape[place] = plain(length // 2 + 1) if onesided and not inverse else length
    shape[-1] = 1 if onesided and inverse else 2
    return _transform(op, x, real_in=real_in, place=place, length=length, shape=shape)


def _transform(op: Op, x: Value, *, real_in: bool, place: int, length: Size, shape: list[Size]) -> Value:
    dtype = "complex128" if x.dtype == "float64" else "complex64"
    kept = list(x.shape[:-1])
    kept[place] = length
    out = shape[:-1]
    dim = [place]
    if shape[-1] == 1:
        spectrum = Value(dtype, kept)
        op.emit("aten.view_as_complex.default", {"self": x}, spectrum)
        return op.new("aten._fft_c2r.default", {"self": spectrum, "dim": dim}, x.dtype, shape)
    result = Value(dtype, out)
    if real_in:
        signal = Value(x.dtype, kept)
        op.emit("aten.view.default", {"self": x}, signal)
        op.emit("aten._fft_r2c.default", {"self": signal, "dim": dim}, result)
    else:
        signal = Value(dtype, kept)
        op.emit("aten.view_as_complex.default", {"self": x}, signal)
        op.emit("aten._fft_c2c.default", {"self": signal, "dim": dim}, result)
    return op.new("aten.view_as_real.default", {"self": result}, x.dtype, shape)


@handles("STFT")
def stft(op: Op) -> Result:
    x = op[0]
    steps = op.sizes(1)[0]
    window = op.get(2)
    if op.get(3) is not None:
        length = op.sizes(3)[0]
    elif window is not None:
        length = window.shape[0]
    else:
        raise NotKnownError
    onesided = bool(op.integer("onesided", 1))
    bins = plain(length // 2 + 1) if onesided else length
    frames = plain((x.shape[1] - length) // steps + 1)
    dtype = "complex128" if x.dtype == "float64" else "complex64"
    spectrum = Value(dtype, (x.shape[0], bins, frames))
    arguments: dict[str, Any] = {"self": x, "n_fft": length}
    if window is not None:
        arguments["window"] = window
    op.emit("aten.stft.default", arguments, spectrum)
    return op.new("aten.view_as_real.default", {"self": spectrum}, x.dtype, (x.shape[0], frames, bins, 2))


@handles("Rfft", "Irfft", domain=CONTRIB)
def rfft(op: Op) -> Result:
    x = op[0]
    dims = op.integer("signal_ndim", 1)
    if op.type == "Rfft":
        axes = list(range(x.rank - dims, x.rank))
        shape: list[Size] = [*x.shape[:-1], plain(x.shape[-1] // 2 + 1)]
        spectrum = Value("complex64", shape)
        op.emit("aten._fft_r2c.default", {"self": x, "dim": axes}, spectrum)
        return op.new("aten.view_as_real.default", {"self": spectrum}, x.dtype, [*shape, 2])
    half = Value("complex64", x.shape[:-1])
    op.emit("aten.view_as_complex.default", {"self": x}, half)
    shape = [*x.shape[:-2], plain((x.shape[-2] - 1) * 2)]
    axes = list(range(x.rank - 1 - dims, x.rank - 1))
    return op.new("aten._fft_c2r.default", {"self": half, "dim": axes}, x.dtype, shape)


@handles("ComplexMul", "ComplexMulConj", domain=CONTRIB)
def complex_mul(op: Op) -> Result:
    a, b = op[0], op[1]
    values = []
    for x in (a, b):
        number = Value("complex64", x.shape[:-1])
        op.emit("aten.view_as_complex.default", {"self": x}, number)
        values.append(number)
    product = op.inner("aten.mul.Tensor", {"self": values[0], "other": values[1]}, "complex64", a.shape[:-1])
    return op.new("aten.view_as_real.default", {"self": product}, a.dtype, a.shape)

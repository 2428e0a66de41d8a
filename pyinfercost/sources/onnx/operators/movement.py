"""Views and copies: shapes of tensors, concatenation, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..op import CONTRIB, NotKnownError, Op, Result, handles
from ..shapes import axis_of, broadcast, ceil_div, is_one, plain, product, row_major, same, slice_length, viewed
from ..stored import OnnxError
from ..values import Shape, Size, Value, symbolic


def strides_of(x: Value) -> Shape:
    """Return the strides of a value."""
    return row_major(x.shape) if x.strides is None else x.strides


def reshaped(op: Op, x: Value, shape: Sequence[Size], *, inner: bool = False) -> Value:
    """Emit a reshape: a view where strides allow it, else a copy."""
    if tuple(shape) == x.shape:
        return x
    strides = None if x.strides is None else viewed(x.shape, x.strides, shape)
    result = Value(x.dtype, shape, strides=strides) if inner else op.result(x.dtype, shape, strides=strides)
    result.source = _viewed_source(op, x, "aten.reshape.default", {"shape": list(shape)}, result)
    if result.source is not None:
        result.make = result.source.reading(op, result)
        return result
    return op.emit("aten.reshape.default", {"self": x, "shape": list(shape)}, result)


def _viewed_source(op: Op, x: Value, name: str, arguments: dict[str, Any], result: Value) -> Any:
    # A view of a quantized tensor is a quantized view: the values stay as they are.
    if x.source is None or not x.source.is_whole:
        return None
    stored = Value(x.source.stored.dtype, result.shape, strides=result.strides)
    op.emit(name, {"self": x.source.stored, **arguments}, stored)
    return x.source.of(stored)


def permuted(op: Op, x: Value, order: Sequence[int], *, inner: bool = False) -> Value:
    """Emit a permutation of dimensions, a view."""
    if list(order) == list(range(x.rank)):
        return x
    strides = strides_of(x)
    shape = [x.shape[axis] for axis in order]
    moved = [strides[axis] for axis in order]
    result = Value(x.dtype, shape, strides=moved) if inner else op.result(x.dtype, shape, strides=moved)
    result.source = _viewed_source(op, x, "aten.permute.default", {"dims": list(order)}, result)
    if result.source is not None:
        result.make = result.source.reading(op, result)
        return result
    last = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
    if x.is_weight and list(order) == last:
        # Written only for readers other than products, which accept both orders of weights.
        result.base = x
        emitter = op.walker.emitter
        place = emitter.place

        def make() -> Any:
            emitter.place = place
            emitter.node("aten.permute.default", {"self": x, "dims": list(order)}, [result])
            return emitter.tensor(result)

        result.make = make
        return result
    return op.emit("aten.permute.default", {"self": x, "dims": list(order)}, result)


def part_of(op: Op, x: Value, axis: int, start: Size, length: Size) -> Value:
    """Emit a slice along one axis, a view."""
    shape = list(x.shape)
    shape[axis] = length
    result = Value(x.dtype, shape, strides=strides_of(x))
    return op.emit("aten.slice.Tensor", {"self": x, "dim": axis, "start": start, "end": plain(start + length)}, result)


def expanded(op: Op, x: Value, shape: Sequence[Size]) -> Value:
    """Emit a broadcast to a shape, a view."""
    if tuple(shape) == x.shape:
        return x
    added = len(shape) - x.rank
    old: list[Size] = [*([1] * added), *x.shape]
    steps: list[Size] = [*([0] * added), *strides_of(x)]
    strides = [
        0 if is_one(length) and not is_one(new) else step for length, step, new in zip(old, steps, shape, strict=True)
    ]
    result = op.result(x.dtype, shape, strides=strides)
    return op.emit("aten.expand.default", {"self": x, "size": list(shape)}, result)


@handles("Reshape")
def reshape(op: Op) -> Result:
    x = op[0]
    if op.version < 5:
        wanted: list[Size] = list(op.integers("shape") or [])
    else:
        try:
            wanted = op.sizes(1)
        except NotKnownError:
            declared = op.declared(0)
            if declared is None:
                declared = op.shape_of_data("reshape", op[1].shape[0])
            return reshaped(op, x, declared)
    shape: list[Size] = []
    free: int | None = None
    for place, length in enumerate(wanted):
        if isinstance(length, int) and length == -1:
            free = place
        elif isinstance(length, int) and length == 0 and not op.integer("allowzero"):
            if place >= x.rank:
                raise OnnxError(f"keeps dimension {place} of a tensor of {x.rank} dimensions")
            length = x.shape[place]  # noqa: PLW2901
        elif isinstance(length, int) and length < 0:
            raise OnnxError(f"reshapes to the length {length}; expected -1 or more")
        shape.append(length)
    if free is not None:
        shape[free] = 1
        shape[free] = _quotient(product(x.shape), product(shape))
    elif (elements := product(x.shape)) != (wanted_elements := product(shape)):
        same(plain(elements), plain(wanted_elements), op.guard)
    return reshaped(op, x, shape)


def _quotient(elements: Size, known: Size) -> Size:
    elements, known = plain(elements), plain(known)
    if isinstance(elements, int) and isinstance(known, int):
        if known == 0:
            return 0
        if elements % known:
            raise OnnxError(f"reshapes {elements} elements to rows of {known}; expected a divisor")
        return elements // known
    return plain(elements // known)


@handles("Flatten")
def flatten(op: Op) -> Result:
    x = op[0]
    axis = op.integer("axis", 1)
    axis = axis if axis == x.rank else axis_of(axis, x.rank)
    return reshaped(op, x, [product(x.shape[:axis]), product(x.shape[axis:])])


@handles("Squeeze")
def squeeze(op: Op) -> Result:
    x = op[0]
    axes = op.axes(1, x.rank)
    if axes is None:
        axes = [place for place, length in enumerate(x.shape) if is_one(length)]
    kept = [place for place in range(x.rank) if place not in axes]
    strides = strides_of(x)
    return reshaped_view(op, x, [x.shape[p] for p in kept], [strides[p] for p in kept], "squeeze")


@handles("Unsqueeze")
def unsqueeze(op: Op) -> Result:
    x = op[0]
    axes = op.whole(1) if op.get(1) is not None else op.integers("axes") or []
    rank = x.rank + len(axes)
    places = {axis_of(axis, rank) for axis in axes}
    if len(places) != len(axes):
        raise OnnxError(f"adds the dimensions {axes}; expected different ones")
    shape, strides = list(x.shape), list(strides_of(x))
    for place in sorted(places):
        shape.insert(place, 1)
        strides.insert(place, 1)
    return reshaped_view(op, x, shape, strides, "unsqueeze")


@handles("ExpandDims", domain=CONTRIB)
def expand_dims(op: Op) -> Result:
    x = op[0]
    place = axis_of(op.whole(1)[0], x.rank + 1)
    return reshaped(op, x, [*x.shape[:place], 1, *x.shape[place:]])


def reshaped_view(op: Op, x: Value, shape: Sequence[Size], strides: Sequence[Size], name: str) -> Value:
    """Emit a view with given strides."""
    if tuple(shape) == x.shape:
        return x
    result = op.result(x.dtype, shape, strides=None if x.strides is None else strides)
    result.source = _viewed_source(op, x, "aten.view.default", {"size": list(shape)}, result)
    if result.source is not None:
        result.make = result.source.reading(op, result)
        return result
    return op.emit(f"aten.{name}.default", {"self": x, "size": list(shape)}, result)


@handles("Transpose")
def transpose(op: Op) -> Result:
    x = op[0]
    order = op.integers("perm")
    order = list(range(x.rank))[::-1] if not order else [axis_of(axis, x.rank) for axis in order]
    if sorted(order) != list(range(x.rank)):
        raise OnnxError(f"permutes {x.rank} dimensions by {order}")
    return permuted(op, x, order)


@handles("Shape")
def shape_(op: Op) -> Result:
    x = op[0]
    start, end = op.integer("start", 0), op.integer("end", x.rank)
    lengths = x.shape[start:end]
    return Value("int64", (len(lengths),), data=symbolic(lengths))


@handles("Size")
def size(op: Op) -> Result:
    return Value("int64", (), data=symbolic([product(op[0].shape)]).reshape(()))


@handles("Expand")
def expand(op: Op) -> Result:

    x = op[0]
    try:
        wanted = op.sizes(1)
    except NotKnownError:
        declared = op.declared(0)
        if declared is None:
            raise
        return expanded(op, x, declared)
    return expanded(op, x, broadcast([x.shape, tuple(wanted)], op.guard))


@handles("Concat")
def concat(op: Op) -> Result:
    values = op.all()
    return joined(op, values, op.axis(1, values[0].rank))


def joined(op: Op, values: Sequence[Value], axis: int, *, inner: bool = False, place: int = 0) -> Value:
    """Emit a concatenation."""
    if len(values) == 1:
        return values[0]
    shape = list(values[0].shape)
    for value in values[1:]:
        if value.rank != len(shape):
            raise OnnxError(f"joins tensors of {len(shape)} and {value.rank} dimensions; expected equal numbers")
        for other, length in enumerate(value.shape):
            shape[other] = plain(shape[other] + length) if other == axis else same(shape[other], length, op.guard)
    result = Value(values[0].dtype, shape) if inner else op.result(values[0].dtype, shape, place=place)
    return op.emit("aten.cat.default", {"tensors": list(values), "dim": axis}, result)


@handles("Split")
def split(op: Op) -> Sequence[Result]:
    x = op[0]
    axis = op.axis(0, x.rank)
    count = op.integer("num_outputs", len(op.output_names))
    parts: list[Size] | None = op.sizes(1) if op.get(1) is not None else None
    if parts is None:
        given = op.integers("split")
        parts = None if given is None else list(given)
    if parts is None:
        if count < 1:
            raise OnnxError("splits into no parts")
        each = ceil_div(x.shape[axis], count)
        parts = [each] * (count - 1) + [plain(x.shape[axis] - each * (count - 1))]
    strides = strides_of(x)
    results = []
    for place, length in enumerate(parts):
        shape = list(x.shape)
        shape[axis] = length
        results.append(op.result(x.dtype, shape, strides=strides, place=place))
    op.emit("aten.split_with_sizes.default", {"self": x, "split_sizes": parts, "dim": axis}, *results)
    return list(results)


@handles("Slice")
def slice_(op: Op) -> Result:
    x = op[0]
    if op.version < 10:
        starts: list[Size] = list(op.integers("starts") or [])
        ends: list[Size] = list(op.integers("ends") or [])
        axes = op.integers("axes")
        steps = [1] * len(starts)
    else:
        axes = op.whole(3) if op.get(3) is not None else None
        steps = (
            op.whole(4) if op.get(4) is not None else [1] * len(op.sizes(1) if op[1].data is not None else axes or [])
        )
        unknown: list[Size] = []
        starts = op.sizes(1) if op[1].sizes() is not None else unknown
        ends = op.sizes(2) if op[2].sizes() is not None else unknown
        if not starts or not ends:
            return _unknown_slice(op, x, axes)
    axes = list(range(len(starts))) if axes is None else axes
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise OnnxError("slices by lists of different lengths")
    shape, strides = list(x.shape), list(strides_of(x))
    arguments = []
    copies = False
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = axis_of(axis, x.rank)
        first, length = slice_length(shape[place], start, end, step, op.guard)
        if length == shape[place] and step == 1:
            continue
        arguments.append((place, first, length, step))
        shape[place] = length
        strides[place] = strides[place] * step if step > 0 else strides[place]
        copies = copies or step < 0
    if not arguments:
        return x
    # Torch has no views that run backward.
    if copies:
        return op.new("aten.flip.default", {"self": x, "dims": [a[0] for a in arguments]}, x.dtype, shape)
    place, first, length, step = arguments[-1]
    result = op.result(x.dtype, shape, strides=strides)
    details = {"dim": place, "start": first, "end": plain(first + length * step), "step": step}
    return op.emit("aten.slice.Tensor", {"self": x, **details}, result)


def _unknown_slice(op: Op, x: Value, axes: Sequence[int] | None) -> Value:
    count = op[1].shape[0]
    if axes is None and not isinstance(count, int):
        raise NotKnownError
    places = range(int(count)) if axes is None else axes
    declared = op.declared(0)
    shape = list(x.shape)
    for axis in places:
        place = axis_of(axis, x.rank)
        known = declared[place] if declared is not None and place < len(declared) else None
        shape[place] = (
            op.length_of_data("slice", "elements of a slice whose bounds are data", shape[place])
            if known is None
            else known
        )
    return op.emit("aten.slice.Tensor", {"self": x}, op.result(x.dtype, shape, strides=strides_of(x)))


@handles("Tile")
def tile(op: Op) -> Result:
    x = op[0]
    repeats = op.sizes(1)
    shape = [plain(length * count) for length, count in zip(x.shape, repeats, strict=True)]
    return op.new("aten.repeat.default", {"self": x, "repeats": repeats}, x.dtype, shape)


@handles("Pad")
def pad(op: Op) -> Result:
    x = op[0]
    name = {"reflect": "reflection", "edge": "replication"}.get(op.text("mode", "constant"), "")
    if op.version < 11:
        pads: list[Size] = list(op.integers("pads") or op.integers("paddings") or [])
        axes = list(range(x.rank))
    else:
        pads = op.sizes(1)
        axes = op.axes(3, x.rank) or list(range(x.rank)) if op.get(3) is not None else list(range(x.rank))
    if len(pads) != 2 * len(axes):
        raise OnnxError(f"pads {len(axes)} dimensions by {len(pads)} numbers; expected twice as many")
    shape = list(x.shape)
    for place, axis in enumerate(axes):
        shape[axis] = plain(shape[axis] + pads[place] + pads[place + len(axes)])
    if shape == list(x.shape) and all(isinstance(p, int) and p == 0 for p in pads):
        return x
    aten = f"aten.{name}_pad2d.default" if name else "aten.constant_pad_nd.default"
    if op.text("mode") == "wrap":
        aten = "aten._pad_circular.default"
    return op.new(aten, {"self": x, "pad": pads}, x.dtype, shape)


@handles("Pad", domain=CONTRIB)
def contrib_pad(op: Op) -> Result:
    x = op[0]
    pads = op.sizes(1)
    shape = [plain(n + pads[i] + pads[i + x.rank]) for i, n in enumerate(x.shape)]
    return op.new("aten.constant_pad_nd.default", {"self": x, "pad": pads}, x.dtype, shape)


@handles("DepthToSpace", "SpaceToDepth")
def depth_to_space(op: Op) -> Result:
    x = op[0]
    block = op.integer("blocksize", 1)
    if x.rank != 4 or block < 1:
        raise OnnxError(f"moves blocks of {block} in a tensor of {x.rank} dimensions; expected 4 dimensions")
    n, c, h, w = x.shape
    if op.type == "DepthToSpace":
        shape: list[Size] = [n, plain(c // block**2), plain(h * block), plain(w * block)]
        return op.new("aten.pixel_shuffle.default", {"self": x, "upscale_factor": block}, x.dtype, shape)
    shape = [n, plain(c * block**2), plain(h // block), plain(w // block)]
    return op.new("aten.pixel_unshuffle.default", {"self": x, "downscale_factor": block}, x.dtype, shape)


@handles("Trilu")
@handles("Trilu", domain=CONTRIB)
def trilu(op: Op) -> Result:
    name = "triu" if op.integer("upper", 1) else "tril"
    return op.new(f"aten.{name}.default", {"self": op[0]}, op[0].dtype, op[0].shape)


@handles("ReverseSequence")
def reverse_sequence(op: Op) -> Result:
    # The elements along the time axis in another order.
    return op.new("aten.gather.default", {"self": op[0], "index": op[1]}, op[0].dtype, op[0].shape)


@handles("CenterCropPad")
def center_crop_pad(op: Op) -> Result:
    x = op[0]
    axes = op.integers("axes")
    places = list(range(x.rank)) if axes is None else [axis_of(axis, x.rank) for axis in axes]
    shape = list(x.shape)
    for place, length in zip(places, op.sizes(1), strict=True):
        shape[place] = length
    return op.new("aten.constant_pad_nd.default", {"self": x}, x.dtype, shape)


@handles("Col2Im")
def col2im(op: Op) -> Result:
    x = op[0]
    image, block = op.sizes(1), op.sizes(2)
    shape = [x.shape[0], plain(x.shape[1] // product(block)), *image]
    return op.new("aten.col2im.default", {"self": x, "output_size": image, "kernel_size": block}, x.dtype, shape)

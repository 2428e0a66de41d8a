"""Scans of arrays: equal to a slow reference for every dtype, layout, instruction set and number of threads."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from support.examples import examples
from support.sparsity_reference import reference, structured

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.results.sparsity import Magnitudes, bin_edges
from pyinfercost.scan import share_below, share_below_rms
from pyinfercost.scan.arrays import Layout, figures_of, packed_bytes, scan_memory

NUMPY_DTYPES = ("float64", "float32", "float16", "int8", "uint8", "int16", "int32", "int64", "bool", "complex64")
# Bits of a zero (both signs), and of what is none, for dtypes that numpy has not: width, zeros, others.
RAW = {
    "bfloat16": (2, (0x0000, 0x8000), (0x0001, 0x8001, 0x3F80, 0x7FC0, 0x7F80)),
    "float8_e4m3fn": (1, (0x00, 0x80), (0x01, 0x81, 0x7F, 0xFF)),
    "float8_e5m2": (1, (0x00, 0x80), (0x01, 0x81, 0x7C, 0x7F)),
    "float8_e4m3fnuz": (1, (0x00,), (0x80, 0x01, 0x7F)),
    "float8_e5m2fnuz": (1, (0x00,), (0x80, 0x01, 0x7F)),
    "float8_e8m0fnu": (1, (), (0x00, 0x80, 0x7F, 0xFF)),
}
lengths = st.one_of(st.integers(0, 70), st.integers(120, 270))
seeds = st.integers(0, 2**32 - 1)
keeps = st.sampled_from([0.0, 0.02, 0.3, 0.5, 0.9, 1.0])


def values(rng: np.random.Generator, used: Any, dtype: str) -> Any:
    """Numbers where `used`, and zeros of both signs elsewhere."""
    numbers = rng.integers(1, 100, used.shape)
    signs = np.where(rng.random(used.shape) < 0.5, -1, 1)
    if dtype.startswith(("u", "b")):
        return np.where(used, numbers, 0).astype(dtype)
    if dtype.startswith("i"):
        return np.where(used, numbers * signs, 0).astype(dtype)
    return (np.where(used, numbers, 0).astype(dtype) * signs.astype(dtype)).astype(dtype)


def scanned(layout: Layout, data: Any, **how: Any) -> Any:
    scan = layout.new_scan(flat=True)
    scan.add(np.ascontiguousarray(data).reshape(-1).view(np.uint8), **how)
    return figures_of(layout, scan)


@settings(max_examples=examples(60))
@given(dtype=st.sampled_from(NUMPY_DTYPES), shape=st.lists(lengths, max_size=2), keep=keeps, seed=seeds)
def test_arrays_agree_with_the_reference(dtype: str, shape: list[int], keep: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    used = structured(rng, tuple(shape), keep)
    array = values(rng, used, dtype)
    weight = ic.sparsity(array, threads=1).weights[0]
    assert weight.figures == reference(np.asarray(array != 0), array.nbytes)
    assert weight.shape == tuple(shape)
    assert weight.dtype == dtype


@settings(max_examples=examples(40))
@given(
    dtype=st.sampled_from(["float32", "float64", "int8", "float16"]),
    kernel=st.sampled_from([(1, 1), (3, 3), (7, 1), (0, 3)]),
    out=st.integers(0, 40),
    channels=st.integers(0, 20),
    order=st.permutations(range(4)),
    flips=st.lists(st.booleans(), min_size=4, max_size=4),
    seed=seeds,
)
def test_any_strides(
    dtype: str, kernel: tuple[int, int], out: int, channels: int, order: list[int], flips: list[bool], seed: int
) -> None:
    """Convolutions whose dimensions lie in another order, every other element of a larger array, and backwards."""
    rng = np.random.default_rng(seed)
    shape = (out, channels, *kernel)
    used = structured(rng, shape, 0.4)
    large = np.zeros([2 * shape[d] + 1 for d in order], dtype=dtype)
    view = large[tuple(slice(1, None, 2) for _ in order)].transpose(np.argsort(order))
    view[...] = values(rng, used, dtype)
    view = view[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    assert view.shape == shape
    assert ic.sparsity(view, threads=1).weights[0].figures == reference(view != 0, view.nbytes)


@pytest.mark.parametrize("dtype", RAW)
def test_dtypes_that_numpy_has_not(dtype: str) -> None:
    width, zeros, others = RAW[dtype]
    rng = np.random.default_rng(1)
    for shape in [(37, 131), (64, 64), (5,), (1, 200)]:
        used = structured(rng, shape, 0.5) if zeros else np.ones(shape, dtype=bool)
        data = np.where(used, rng.choice(others, shape), rng.choice(zeros or (0,), shape)).astype(f"u{width}")
        figures, _ = scanned(Layout(dtype, shape), data)
        assert figures == reference(used, data.nbytes)


@pytest.mark.parametrize("dtype", ["int4", "uint4", "float4_e2m1fn_x2"])
@pytest.mark.parametrize("shape", [(3, 2), (70, 134), (9, 8192), (65, 64), (1000,), (7,)])
def test_two_in_a_byte(dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    nibbles = np.where(structured(rng, shape, 0.5), rng.integers(1, 16, shape), 0)
    flat = np.pad(nibbles.reshape(-1), (0, nibbles.size % 2))
    data = (flat[0::2] | flat[1::2] << 4).astype(np.uint8)
    used = (nibbles & 7) != 0 if dtype.startswith("float") else nibbles != 0
    for simd in _core.simd_levels():
        figures, _ = scanned(Layout(dtype, shape), data, simd=simd)
        assert figures == reference(used, data.nbytes)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8"])
@pytest.mark.parametrize("shape", [(130, 70), (8, 20000), (200, 8193), (300_001,), (3, 64)])
def test_neither_threads_nor_instructions_matter(dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    array = values(rng, structured(rng, shape, 0.3), dtype)
    layout = Layout(dtype, shape)
    expected = reference(array != 0, array.nbytes)
    found = [
        scanned(layout, array, simd=simd, threads=threads) for simd in _core.simd_levels() for threads in (1, 2, 5)
    ]
    assert all(figures == expected for figures, _ in found)
    assert all(magnitudes == found[0][1] for _, magnitudes in found)


@given(seed=seeds, rows=st.integers(1, 300), columns=st.integers(1, 700))
def test_regions_in_any_order_are_one_weight(seed: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    array = values(rng, structured(rng, (rows, columns), 0.3), "float32")
    layout = Layout("float32", (rows, columns))
    whole, magnitudes = scanned(layout, array)
    scan = layout.new_scan(flat=True)
    data = array.reshape(-1).view(np.uint8)
    regions = [(row, column) for row in range(0, rows, 128) for column in range(0, columns, 192)]
    rng.shuffle(regions)
    for row, column in regions:
        scan.add(
            data,
            offset=4 * (row * columns + column),
            first_row=row,
            rows=min(128, rows - row),
            first_column=column,
            columns=min(192, columns - column),
        )
    assert figures_of(layout, scan) == (whole, magnitudes)


def test_the_sample_is_that_of_its_definition() -> None:
    """Small weights are taken whole; of large ones each share of places gives one."""
    rng = np.random.default_rng(4)
    small = rng.standard_normal((50, 70)).astype(np.float32)
    small[0, :5] = [0, np.inf, -np.inf, np.nan, -0.0]
    found = ic.sparsity(small).weights[0].magnitudes
    finite = np.abs(small[np.isfinite(small)].astype(np.float64))
    assert found is not None
    assert (found.sampled, found.zeros, found.nonfinite) == (3500, 2, 3)
    assert (found.largest, found.smallest) == (finite.max(), finite[finite > 0].min())
    assert found.root_mean_square == pytest.approx(np.sqrt((finite**2).mean()), rel=1e-12)
    for edge in bin_edges(found):
        expected = np.count_nonzero(finite < edge) / small.size
        below = share_below(found, edge)
        assert below == pytest.approx(expected) or edge == bin_edges(found)[0]
    places = np.arange(10**6, dtype=np.int32).reshape(1000, 1000)
    large = ic.sparsity(places, threads=3).weights[0].magnitudes
    assert large is not None
    assert large.sampled == _core.SAMPLE_SIZE
    # One from each share: as many below any threshold as there are shares below it, give or take the one it cuts.
    for threshold in (2.0**17, 2.0**18, 2.0**19):
        assert share_below(large, threshold) == pytest.approx(threshold / 10**6, abs=2 / _core.SAMPLE_SIZE)


@pytest.mark.parametrize(
    ("dtype", "bits", "magnitude"),
    [
        ("bfloat16", 0xC040, 3.0),
        ("bfloat16", 0x0001, 2.0**-133),
        ("float8_e4m3fn", 0xFE, 448.0),
        ("float8_e5m2", 0x7B, 57344.0),
        ("float8_e5m2", 0x01, 2.0**-16),
        ("float8_e4m3fnuz", 0x7F, 240.0),
        ("float8_e5m2fnuz", 0x7F, 57344.0),
        ("float8_e8m0fnu", 0x80, 2.0),
        ("float4_e2m1fn_x2", 0x0F, 6.0),
        ("int4", 0x08, 8.0),
        ("uint4", 0x0F, 15.0),
        ("float64", 0x7FEFFFFFFFFFFFFF, 1.7976931348623157e308),
        ("float64", 0x0000000000000001, 5e-324),
        ("complex64", 0x4080000040400000, 5.0),
    ],
)
def test_magnitudes_of_each_dtype(dtype: str, bits: int, magnitude: float) -> None:
    width = max(1, packed_bytes(dtype, 1))
    data = np.frombuffer(bits.to_bytes(width, "little"), dtype=np.uint8)
    _, found = scanned(Layout(dtype, (1,)), data)
    assert found.largest == found.smallest == magnitude
    assert share_below(found, magnitude * 4) == 1.0 or magnitude > 1e308
    assert len(bin_edges(found)) == len(found.bins) + 1


def test_a_zero_point_is_what_is_zero() -> None:
    data = np.array([[7, 0, 7, 9], [7, 7, 7, 7]], dtype=np.uint8)
    figures, magnitudes = scanned(Layout("uint8", (2, 4), zero=7), data)
    assert (figures.zeros, figures.zero_rows) == (6, 1)
    assert magnitudes.largest == 7
    signed = np.array([-128, -128, 0], dtype=np.int8)
    assert scanned(Layout("int8", (3,), zero=-128), signed)[0].zeros == 2


@pytest.mark.parametrize("shape", [(), (0,), (0, 5), (5, 0), (3, 0, 2), (1,), (1, 1)])
def test_empty_and_single(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, dtype=np.float32)
    weight = ic.sparsity(array).weights[0]
    assert weight.figures.elements == weight.figures.zeros == array.size
    assert weight.figures.zero_rows == (shape[0] if len(shape) > 1 else 0)
    assert weight.figures.density == (0.0 if array.size else 1.0)


def test_a_kept_pattern_is_found() -> None:
    array = np.zeros((64, 64), dtype=np.float32)
    array[:, 0::2] = 1
    figures = ic.sparsity(array).weights[0].figures
    assert figures.best_groups is not None
    assert figures.best_groups.label == "2:4"
    array[:, 0::4] = 0
    best = ic.sparsity(array).weights[0].figures.best_groups
    assert best is not None
    assert best.label == "1:4"
    array[0, 0:5] = 1
    assert ic.sparsity(array).weights[0].figures.best_groups is None


def test_the_best_block_is_the_largest_that_covers_the_zeros() -> None:
    array = np.ones((128, 128), dtype=np.float32)
    array[:32, 32:96] = 0
    best = ic.sparsity(array).weights[0].figures.best_blocks
    assert best is not None
    assert (best.size, best.zero, best.blocks) == (32, 2, 16)


def test_big_endian_arrays_are_read_as_what_they_mean() -> None:
    array = np.array([[0.0, -0.0, 1e-40], [1.0, 2.0, 0.0]], dtype=">f4")
    assert ic.sparsity(array).weights[0].figures.zeros == 3


def test_what_is_given_wrongly_is_refused() -> None:
    with pytest.raises(ValueError, match=r"complex128.*expected one of float64"):
        ic.sparsity(np.zeros(3, dtype=np.complex128))
    with pytest.raises(ValueError, match="cannot be scanned"):
        ic.sparsity(np.array(["a", "b"]))
    with pytest.raises(TypeError, match="of type list; expected a numpy array"):
        ic.sparsity([1, 2])
    with pytest.raises(ValueError, match="threads is 0, expected at least 1"):
        ic.sparsity(np.zeros(3), threads=0)


def test_the_core_refuses_regions_that_do_not_fit() -> None:
    scan = _core.SparsityScan("float32", 100, 10)
    data = bytes(4000)
    with pytest.raises(ValueError, match="holds 4000 bytes, expected at least 4004"):
        scan.add(data, offset=4)
    with pytest.raises(ValueError, match="does not fit a weight of 100 x 10"):
        scan.add(data, rows=10)
    with pytest.raises(ValueError, match="does not fit"):
        scan.add(data, first_row=1, rows=63)
    with pytest.raises(ValueError, match="regions of 0 elements were scanned; expected 1000"):
        scan.result()
    scan.add(data)
    scan.add(data)
    with pytest.raises(ValueError, match="regions of 2000 elements"):
        scan.result()
    with pytest.raises(ValueError, match="need an address"):
        _core.SparsityScan("float32", 1, 4).add(bytes(64), inner=[(4, 8)])
    with pytest.raises(ValueError, match="inner dimensions have 5 elements, expected 4"):
        _core.SparsityScan("float32", 1, 4).add(bytes(64), inner=[(5, 8)])
    with pytest.raises(TypeError, match="a list, expected a buffer"):
        _core.SparsityScan("float32", 1, 4).add([0, 0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="zero point 3 needs an integer dtype"):
        _core.SparsityScan("float32", 1, 4, zero=3)
    with pytest.raises(ValueError, match="not a multiple of 3"):
        _core.SparsityScan("float32", 1, 4, channel_columns=3)
    with pytest.raises(ValueError, match="too large"):
        _core.SparsityScan("float32", 2**40, 2**40)


def test_magnitudes_without_a_bin() -> None:
    nothing = Magnitudes(
        sampled=4,
        zeros=4,
        nonfinite=0,
        largest=0.0,
        smallest=0.0,
        root_mean_square=0.0,
        lowest_octave=0,
        below=0,
        bins=(0,) * 8,
    )
    assert share_below_rms(nothing, 0.1) == 1.0
    assert share_below(scan_memory(Layout("float32", (0,)), 0, 1)[1], 1.0) == 0.0


def test_sum_words_adds_up() -> None:
    data = np.random.default_rng(5).integers(0, 2**63, 1003, dtype=np.uint64)
    assert _core.sum_words(data) == int(data.sum(dtype=np.uint64))

"""Operators that take functions: conditions, loops and flex attention, through every model source."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from support.function_module import Wrapped
from torch._higher_order_ops.map import map as torch_map
from torch._higher_order_ops.while_loop import while_loop
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

import pyinfercost as ic
from pyinfercost.sources.symbols import CaptureError
from pyinfercost.sources.torch_state import uncompiled

pytestmark = pytest.mark.torch

Tensors = tuple[torch.Tensor, ...]
PRODUCT = 4 * 4 * 4  # macs of two matrices of 4 x 4


def meta(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def module(function: Callable[..., Any]) -> Wrapped:
    return Wrapped(lambda _, *inputs: function(*inputs))


def traced(function: Callable[..., Any], *inputs: torch.Tensor) -> ic.results.Counts:
    return ic.count(ic.capture(module(function), inputs))


def cheap(x: torch.Tensor) -> torch.Tensor:
    return x + 1


def dear(x: torch.Tensor) -> torch.Tensor:
    return x @ x


def either(first: Callable[..., Any], second: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: torch.cond(x.sum() > 0, first, second, (x,))


def nested(x: torch.Tensor) -> torch.Tensor:
    return torch.cond(x.sum() > 0, cheap, either(torch.sin, lambda x: x @ x @ x), (x,))  # type: ignore[no-any-return]


def twice(x: torch.Tensor) -> torch.Tensor:
    return either(dear, cheap)(x) + either(cheap, dear)(x)  # type: ignore[no-any-return]


CONDITIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "the first is dearer": (either(dear, cheap), PRODUCT),
    "the second is dearer": (either(cheap, dear), PRODUCT),
    "one inside the other": (nested, 2 * PRODUCT),
    "two": (twice, 2 * PRODUCT),
}


@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.sample(2)
def test_the_dearer_branch_is_counted(name: str, tmp_path: Path) -> None:
    function, macs = CONDITIONS[name]
    program = torch.export.export(module(function), (torch.ones(4, 4),))
    torch.export.save(program, tmp_path / "model.pt2")
    totals = [
        traced(function, meta(4, 4)).total,
        ic.count(ic.capture(program)).total,
        ic.count(ic.capture(tmp_path / "model.pt2")).total,
    ]
    assert [total.macs for total in totals] == [macs] * 3
    assert len({(total.pointwise_flops, total.bytes_read, total.bytes_written) for total in totals}) == 1


def test_a_condition_on_the_inputs_takes_the_branch_of_a_real_run() -> None:
    assert traced(either(cheap, dear), torch.ones(4, 4)).total.macs == 0
    assert traced(either(cheap, dear), -torch.ones(4, 4)).total.macs == PRODUCT


def repeated(x: torch.Tensor) -> torch.Tensor:
    counter = torch.zeros((), dtype=torch.int64)
    return while_loop(lambda i, _: i < 5, lambda i, x: (i + 1, x @ x), (counter, x))[1]  # type: ignore[no-any-return]


def until(x: torch.Tensor) -> torch.Tensor:
    return while_loop(lambda x: x.sum() < 5, lambda x: (x @ x,), (x,))[0]  # type: ignore[no-any-return]


def test_a_loop_whose_condition_is_known_is_followed() -> None:
    counts = traced(repeated, meta(4, 4))
    assert (counts.total.macs, counts.unmodelled) == (5 * PRODUCT, {})


def test_a_loop_that_depends_on_data_is_counted_once_and_stays_in_the_ledger(tmp_path: Path) -> None:
    program = torch.export.export(module(until), (torch.ones(4, 4),))
    torch.export.save(program, tmp_path / "model.pt2")
    graphs = [ic.capture(program), ic.capture(tmp_path / "model.pt2"), ic.capture(module(until), (meta(4, 4),))]
    for counts in map(ic.count, graphs):
        assert (counts.total.macs, counts.unmodelled) == (PRODUCT, {"higher_order.while_loop": 1})


def test_a_map_runs_once_for_each_element() -> None:
    counts = traced(lambda x, w: torch_map(lambda a, w: a @ w, x, w), meta(6, 4, 4), meta(4, 4))
    assert (counts.total.macs, counts.unmodelled) == (6 * PRODUCT, {})


# ---- flex attention --------------------------------------------------------------------------------------------------

HEADS, LENGTH, WIDTH, BLOCK = 4, 256, 16, 128
DENSE = 2 * HEADS * LENGTH * LENGTH * WIDTH


def heads(number: int = HEADS) -> torch.Tensor:
    return meta(1, number, LENGTH, WIDTH)


def causal(batch: Any, head: Any, row: Any, column: Any) -> Any:
    return row >= column


def masked(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> Any:
    mask = create_block_mask(causal, None, None, LENGTH, LENGTH, device=str(query.device), BLOCK_SIZE=BLOCK)
    return flex_attention(query, key, value, block_mask=mask)


def test_flex_attention() -> None:
    for function, key_heads in (
        (flex_attention, HEADS),
        (lambda q, k, v: flex_attention(q, k, v, score_mod=lambda s, b, h, i, j: s + (i - j)), HEADS),
        (lambda q, k, v: flex_attention(q, k, v, enable_gqa=True), 2),
    ):
        counts = traced(function, heads(), heads(key_heads), heads(key_heads))
        assert (counts.total.macs, counts.unmodelled) == (DENSE, {})
        assert counts.total.causal_flops == 2 * DENSE


def test_the_blocks_of_a_mask_are_a_figure_of_their_own() -> None:
    """Of four blocks of 128 x 128 the last of the first row is left out."""
    counts = traced(masked, *[heads()] * 3)
    assert counts.total.macs == DENSE
    assert counts.total.causal_flops == 2 * DENSE * 3 // 4


def test_flex_attention_of_a_program() -> None:
    x = torch.ones(1, HEADS, LENGTH, WIDTH)
    counts = ic.count(ic.capture(torch.export.export(module(flex_attention), (x, x, x))))
    assert (counts.total.macs, counts.unmodelled) == (DENSE, {})


def test_a_training_step_of_flex_attention_is_refused_with_what_to_do() -> None:
    query = torch.empty(1, HEADS, LENGTH, WIDTH, device="meta", requires_grad=True)
    with pytest.raises(CaptureError, match=r"no eager form; expected an inference, or scaled_dot_product_attention"):
        ic.capture(module(lambda q: flex_attention(q, q, q)).train(), (query,), training=True)


def test_flex_attention_is_left_as_it_was() -> None:
    import torch.nn.attention.flex_attention as flex

    before = flex._validate_device
    traced(flex_attention, *[heads()] * 3)
    with pytest.raises(CaptureError):
        traced(lambda q: flex_attention(q, q, q), meta(3, 3))
    assert flex._validate_device is before
    assert flex._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG is False


def test_captures_on_threads_leave_flex_attention_as_it_was() -> None:
    import torch.nn.attention.flex_attention as flex

    before, first_left = flex._validate_device, threading.Event()
    both = threading.Barrier(2)

    def hold(first: bool) -> None:
        with uncompiled():
            both.wait()
            if not first:
                first_left.wait()
                assert flex._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG is True
        if first:
            first_left.set()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(hold, first) for first in (True, False)]:
            done.result(timeout=60)
    assert flex._validate_device is before
    assert flex._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG is False

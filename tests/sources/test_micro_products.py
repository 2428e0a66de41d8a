"""Products in all forms: multiply-accumulates by hand, and by torch's own counter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.micro_calls import Case, check, counted, t
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

pytestmark = pytest.mark.torch

COMPLEX = torch.complex64

CASES = [
    Case("baddbmm", torch.baddbmm, (t(5, 2, 4), t(5, 2, 3), t(5, 3, 4)), 5 * 2 * 3 * 4, 40),
    Case("addbmm", torch.addbmm, (t(2, 4), t(5, 2, 3), t(5, 3, 4)), 5 * 2 * 3 * 4, 40),
    Case("dot", torch.dot, (t(7), t(7)), 7),
    Case("vdot of complex numbers", torch.vdot, (t(7, dtype=COMPLEX), t(7, dtype=COMPLEX)), 4 * 7),
    Case("addmv", torch.addmv, (t(2), t(2, 3), t(3)), 6, 2),
    Case("addr", torch.addr, (t(2, 3), t(2), t(3)), 0, 2 * 6),
    Case("outer", torch.outer, (t(2), t(3)), 0, 6),
    Case("inner", torch.inner, (t(2, 4), t(3, 4)), 2 * 3 * 4),
    Case("multi_dot", lambda *m: torch.linalg.multi_dot(list(m)), (t(2, 3), t(3, 4), t(4, 5)), 2 * 3 * 4 + 2 * 4 * 5),
    Case("chain_matmul", torch.linalg.multi_dot, ([t(2, 3), t(3, 4)],), 2 * 3 * 4),
    Case("tensordot", lambda a, b: torch.tensordot(a, b, 2), (t(2, 3, 4), t(3, 4, 5)), 2 * 12 * 5),
    Case("vecdot", torch.linalg.vecdot, (t(4, 5), t(4, 5)), 20),
    Case("kron", torch.kron, (t(2, 3), t(4, 5)), 0, 6 * 20),
    Case("complex matmul", torch.matmul, (t(2, 3, dtype=COMPLEX), t(3, 4, dtype=COMPLEX)), 4 * 24),
    Case(
        "Bilinear with a batch of pairs", nn.Bilinear(3, 4, 5), (t(2, 6, 3), t(2, 6, 4)), 12 * 12 * 5, 12 * 12 + 12 * 5
    ),
    Case("einsum: diagonal", lambda a: torch.einsum("ii->i", a), (t(4, 4),)),
    Case("einsum: trace", lambda a: torch.einsum("ii", a), (t(4, 4),), 0, 4),
    Case("einsum: transpose", lambda a: torch.einsum("ij->ji", a), (t(3, 4),)),
    Case("einsum: sum", lambda a: torch.einsum("ijk->j", a), (t(3, 4, 5),), 0, 60),
    Case("einsum: a length of 1", lambda a, b: torch.einsum("ij,jk->ik", a, b), (t(4, 1), t(5, 6)), 0, 30 + 4 * 6),
    Case("einsum: a letter alone", lambda a, b: torch.einsum("ij,k->ik", a, b), (t(2, 3), t(4)), 0, 6 + 2 * 4),
    Case("einsum: two ellipses", lambda a, b: torch.einsum("...ij,...jk", a, b), (t(6, 1, 2, 3), t(5, 3, 4)), 30 * 24),
    Case(
        "einsum: three operands",
        lambda a, b, c: torch.einsum("bi,bj,ijk->bk", a, b, c),
        (t(2, 3), t(2, 4), t(3, 4, 5)),
        2 * 12 * 5,
        2 * 12,
    ),
    Case("einsum: sublists", lambda a, b: torch.einsum(a, [0, 1], b, [1, 2], [0, 2]), (t(2, 3), t(3, 4)), 2 * 3 * 4),
    Case("conv1d, dilated", lambda x, w: F.conv1d(x, w, dilation=2), (t(2, 4, 9), t(6, 4, 3)), 2 * 6 * 5 * 4 * 3),
    Case(
        "conv3d, grouped", lambda x, w: F.conv3d(x, w, groups=2), (t(1, 4, 5, 5, 5), t(6, 2, 3, 3, 3)), 6 * 27 * 2 * 27
    ),
    Case("conv2d, valid", lambda x, w: F.conv2d(x, w, padding="valid"), (t(1, 4, 8, 8), t(6, 4, 3, 3)), 36 * 6 * 4 * 9),
    Case("conv1d, same, dilated", nn.Conv1d(4, 6, 3, padding="same", dilation=2), (t(1, 4, 9),), 9 * 6 * 12, 54),
    Case("conv3d, same, even", nn.Conv3d(2, 3, 2, padding="same"), (t(1, 2, 4, 4, 4),), 64 * 3 * 16, 192),
    Case(
        "conv_transpose1d, dilated", nn.ConvTranspose1d(4, 6, 3, stride=2, dilation=2), (t(1, 4, 5),), 5 * 4 * 6 * 3, 78
    ),
    Case(
        "conv_transpose3d, grouped, padded",
        nn.ConvTranspose3d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, bias=False),
        (t(1, 4, 3, 3, 3),),
        27 * 4 * 3 * 27,
    ),
    Case("conv2d without a batch", nn.Conv2d(3, 4, 3, bias=False), (t(3, 6, 6),), 16 * 4 * 27),
    Case(
        "conv2d, padding mode", nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), (t(1, 3, 6, 6),), 36 * 108, 144
    ),
    Case("conv_tbc", torch.conv_tbc, (t(5, 2, 3), t(2, 3, 4), t(4)), 4 * 2 * 4 * 6, 32),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_products(case: Case) -> None:
    check(case)


# Rules of torch's counter are for real numbers, and for what reaches it: it takes composite ops apart itself.
COMPARED = [c for c in CASES if c.macs and c.name.startswith(("einsum", "conv", "baddbmm", "multi_dot", "tensordot"))]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("case", [c for c in COMPARED if c.name != "conv_tbc"], ids=lambda c: c.name)
def test_torchs_own_counter_agrees(case: Case) -> None:
    function: Any = case.function.to("meta") if isinstance(case.function, nn.Module) else case.function
    with FlopCounterMode(display=False) as counter:
        function(*case.inputs)
    assert counter.get_total_flops() == 2 * counted(case.function, *case.inputs).total.macs

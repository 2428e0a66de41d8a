"""Values that a forward reads: computed from real inputs, rejected if nothing determines them."""

from __future__ import annotations

import pytest
import torch

import pyinfercost as ic
from pyinfercost.sources.trace.trace import CaptureError

pytestmark = pytest.mark.torch


class AsksWhetherMasked(torch.nn.Module):
    """Multiplies by the mask only where the mask hides anything, as attention modules do."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return x if mask.all() else x * mask


class AsksForItsWeight(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if self.scale.item() > 0 else x


class AsksByChance(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if torch.rand(1, device=x.device).item() > 0 else x


class AsksAfterAnIdleConversion(torch.nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        seen = mask.logical_not().logical_not()
        return x if seen.to(seen.dtype).all() else x * mask


class CountsToItsLength(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(x.shape[0], device=x.device).sum().item()
        return x.expand(int(steps), *x.shape) + 1


@pytest.mark.parametrize(("masked", "multiplications"), [(False, 0), (True, 6)])
def test_a_mask_is_read(masked: bool, multiplications: int) -> None:
    mask = torch.ones(2, 3)
    mask[0, 0] = 0.0 if masked else 1.0
    counts = ic.count(ic.capture(AsksWhetherMasked(), (torch.ones(2, 3), mask)))
    # `all` reads 6 elements and compares each
    assert counts.total.pointwise_flops == 6 + multiplications


@pytest.mark.parametrize(("masked", "multiplications"), [(False, 0), (True, 6)])
def test_a_conversion_that_hands_its_operand_on_is_seen_through(masked: bool, multiplications: int) -> None:
    mask = torch.ones(2, 3) > float(masked)
    counts = ic.count(ic.capture(AsksAfterAnIdleConversion(), (torch.ones(2, 3), mask)))
    # two negations of 6 elements each, and `all` reads 6
    assert counts.total.pointwise_flops == 18 + multiplications


def test_what_a_model_makes_itself_has_a_value() -> None:
    graph = ic.capture(CountsToItsLength(), (torch.empty(4, device="meta"),))
    assert graph.outputs[0].shape == (0 + 1 + 2 + 3, 4)


@pytest.mark.parametrize(
    ("module", "inputs", "reason"),
    [
        (AsksForItsWeight(), (torch.ones(2),), "depends on a weight"),
        (AsksWhetherMasked(), (torch.ones(2, 3), torch.ones(2, 3, device="meta")), "input without values"),
        (AsksByChance(), (torch.ones(2, device="meta"),), "random numbers"),
    ],
)
def test_a_value_that_nothing_determines_is_an_error(
    module: torch.nn.Module, inputs: tuple[torch.Tensor], reason: str
) -> None:
    with pytest.raises(CaptureError, match=reason) as caught:
        ic.capture(module, inputs)
    assert "pass real tensors" in str(caught.value)


def test_with_an_open_size_an_example_proves_nothing() -> None:
    inputs = (torch.ones(2, 3), torch.ones(2, 3))
    with pytest.raises(CaptureError, match="value of a tensor"):
        ic.capture(AsksWhetherMasked(), inputs, dynamic={0: {0: "batch"}, 1: {0: "batch"}})


class ReshapesInPlace(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        y.unsqueeze_(0)
        z = torch.matmul(y, torch.ones(4, 5))
        y.squeeze_(0)
        return z + y.sum()


def test_a_tensor_that_changes_shape_in_place_has_each_shape_in_its_time() -> None:
    graph = ic.capture(ReshapesInPlace(), (torch.ones(3, 4),))
    shapes = {graph.node(i).op: [t.shape for t in graph.node(i).outputs] for i in range(len(graph))}
    assert shapes["aten.mul"] == [(3, 4)]
    assert shapes["aten.unsqueeze_"] == [(1, 3, 4)]
    assert shapes["aten.matmul"] == [(1, 3, 5)]
    assert shapes["aten.squeeze_"] == [(3, 4)]
    assert ic.count(graph).total.macs == 3 * 4 * 5


class WritesInPlace(torch.nn.Module):
    """Fills a table in place, and makes a result as long as one of its numbers."""

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        table = torch.zeros(4, dtype=torch.int64, device=x.device)
        table[1:3] = lengths
        lengths += 1
        return x.expand(int(table[2].item()), *x.shape) + 1


class WritesWhatItDoesNotKnow(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        table = torch.zeros(4, device=x.device)
        head = table[:2]
        table.copy_(self.weight)
        return x * 2 if head.sum().item() > 0 else x


class MakesTensorsFromNumbers(torch.nn.Module):
    def forward(self, x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        merge = torch.tensor([2], device=x.device).expand(len(grid))
        rows = [r // m for r, m in zip(grid.tolist(), merge.tolist(), strict=True)]
        return torch.cat([x.new_zeros(r, 3) for r in rows])


class LooksAtAMaskAsWideAsItsInput(torch.nn.Module):
    def forward(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        return x[keep.unsqueeze(-1).expand_as(x)]


class MakesTwoOfOne(torch.nn.Module):
    """Reads what it has put on the device of its input by way of a list of tensors."""

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        both = torch.tensor([lengths[0], lengths[1] * 2], device=x.device)
        return x.expand(int(both.sum().item()), *x.shape) + 1


def test_writes_in_place_are_seen_and_leave_the_input_alone() -> None:
    lengths = torch.tensor([2, 3])
    graph = ic.capture(WritesInPlace(), (torch.ones(5), lengths))
    assert graph.outputs[0].shape == (3, 5)  # the second length
    assert lengths.tolist() == [2, 3]


def test_what_was_overwritten_is_not_known_any_more() -> None:
    with pytest.raises(CaptureError, match="depends on a weight"):
        ic.capture(WritesWhatItDoesNotKnow(), (torch.ones(2),))


def test_tensors_made_from_numbers_keep_their_values() -> None:
    graph = ic.capture(MakesTensorsFromNumbers(), (torch.ones(2), torch.tensor([4, 6])))
    assert graph.outputs[0].shape == (4 // 2 + 6 // 2, 3)
    graph = ic.capture(MakesTwoOfOne(), (torch.ones(2), torch.tensor([1, 2])))
    assert graph.outputs[0].shape == (1 + 2 * 2, 2)


def test_of_some_operands_only_the_shape_matters() -> None:
    graph = ic.capture(
        LooksAtAMaskAsWideAsItsInput(), (torch.ones(3, 4, device="meta"), torch.tensor([True, False, True]))
    )
    assert graph.outputs[0].shape == (2 * 4,)
    assert not graph.sizes


class CountsByABuffer(torch.nn.Module):
    def __init__(self, *, persistent: bool) -> None:
        super().__init__()
        self.register_buffer("stride", torch.tensor(3), persistent=persistent)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.expand(int(self.stride.item()), *x.shape) + 1


def test_a_buffer_that_no_checkpoint_replaces_has_its_value() -> None:
    assert ic.capture(CountsByABuffer(persistent=False), (torch.ones(2),)).outputs[0].shape == (3, 2)
    with pytest.raises(CaptureError):
        ic.capture(CountsByABuffer(persistent=True), (torch.ones(2),))


class InstallsAHook(torch.nn.Module):
    """Adds a hook to its part in the first forward, and remembers that it did, as libraries do."""

    def __init__(self) -> None:
        super().__init__()
        self.part = torch.nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not hasattr(self, "installed"):
            self.part.register_forward_hook(lambda *_: None)
            self.installed = True
        return self.part(x)


def test_a_hook_that_a_forward_installs_is_taken_back() -> None:
    module = InstallsAHook()
    ic.capture(module, (torch.ones(1, 2),))
    assert not module.part._forward_hooks
    assert not hasattr(module, "installed")


class RepeatsRows(torch.nn.Module):
    def forward(self, x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        return torch.repeat_interleave(x, times, dim=0)


@pytest.mark.parametrize("times", [[3], [3, 1]])
def test_rows_are_repeated_as_often_as_is_said(times: list[int]) -> None:
    graph = ic.capture(RepeatsRows(), (torch.ones(len(times), 2), torch.tensor(times)))
    assert graph.outputs[0].shape == (sum(times), 2)
    assert not graph.sizes


class PicksRowsOfATableOfItsOwn(torch.nn.Module):
    """Chooses by a mask among numbers that lie on the CPU, and by numbers in brackets among those of its input."""

    def forward(self, x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        places = torch.arange(6).reshape(2, 3)
        kept = places[places != 4]
        order = torch.argsort(kept)  # wrong numbers would be no places
        return x[kept][order].repeat_interleave(grid[:, [0, 2, 1]].prod(1), dim=0)


def test_numbers_of_the_models_own_are_chosen_from_as_they_are() -> None:
    graph = ic.capture(PicksRowsOfATableOfItsOwn(), (torch.ones(6, 2), torch.tensor([[1, 1, 2]] * 5)))
    assert graph.outputs[0].shape == (10, 2)
    assert not graph.sizes


class MarksOneOfItsOwn(torch.nn.Module):
    """Writes to a mask what was read from it, and keeps what it marks."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        real = (x == 0).sum(-1) != x.shape[-1]
        real[0] |= ~torch.any(real)
        return x[real]


def test_a_mask_that_is_written_to_with_what_was_read_from_it() -> None:
    rows = torch.zeros(4, 3)
    assert ic.capture(MarksOneOfItsOwn(), (rows,)).outputs[0].shape == (1, 3)
    (length,) = ic.capture(MarksOneOfItsOwn(), (rows.to("meta"),)).sizes.values()
    assert length["maximum"] == 4


def test_pictures_are_looked_through_where_a_mask_is_written() -> None:
    rows = torch.ones(4, 2**19)
    rows[1:3] = 0
    assert ic.capture(MarksOneOfItsOwn(), (rows,)).outputs[0].shape == (2, 2**19)


class CountsPairs(torch.nn.Module):
    """Sees which pairs of an input there are."""

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        return torch.unique(pairs, dim=0) * 2


def test_slices_that_differ_are_counted_where_their_values_are_known() -> None:
    graph = ic.capture(CountsPairs(), (torch.tensor([[1, 2], [3, 4], [1, 2]]),))
    assert graph.outputs[0].shape == (2, 2)
    assert not graph.sizes

"""MFU, HFU, MBU and throughput compared with figures computed by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import pyinfercost as ic
from pyinfercost import CostTracker

pytestmark = pytest.mark.torch

PEAK = 6656e9  # FLOP/s in fp32, of xeon-8380: 40 cores x 2.6 GHz x 64
BANDWIDTH = ic.hardware.load("xeon-8380").bandwidth_byte_per_s


class Clock:
    """A second for each step that a test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def tracked(model: nn.Module, *inputs: Any, **settings: Any) -> tuple[CostTracker, Clock]:
    """A tracker with a clock of the test's own."""
    settings = {"training_hardware": "xeon-8380", "every": 2, "sparsity": False, **settings}
    tracker = CostTracker(model, inputs, **settings)
    assert tracker.error is None
    clock = Clock()
    tracker._throughput._clock = clock
    return tracker, clock


def two_layers() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16, bias=False), nn.ReLU(), nn.Linear(16, 4, bias=False))


def flops_of(batch: int) -> int:
    """Forward, the gradients of both weights, and that of what is between the layers; none of the inputs."""
    return 2 * batch * (3 * 16 * 4 + 2 * 8 * 16)


def run(tracker: CostTracker, clock: Clock, steps: int, batches: list[Any], seconds: float = 1.0) -> Any:
    """Steps of the batches; each takes so many seconds."""
    record = None
    for _ in range(steps):
        for batch in batches:
            tracker.micro_batch(batch)
        clock.now += seconds
        record = tracker.step() or record
    return record


def test_peak_is_that_of_the_sheet() -> None:
    assert ic.hardware.load("xeon-8380").vector_flop_per_s["float32"] == PEAK


def test_accumulation_of_four() -> None:
    tracker, clock = tracked(two_layers(), torch.randn(32, 8))
    record = run(tracker, clock, 4, [torch.randn(32, 8)] * 4, seconds=0.5)
    # Steps 3 and 4 of four batches each took a second; the first step is not timed.
    assert record["training/mfu"] == pytest.approx(2 * 4 * flops_of(32) / 1.0 / PEAK, rel=1e-12)
    assert record["training/hfu"] == record["training/mfu"]
    assert record["training/step_s"] == 0.5
    assert record["training/items_per_s"] == 2 * 4 * 32
    assert record["training/total_contraction_flops"] == 4 * 4 * flops_of(32)
    assert record["training/total_items"] == 4 * 4 * 32


def test_accumulation_that_is_not_told() -> None:
    tracker, clock = tracked(two_layers(), torch.randn(32, 8), accumulation=4)
    record = run(tracker, clock, 4, [], seconds=0.5)
    assert record["training/mfu"] == pytest.approx(2 * 4 * flops_of(32) / 1.0 / PEAK, rel=1e-12)


def test_batches_of_other_sizes() -> None:
    tracker, clock = tracked(two_layers(), torch.randn(32, 8))
    record = run(tracker, clock, 2, [torch.randn(size, 8) for size in (1, 7, 32)])
    assert record["training/contraction_flops_per_s"] == flops_of(1 + 7 + 32)
    assert record["training/items_per_s"] == 40


def test_bytes_over_bandwidth() -> None:
    model = two_layers()
    tracker, clock = tracked(model, torch.randn(32, 8))
    record = run(tracker, clock, 2, [torch.randn(32, 8)])
    counted = ic.count(ic.capture(model, torch.randn(32, 8), training=True)).total
    assert record["training/mbu"] == pytest.approx((counted.bytes_read + counted.bytes_written) / BANDWIDTH, rel=1e-12)


def test_pauses_are_left_out() -> None:
    tracker, clock = tracked(two_layers(), torch.randn(32, 8))
    run(tracker, clock, 1, [torch.randn(32, 8)])
    with tracker.paused():
        clock.now += 100
    record = run(tracker, clock, 1, [torch.randn(32, 8)])
    assert record["training/step_s"] == 1


def test_frozen_layers_have_no_gradient() -> None:
    model = two_layers()
    model[0].requires_grad_(False)
    tracker, clock = tracked(model, torch.randn(32, 8))
    record = run(tracker, clock, 2, [torch.randn(32, 8)])
    assert record["training/contraction_flops_per_s"] == 2 * 32 * (8 * 16 + 2 * 16 * 4)


class Attends(nn.Module):
    """Attention over embedded ids, and a layer of a product for each token."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 8)
        self.out = nn.Linear(8, 8, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)[:, None]
        return self.out(nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True))


def attention_flops(length: int) -> int:
    """Two products forward and five backward, and the layer's three."""
    return 7 * 2 * length * length * 8 + 3 * 2 * length * 8 * 8


OPEN = {0: {0: "batch", 1: "sequence"}}


@pytest.mark.parametrize("as_tensor", [False, True])
def test_padding_is_not_useful(as_tensor: bool) -> None:
    ids = torch.zeros(3, 16, dtype=torch.long)
    tracker, clock = tracked(Attends(), ids, dynamic=OPEN)
    lengths: Any = [16, 5, 1]
    given = torch.tensor(lengths) if as_tensor else lengths
    for _ in range(2):
        tracker.micro_batch(ids, lengths=given)
        clock.now += 1
        record = tracker.step()
    assert record is not None
    assert record["training/contraction_flops_per_s"] == pytest.approx(sum(map(attention_flops, lengths)), rel=1e-12)
    assert record["training/mfu"] < record["training/hfu"]
    assert record["training/hfu"] == pytest.approx(3 * attention_flops(16) / PEAK, rel=1e-12)
    assert record["training/padding_share"] == pytest.approx(1 - 22 / 48)
    assert record["training/tokens_per_s"] == 22
    assert record["training/total_tokens"] == 2 * 22


def test_what_a_mask_hides_may_be_left_out() -> None:
    ids = torch.zeros(3, 16, dtype=torch.long)
    whole, causal = (
        run(*tracked(Attends(), ids, dynamic=OPEN, causal=causal), 2, [ids])["training/mfu"] for causal in (False, True)
    )
    # Of 16 x 16 pairs, 16 x 17 / 2 are seen.
    assert causal / whole == pytest.approx(
        (7 * 2 * 136 * 8 + 3 * 2 * 16 * 64) / (7 * 2 * 256 * 8 + 3 * 2 * 16 * 64), rel=1e-12
    )


class Checkpointed(nn.Module):
    """Its layers run again in backward, where a flag says so, as in `transformers`."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)) for _ in range(3))
        self.gradient_checkpointing = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        from torch.utils.checkpoint import checkpoint

        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False) if self.gradient_checkpointing else layer(x)
        return x


def test_activations_that_are_computed_again_count_in_hfu_alone() -> None:
    model = Checkpointed()
    x = torch.randn(4, 8)
    record = run(*tracked(model, x), 2, [x])
    assert model.gradient_checkpointing
    product = 2 * 4 * 8 * 8
    # Six products forward; twelve backward but one, since the first layer's input needs no gradient.
    assert record["training/contraction_flops_per_s"] == (6 + 12 - 1) * product
    # Of each pair the first product runs again; the second is not needed, and torch stops before it.
    assert record["training/hfu"] / record["training/mfu"] == pytest.approx((17 + 3) / 17)


def test_what_is_not_known_is_not_there() -> None:
    tracker, clock = tracked(two_layers(), torch.randn(32, 8), training_hardware="auto")
    record = run(tracker, clock, 2, [torch.randn(32, 8)])
    assert "training/mfu" not in record.metrics
    with pytest.raises(KeyError, match="training_hardware="):
        record["training/mfu"]


def test_devices_that_share_a_forward() -> None:
    one = run(*tracked(two_layers(), torch.randn(32, 8)), 2, [torch.randn(32, 8)])
    two = run(*tracked(two_layers(), torch.randn(32, 8), devices_per_replica=2), 2, [torch.randn(32, 8)])
    assert two["training/mfu"] == one["training/mfu"] / 2


def test_what_training_costs() -> None:
    tracker, clock = tracked(two_layers(), torch.randn(32, 8), training_price=3.6)
    record = run(tracker, clock, 4, [torch.randn(32, 8)], seconds=10)
    assert record["training/total_device_h"] == pytest.approx(30 / 3600)
    assert record["training/total_usd"] == pytest.approx(0.03)


def test_ids_have_a_length_that_varies() -> None:
    ids = torch.zeros(3, 16, dtype=torch.long)
    tracker, clock = tracked(Attends(), ids)
    record = run(tracker, clock, 2, [torch.zeros(2, 7, dtype=torch.long)])
    assert record["training/contraction_flops_per_s"] == 2 * attention_flops(7)


def test_a_shape_that_the_example_does_not_stand_for_is_not_guessed() -> None:
    tracker, clock = tracked(nn.Conv2d(3, 4, 3), torch.randn(2, 3, 8, 8))
    record = run(tracker, clock, 2, [torch.randn(2, 3, 16, 16)])
    assert "training/mfu" not in record.metrics
    assert record["training/step_s"] == 1
    with pytest.raises(KeyError, match=r"\(2, 3, 16, 16\).*name the dimension"):
        record["training/mfu"]
    record = run(tracker, clock, 2, [torch.randn(2, 3, 8, 8)])
    assert record["training/contraction_flops_per_s"] == 2 * 2 * 2 * 4 * 27 * 36


class Classifies(nn.Module):
    """With a loss of its own, as models of `transformers` have."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        logits = self.layer(x)
        return {"logits": logits} if labels is None else {"loss": nn.functional.cross_entropy(logits, labels)}


def test_labels_are_trained_with_and_not_served() -> None:
    inputs = {"x": torch.randn(4, 8), "labels": torch.zeros(4, dtype=torch.long)}
    model = Classifies()
    tracker = CostTracker(model, inputs, hardware="l4", every=1, sparsity=False)
    record = tracker.step()
    assert record is not None
    served = ic.capture(model.eval(), {"x": inputs["x"]}, dynamic={"x": {0: "batch"}})
    assert record["cost/l4/latency_s"] == ic.estimate(served, hardware="l4").latency_s
    work = tracker._utilization.work()
    assert work is not None
    assert work.of((4,)).model_flops == 2 * 2 * 4 * 8 * 4


def test_lengths_do_not_pile_up() -> None:
    ids = torch.zeros(3, 16, dtype=torch.long)
    tracker, clock = tracked(Attends(), ids, every=5000)
    for step in range(5000):
        tracker.micro_batch(ids, lengths=[16, 5, 1 + step % 2])
        clock.now += 1
        record = tracker.step()
    assert len(tracker._throughput._unread) < 1100
    assert record is not None
    # The first step only starts the clock: 2500 of the others are even, counted from one.
    useful = 4999 * (attention_flops(16) + attention_flops(5)) + 2500 * attention_flops(2) + 2499 * attention_flops(1)
    assert record["training/contraction_flops_per_s"] == pytest.approx(useful / 4999, rel=1e-9)


def test_a_model_that_is_changed_is_another_work() -> None:
    model = two_layers()
    tracker, clock = tracked(model, torch.randn(32, 8))
    batch = torch.randn(32, 8)
    assert run(tracker, clock, 2, [batch])["training/contraction_flops_per_s"] == flops_of(32)
    model[0].requires_grad_(False)
    record = run(tracker, clock, 2, [batch])
    assert "training/contraction_flops_per_s" not in record.metrics
    assert any("the model changed during these steps" in note for note in record.notes)
    assert run(tracker, clock, 2, [batch])["training/contraction_flops_per_s"] == 2 * 32 * (8 * 16 + 2 * 16 * 4)

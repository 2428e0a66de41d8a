"""Distilled students as candidates of a trade-off: their rows, cost of training, chains, interrupts and files."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_students import PressedAt, blocks, data, equal, student, teacher
from torch import nn

import pyinfercost as ic
from pyinfercost.sources.inputs import Inputs
from pyinfercost.tradeoffs import DistillationError, TradeoffError
from pyinfercost.tradeoffs.candidates import chain, distilled, int8_weight_only, magnitude
from pyinfercost.tradeoffs.distillation_loop import distill
from pyinfercost.tradeoffs.front import front
from pyinfercost.tradeoffs.students import fewer_layers, narrower
from pyinfercost.tradeoffs.training_costs import predicted_figures, training_cost
from pyinfercost.tradeoffs.training_run import DistillationInterrupted
from pyinfercost.tradeoffs.training_settings import Training

pytestmark = pytest.mark.torch

CPU = "epyc-7742"
X, Y = data()
SHORT = Training(epochs=3, batch_size=30, learning_rate=0.01)
STEPS = 9


def accuracy(model: nn.Module) -> float:
    with torch.no_grad():
        return float((model(X).argmax(1) == Y).double().mean())


def run(candidates: Any, model: Any = None, **options: Any) -> ic.results.Tradeoff:
    return ic.tradeoff(
        blocks() if model is None else model,
        candidates,
        **{"evaluate": accuracy, "inputs": X, "hardware": CPU, "price": 1.0, **options},
    )


def candidate(student: Any = None, **options: Any) -> Any:
    return distilled(fewer_layers(2) if student is None else student, **{"data": (X, Y), "train": SHORT, **options})


# --- rows ------------------------------------------------------------------------------------------------------------


def test_a_row_has_the_student_and_the_cost_of_its_training() -> None:
    torch.manual_seed(0)
    result = run({"student": candidate()}, measure=True, seconds=0.01)
    original, row = result.rows
    wanted = fewer_layers(2).made(blocks(), Inputs((X,))).module
    distill(wanted, blocks(), data=(X, Y), train=SHORT, energy=False)
    assert row.accuracy == accuracy(wanted)
    assert row.latency_s == ic.profile(wanted, X, hardware=CPU, price=1.0).estimate.latency_s < original.latency_s
    assert (row.training_steps, row.training_hardware) == (STEPS, CPU)
    assert row.measured_training_s > 0
    assert row.training_usd == pytest.approx(row.training_s / 3600)  # 1 USD per hour
    assert row.training_j > 0
    assert row.break_even_inferences == pytest.approx(row.training_usd / (original.cost_usd - row.cost_usd))
    assert row.break_even == f"{row.break_even_inferences:,.0f} inferences"
    if row.measured_s < original.measured_s:
        saved_s = original.measured_s - row.measured_s
        assert row.measured_break_even_inferences == pytest.approx(row.measured_training_s / saved_s)
    else:  # another program on these cores
        assert row.measured_break_even.startswith("never")
    assert original.training_steps is None
    assert (original.break_even, original.break_even_inferences) == ("", None)


def test_without_a_price_seconds_of_one_machine_compare() -> None:
    result = run({"student": candidate()}, price=None)
    original, row = result.rows
    assert row.training_usd is None
    assert row.break_even_inferences == pytest.approx(row.training_s / (original.latency_s - row.latency_s))
    elsewhere = run({"student": candidate(training_on=ic.Deployment(hardware="l4"))}, price=None)["student"]
    assert elsewhere.training_hardware == "l4"
    assert elsewhere.break_even == f"unknown: seconds of l4 and of {CPU} do not compare; give prices"
    paid = run({"student": candidate(training_on=ic.Deployment(hardware="l4", price=2.0))})["student"]
    assert paid.training_usd == pytest.approx(2.0 * paid.training_s / 3600)
    assert paid.break_even_inferences > 0


def test_a_student_that_is_not_cheaper_never_pays() -> None:
    result = run({"copy": candidate(lambda model: blocks(8))})
    assert result["copy"].break_even == "never: an inference costs more afterwards"
    assert result["copy"].break_even_inferences is None
    text = str(result)
    assert "copy, predicted: never: an inference costs more afterwards." in text
    assert json.loads(result.to_json())["tradeoff"]["rows"][1]["break_even_inferences"] is None


def test_a_training_that_cannot_be_predicted_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyinfercost.tradeoffs import training_costs

    def failing(*args: Any, **kwargs: Any) -> Any:
        raise DistillationError("no such op")

    monkeypatch.setattr(training_costs, "predicted_figures", failing)
    row = run({"student": candidate()})["student"]
    assert (row.training_s, row.training_why_not) == (None, "no such op")
    assert row.measured_training_s > 0
    assert row.break_even == "unknown: the training cannot be predicted (no such op)"


def test_the_report_has_the_cost_of_trainings() -> None:
    result = run({"student": candidate(), "half": magnitude(0.5)})
    text = str(result)
    lines = text.partition("Training, and the inferences whose savings pay for it\n")[2].splitlines()
    assert lines[0].split() == ["candidate", "steps", "predicted", "measured", "predicted", "cost", "break-even"]
    cells = lines[3].split()
    assert cells[:2] == ["student", str(STEPS)]
    assert cells[-1] == result["student"].break_even.split()[0]
    assert "half" not in "\n".join(lines[:4])
    assert max(map(len, text.splitlines())) <= 100
    assert "Training, and" not in str(run({"half": magnitude(0.5)}))


def test_a_budget_chooses_the_student_for_the_machine_of_the_trade_off() -> None:
    within = candidate(narrower(), within={"latency_s": "99 %"})
    row = run({"student": within}, blocks(4, 256))["student"]
    assert row.error is None
    chosen = within.student
    assert str(chosen).startswith("narrower(0.")
    failing = run({"student": candidate(narrower(), within={"latency_s": 1e-9})})["student"]
    assert failing.error.startswith("applying it: DistillationError: no student is within latency_s 1e-09")


def test_layers_are_not_distilled_alone() -> None:
    result = run({"student": candidate()}, per_layer=["enter"])
    assert result["student"].error is None
    assert not result.layers[0].applicable


# --- chains ----------------------------------------------------------------------------------------------------------


def test_a_student_is_trained_once_and_then_pruned_and_quantized() -> None:
    seen = PressedAt()
    pupil = candidate(progress=seen)
    result = run({"student": pupil, "int8": chain(pupil, int8_weight_only()), "half": chain(pupil, magnitude(0.5))})
    assert [row.error for row in result.rows] == [None] * 4
    assert seen.seen == list(range(1, STEPS + 1))
    one, int8, half = result.rows[1:]
    assert int8.parameter_bytes < one.parameter_bytes
    assert half.zero_share > 0.3
    assert int8.training_s == half.training_s == one.training_s
    assert half.break_even_inferences == one.break_even_inferences
    assert int8.break_even.startswith("never"), "products of int8 weights in torch's kernels take longer here"
    assert {row.name for row in front(result, "parameter_bytes").rows} >= {"int8"}


def test_costs_of_two_trainings_add_up() -> None:
    first, second = candidate(fewer_layers(4)), candidate(fewer_layers(2))
    row = run({"both": chain(first, second)})["both"]
    assert row.training_steps == 2 * STEPS
    assert row.training_s == pytest.approx(first.cost.predicted_s + second.cost.predicted_s)


def test_wrong_chains_are_refused() -> None:
    with pytest.raises(TradeoffError, match="chain has 1 candidates"):
        chain(magnitude(0.5))
    with pytest.raises(TypeError, match="chain has 5; expected candidates"):
        chain(magnitude(0.5), 5)
    assert str(chain(magnitude(0.5), int8_weight_only())) == "chain(magnitude(0.5), int8_weight_only())"


# --- interrupts and files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.sample(1)
def test_an_interrupted_trade_off_continues_the_training(tmp_path: Path, is_file: bool) -> None:
    path = tmp_path / "student.pt" if is_file else None
    pressed = PressedAt(4)
    pupil = candidate(progress=pressed, checkpoint=path)
    rows = tmp_path / "rows.jsonl"
    with pytest.raises(DistillationInterrupted):
        run({"half": magnitude(0.5), "student": pupil}, resume=rows)
    assert len(rows.read_text().splitlines()) == 3  # settings, the original, half
    if is_file:  # another process
        pupil = candidate(progress=pressed, checkpoint=path)
    result = run({"half": magnitude(0.5), "student": pupil}, resume=rows)
    assert pressed.seen == list(range(1, STEPS + 1))
    wanted = run({"student": candidate()})["student"]
    assert (result["student"].accuracy, result["student"].training_s) == (wanted.accuracy, wanted.training_s)
    again = run({"half": magnitude(0.5), "student": candidate(progress=pressed)}, resume=rows)
    assert again.rows == result.rows
    assert len(pressed.seen) == STEPS


@pytest.mark.parametrize(
    "changed", [{"train": Training(epochs=4)}, {"data": (X + 1, Y)}, {"student": fewer_layers(3)}, {"held_out": (X, Y)}]
)
def test_a_row_of_another_training_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    rows = tmp_path / "rows.jsonl"
    run({"student": candidate()}, resume=rows)
    with pytest.raises(TradeoffError, match="has candidate 'student' as distilled"):
        run({"student": candidate(**changed)}, resume=rows)


def test_a_training_that_diverges_is_a_row_with_its_error() -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x) * float("nan")

        def __init__(self) -> None:
            super().__init__()
            self.body = student()

    row = run({"broken": candidate(lambda model: Broken())}, teacher())["broken"]
    assert row.error.startswith("applying it: TrainingDivergedError: training diverged: the loss is nan at step 1 of 9")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"student": 5}, TypeError, "student is of type int"),
        ({"student": []}, TradeoffError, "student is an empty sequence"),
        ({"train": 5}, TypeError, "train is 5; expected a Training(...)"),
        ({"data": "rows"}, TypeError, "data is of type str"),
        ({"within": "fast"}, DistillationError, "within is 'fast'"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        distilled(**{"student": fewer_layers(2), "data": (X, Y), **options})


def test_several_students_need_a_budget() -> None:
    with pytest.raises(DistillationError, match="several students are given without a budget"):
        candidate([fewer_layers(2), fewer_layers(3)])(blocks())


def test_outside_of_a_trade_off_a_candidate_trains_without_a_prediction() -> None:
    pupil = candidate()
    module = pupil(blocks())
    assert pupil.run.steps == STEPS
    assert pupil.cost is None
    assert equal(module, pupil(blocks()))


# --- predicted cost --------------------------------------------------------------------------------------------------

WORK = {(("0", "float32", (30, 6)), ("labels", "int64", (30,))): (7, 0)}
ON = ic.Deployment(hardware=CPU, price=1.0)


def seconds(work: Any = None, *, train: Training = SHORT, hidden: Any = None, of: Any = None) -> float:
    found = predicted_figures(WORK if work is None else work, of or student(), teacher(), train, hidden or {}, ON)
    return found[0]


def test_the_parts_of_a_predicted_training_add_up() -> None:
    alone = Training(soft_weight=0)
    ((shape, _),) = WORK.items()
    step = seconds(train=alone) / 7
    assert seconds({shape: (1, 0)}, train=alone) == pytest.approx(step)
    taught = ic.estimate(ic.capture(teacher(), torch.empty(30, 6)), hardware=CPU).latency_s
    own = ic.estimate(ic.capture(student().eval(), torch.empty(30, 6)), hardware=CPU).latency_s
    assert seconds({shape: (0, 5)}, train=alone) == pytest.approx(5 * own)
    assert seconds({shape: (0, 5)}) == pytest.approx(5 * (own + taught))
    assert seconds({shape: (2, 5)}) == pytest.approx(seconds({shape: (2, 0)}) + seconds({shape: (0, 5)}))
    soft = seconds() / 7 - step
    assert soft > taught, "the teacher, and the soft loss"
    assert seconds(train=Training(hidden_weight=1.0), hidden={"1": "1"}) > seconds()
    assert seconds(train=Training(soft_weight=0, clip=None)) < seconds(train=alone)


def test_a_step_has_the_flops_of_forward_and_backward() -> None:
    """Three products per linear layer, but two of the first, whose input needs no gradient."""
    from pyinfercost.tradeoffs.batches import batch_of_shape
    from pyinfercost.tradeoffs.training_costs import _Step

    ((shape, _),) = WORK.items()
    model = student().train()
    for train, hidden, more in (
        (SHORT, {}, 0),
        # The projection of 8 to 16 channels has all three.
        (Training(hidden_weight=1.0), {"1": "1"}, 3 * 2 * 30 * 8 * 16),
    ):
        step = _Step(model, teacher(), train, hidden, batch_of_shape(shape))
        counts = ic.count(ic.capture(step.train(), step.inputs, training=True)).total
        assert counts.contraction_flops == 2 * 30 * (2 * 6 * 8 + 3 * 8 * 4) + more


def test_the_update_moves_each_weight_and_its_moments() -> None:
    from pyinfercost.tradeoffs.training_costs import _Update

    model = nn.Linear(1000, 1000)
    counts = ic.count(ic.capture(_Update(model, Training(clip=None)), _Update(model, Training()).inputs)).total
    by_hand = defaultdict(int)
    # decay; mean (reads gradient); square; square + gradient^2; root; division and epsilon in place; weight
    for reads, writes in ((1, 1), (2, 1), (1, 1), (3, 1), (1, 1), (1, 1), (1, 1), (3, 1)):
        by_hand["read"] += reads
        by_hand["written"] += writes
    tensor = 4 * (1000 * 1000 + 1000)
    assert counts.bytes_written == by_hand["written"] * tensor
    assert counts.bytes_read == pytest.approx(by_hand["read"] * tensor, rel=0.1)


@pytest.mark.slow
def test_a_language_model_of_transformers_is_distilled() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=32, n_embd=16, n_layer=4, n_head=2, n_positions=12, bos_token_id=None, eos_token_id=None
    )
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config).eval()
    ids = torch.randint(0, 32, (24, 12), generator=torch.Generator().manual_seed(0))
    settings = Training(epochs=2, batch_size=8, task="causal_lm", hidden_weight=0.1)
    pupil = distilled(fewer_layers(2), data={"input_ids": ids, "attention_mask": torch.ones_like(ids)}, train=settings)

    def loss(module: nn.Module) -> float:
        with torch.no_grad():
            return float(module(input_ids=ids, labels=ids).loss)

    result = ic.tradeoff(
        model,
        {"student": pupil},
        evaluate=loss,
        maximize=False,
        inputs={"input_ids": ids[:2], "use_cache": False},
        hardware=CPU,
    )
    row = result["student"]
    assert row.error is None
    assert row.training_why_not == ""
    assert row.training_steps == 6
    assert row.latency_s < result["original"].latency_s
    assert row.break_even_inferences > 0


def test_measured_cost_is_that_of_the_run() -> None:
    pupil = student()
    done = distill(pupil, teacher(), data=(X, Y), train=SHORT)
    cost = training_cost(done, pupil, teacher(), SHORT, {}, ON)
    assert (cost.measured_s, cost.measured_j, cost.steps) == (done.seconds, done.joules, STEPS)
    assert cost.predicted_s == pytest.approx(predicted_figures(done.work, pupil, teacher(), SHORT, {}, ON)[0])
    assert not pupil.training

"""The training loop of a distillation: its losses, schedule, seeds, resuming and ends."""

from __future__ import annotations

import copy
import math
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_students import CLASSES, ROWS, PressedAt, blocks, data, equal, made, student, teacher, weights
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from pyinfercost.tradeoffs import DistillationError, TrainingDivergedError
from pyinfercost.tradeoffs.batches import Batch
from pyinfercost.tradeoffs.distillation_loop import distill
from pyinfercost.tradeoffs.distillation_loss import Objective, Rows, hidden_loss, soft_loss
from pyinfercost.tradeoffs.training_run import DistillationInterrupted
from pyinfercost.tradeoffs.training_settings import Training
from pyinfercost.tradeoffs.training_store import TrainingStore

pytestmark = pytest.mark.torch

SHORT = Training(epochs=4, batch_size=20, learning_rate=0.01)
STEPS = 4 * 5  # epochs x batches of 20 of 90 rows


def trained(settings: Training = SHORT, *, dropout: float = 0.0, **call: Any) -> nn.Module:
    """Return the student after a training."""
    pupil = student(dropout)
    distill(pupil, teacher(), **{"data": data(), "train": settings, "energy": False, **call})
    return pupil


# --- losses ----------------------------------------------------------------------------------------------------------


def test_a_weight_of_zero_is_plain_training_bit_by_bit() -> None:
    """AdamW of torch in a loop as anyone writes it, with the same order of rows and the schedule written out."""
    rates = [0.01 * (step + 1) / 2 for step in range(2)]  # a tenth of 20 steps
    rates += [0.01 * 0.5 * (1 + math.cos(math.pi * (step - 2) / 18)) for step in range(2, 20)]
    x, y = data()
    plain = student()
    decayed = [weight for weight in plain.parameters() if weight.dim() > 1]
    others = [weight for weight in plain.parameters() if weight.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}])
    step = 0
    for epoch in range(4):
        order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(epoch))
        for rows in order.split(20):
            for group in optimizer.param_groups:
                group["lr"] = rates[step]
            optimizer.zero_grad()
            functional.cross_entropy(plain(x[rows]), y[rows]).backward()
            nn.utils.clip_grad_norm_([*decayed, *others], 1.0)
            optimizer.step()
            step += 1
    settings = replace(SHORT, temperature=1.0, soft_weight=0.0)
    assert equal(trained(settings), plain)
    assert equal(trained(replace(settings, temperature=7.0)), plain), "no temperature without a soft loss"
    without = student()
    distill(without, None, data=data(), train=settings, energy=False)
    assert equal(without, plain), "no teacher is needed"
    assert not equal(trained(), plain)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_soft_targets_have_the_gradient_of_the_paper(temperature: float) -> None:
    """T^2 dKL/dz = T (softmax(z / T) - softmax(v / T)) (Hinton et al. 2015, equation 2, times T^2)."""
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    of_teacher = torch.randn(5, 3, dtype=torch.float64)
    soft_loss(Rows(logits, of_teacher, None), temperature).backward()
    wanted = (logits / temperature).softmax(1) - (of_teacher / temperature).softmax(1)
    torch.testing.assert_close(logits.grad, temperature * wanted.detach() / 5)
    assert float(soft_loss(Rows(of_teacher, of_teacher, None), temperature)) == 0.0


def test_the_weights_of_the_parts_add_up() -> None:
    x, y = data()
    logits, taught, batch = student()(x), teacher()(x), Batch((x,), {}, y)
    parts = {
        share: float(Objective(Training(soft_weight=share, temperature=2))(batch, logits, taught).detach())
        for share in (0, 0.3, 1)
    }
    assert parts[0] == float(functional.cross_entropy(logits, y).detach())
    assert parts[0.3] == pytest.approx(0.7 * parts[0] + 0.3 * parts[1], rel=1e-6)


def test_a_causal_language_model_has_the_loss_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    model = made(0, lambda: transformers.LlamaForCausalLM(config)).eval()
    ids = torch.randint(1, 32, (3, 9))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    labels = ids.masked_fill(mask == 0, -100)
    with torch.no_grad():
        result = model(input_ids=ids, attention_mask=mask, labels=labels)
        plain = Objective(Training(task="causal_lm", soft_weight=0))
        named = Batch((), {"input_ids": ids, "attention_mask": mask}, None)
        assert float(plain(named, result.logits, None)) == pytest.approx(float(result.loss), rel=1e-6)
        # Positions of padding count in no part.
        soft = Objective(Training(task="causal_lm", soft_weight=1))
        taught = torch.randn_like(result.logits)
        before = float(soft(named, result.logits, taught))
        taught[1, 4:-1] += torch.randn(4, 32)  # these predict padding
        assert float(soft(named, result.logits, taught)) == before


@pytest.mark.slow
def test_hidden_states_of_an_identical_student_do_not_differ() -> None:
    model = blocks()
    settings = Training(steps=1, hidden_weight=1.0, soft_weight=1.0)
    pairs = {"blocks.0": "blocks.0", "blocks.5": "blocks.5"}
    call: dict[str, Any] = {"data": (data()[0],), "hidden": pairs, "energy": False}
    run = distill(copy.deepcopy(model), model, train=settings, **call)
    assert run.evaluations[0].train_loss == 0.0
    # A student with other weights in one block gets there.
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.blocks[0].down.weight.add_(0.1 * torch.randn(8, 16, generator=torch.Generator().manual_seed(0)))
    settings = Training(epochs=300, hidden_weight=1.0, soft_weight=1.0, weight_decay=0.0, learning_rate=3e-3)
    run = distill(other, model, train=settings, **call)
    assert run.evaluations[-1].train_loss < 0.01 * run.evaluations[0].train_loss


def test_a_projection_learns_to_map_hidden_states() -> None:
    """The teacher's hidden state is a linear map of the student's: only the projection has something to learn."""
    narrow, wide = nn.Linear(3, 3, bias=False), nn.Linear(3, 5, bias=False)
    with torch.no_grad():
        narrow.weight.copy_(torch.eye(3))
    pupil = nn.Sequential(narrow, nn.Linear(3, 2)).requires_grad_(False)
    pupil[1].requires_grad_(True)
    x = torch.randn(64, 3)
    model = nn.Sequential(wide, nn.Linear(5, 2))
    settings = Training(epochs=200, learning_rate=0.05, weight_decay=0, soft_weight=1.0, hidden_weight=1e6, clip=None)
    run = distill(pupil, model, data=(x,), train=settings, hidden={"0": "0"}, energy=False)
    assert run.evaluations[-1].train_loss < 1e-4 * run.evaluations[0].train_loss
    assert torch.equal(pupil[0].weight, torch.eye(3))


def test_padded_positions_have_no_hidden_loss() -> None:
    one, other = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    kept = torch.cat([(one - other)[0, :2], (one - other)[1]])
    assert float(hidden_loss(nn.Identity(), one, other, mask)) == pytest.approx(float(kept.square().mean()))


# --- schedule and optimizer ------------------------------------------------------------------------------------------


def test_the_learning_rate_rises_and_falls() -> None:
    settings = Training(learning_rate=8.0, warm_up=0.25, final_rate=0.1)
    rates = [settings.rate_at(step, 16) for step in range(17)]
    assert rates[:4] == [2.0, 4.0, 6.0, 8.0]
    assert rates[4] == 8.0  # the cosine begins at its top
    assert rates[10] == pytest.approx(8 * (0.1 + 0.9 / 2))  # half way
    assert rates[16] == pytest.approx(0.8)
    assert Training(warm_up=0).rate_at(0, 10) == Training().learning_rate


def test_gradients_are_clipped() -> None:
    """A huge loss with a small clip: the first step of AdamW does not depend on the scale, so a plain one differs."""
    assert not equal(trained(replace(SHORT, clip=0.01)), trained(replace(SHORT, clip=None)))


def test_frozen_weights_stay() -> None:
    pupil = student()
    pupil[0].requires_grad_(False)
    before = weights(pupil[0])
    distill(pupil, teacher(), data=data(), train=SHORT, energy=False)
    assert all(torch.equal(one, other) for one, other in zip(before, weights(pupil[0]), strict=True))


@pytest.mark.parametrize("autocast", ["bf16", "fp16"])
def test_autocast_is_off_on_a_cpu_unless_asked_for(autocast: str) -> None:
    assert equal(trained(), trained(replace(SHORT, autocast="off")))
    mixed = trained(replace(SHORT, autocast=autocast))
    assert not equal(mixed, trained())
    for one, other in zip(weights(mixed), weights(trained()), strict=True):
        torch.testing.assert_close(one, other, atol=0.05, rtol=0.5)


# --- seeds -----------------------------------------------------------------------------------------------------------


def test_a_seed_determines_the_student_and_nothing_outside_changes() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    model = teacher()
    kept = copy.deepcopy(model)
    one = student(0.3)
    distill(one, model, data=data(), train=SHORT, energy=False)
    assert torch.equal(torch.get_rng_state(), before)
    assert equal(model, kept)
    assert not any(part._forward_hooks for module in (one, model) for part in module.modules())
    torch.manual_seed(6)
    assert equal(one, trained(dropout=0.3))
    assert not equal(one, trained(replace(SHORT, seed=1), dropout=0.3))
    assert not one.training


def test_the_order_of_rows_depends_on_the_epoch_and_the_seed() -> None:
    from pyinfercost.tradeoffs.batches import Batches

    rows = Batches((torch.arange(50.0).reshape(50, 1),), 20)

    def order(seed: int, epoch: int) -> list[float]:
        return torch.cat([batch.args[0] for batch in rows.epoch(seed, epoch)]).flatten().tolist()

    assert sorted(order(0, 0)) == list(range(50))
    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_hidden_losses_and_evaluations_do_not_change_the_generators() -> None:
    """Held-out batches of a loader with its own random order leave the training as it is."""
    loader = DataLoader(TensorDataset(*data()), batch_size=30, shuffle=True)
    settings = replace(SHORT, patience=None, evaluate_every=3)
    pupils = []
    for held_out in (loader, [tuple(data())]):
        pupil = student(0.3)
        run = distill(pupil, teacher(), data=data(), held_out=held_out, train=settings, energy=False)
        pupils.append([each.train_loss for each in run.evaluations])
    assert pupils[0] == pupils[1]


# --- resuming --------------------------------------------------------------------------------------------------------


def loader() -> Any:
    return DataLoader(TensorDataset(*data()), batch_size=20, shuffle=True)


class Noisy:
    """Batches with noise from torch's generator, as augmentations have."""

    def __len__(self) -> int:
        return 5

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        x, y = data()
        for rows in torch.arange(ROWS).split(20):
            yield x[rows] + 0.1 * torch.randn(len(rows), x.shape[1]), y[rows]


@pytest.mark.parametrize("stops", [(1,), (3, 11), (5,), (10, 12, 19)])
@pytest.mark.parametrize("source", [data, loader, Noisy])
@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.sample(3)
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, stops: Any, source: Any, is_file: bool) -> None:
    settings = replace(SHORT, hidden_weight=0.5, evaluate_every=4)
    call: dict[str, Any] = {"data": source(), "hidden": {"1": "3"}, "held_out": data(), "train": settings}
    whole = student(0.3)
    wanted = distill(whole, teacher(), **call, energy=False)
    store = TrainingStore(tmp_path / "student.pt" if is_file else None)
    for stop in stops:
        with pytest.raises(DistillationInterrupted, match=f"stopped after {stop} of 20 steps") as raised:
            distill(student(0.3), teacher(), **call, store=store, progress=PressedAt(stop), energy=False)
        assert raised.value.partial.steps == stop
        if is_file:
            store = TrainingStore(tmp_path / "student.pt")  # another process
    rest = PressedAt()
    pupil = student(0.3)
    run = distill(pupil, teacher(), **call, store=store, progress=rest, energy=False)
    assert rest.seen == list(range(stops[-1] + 1, STEPS + 1))
    assert equal(pupil, whole)
    assert (run.evaluations, run.best_step, run.work) == (wanted.evaluations, wanted.best_step, wanted.work)
    again = student(0.3)
    assert distill(again, teacher(), **call, store=store, progress=rest, energy=False) == run, "it is done"
    assert equal(again, whole)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_killed_run_continues_from_its_last_evaluation(tmp_path: Path) -> None:
    def killed(step: int, steps: int) -> None:
        if step == 13:
            raise MemoryError

    path = tmp_path / "student.pt"
    with pytest.raises(MemoryError):
        trained(store=TrainingStore(path), progress=killed)
    rest = PressedAt()
    assert equal(trained(store=TrainingStore(path), progress=rest), trained())
    assert rest.seen == list(range(11, STEPS + 1))  # 10 steps are two epochs
    assert [each.name for each in tmp_path.iterdir()] == ["student.pt"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": replace(SHORT, temperature=3.0)}, "settings was"),
        ({"data": (data()[0] + 1, data()[1])}, "data was '90 rows"),
        ({"held_out": data()}, "held_out was 'none'"),
    ],
)
def test_a_file_of_another_training_is_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = tmp_path / "student.pt"
    trained(store=TrainingStore(path))
    before = path.read_bytes()
    with pytest.raises(DistillationError, match=re.escape(message)):
        trained(**{"settings": changed.pop("train", SHORT), **changed}, store=TrainingStore(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"accuracy,cost\n"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "student.pt"
    path.write_bytes(content)
    with pytest.raises(DistillationError, match=r"student\.pt is not the file of a training"):
        trained(store=TrainingStore(path))
    torch.save({"kind": "other", "schema_version": 1}, path)
    with pytest.raises(DistillationError, match="is not a training of version 1"):
        trained(store=TrainingStore(path))


def test_a_second_ctrl_c_stops_at_once() -> None:
    def twice(step: int, steps: int) -> None:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as raised:
        trained(progress=twice)
    assert not isinstance(raised.value, DistillationInterrupted)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# --- ends ------------------------------------------------------------------------------------------------------------


def test_the_held_out_loss_ends_the_training_and_chooses_the_weights() -> None:
    """Labels of the held-out rows contradict the others, so their loss rises from the beginning."""
    x, y = data()
    pupil = student()
    settings = replace(SHORT, epochs=50, patience=2, soft_weight=0.0, warm_up=0.0)
    seen: list[list[torch.Tensor]] = []

    def note(step: int, steps: int) -> None:
        seen.append(weights(pupil))

    run = distill(
        pupil, None, data=(x, y), held_out=(x, (y + 1) % CLASSES), train=settings, energy=False, progress=note
    )
    losses = [each.held_out_loss for each in run.evaluations]
    best = losses.index(min(losses))
    assert (run.ended, run.best_step) == ("early", 5 * (best + 1))
    assert len(losses) == best + 1 + 2
    assert run.steps < run.planned_steps
    assert run.best_loss == losses[best]
    assert all(torch.equal(a, b) for a, b in zip(weights(pupil), seen[run.best_step - 1], strict=True))
    endless = student()
    unpatient = distill(
        endless, None, data=(x, y), held_out=(x, (y + 1) % CLASSES), train=replace(settings, patience=None, epochs=9)
    )
    assert (unpatient.ended, unpatient.steps) == ("finished", 45)


class Failing(nn.Module):
    """A student whose results are not a number after some forwards in training."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.body = student()
        self.left = after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.left -= self.training
        return self.body(x) * (float("nan") if self.left < 0 else 1.0)


def test_a_loss_that_is_no_number_ends_with_an_error_and_keeps_the_best_weights(tmp_path: Path) -> None:
    path = tmp_path / "student.pt"
    pupil = Failing(13)
    seen: list[list[torch.Tensor]] = []
    message = "the loss is nan at step 14 of 20. The weights of step 10 (loss "
    with pytest.raises(TrainingDivergedError, match=re.escape(message)) as raised:
        distill(
            pupil,
            teacher(),
            data=data(),
            held_out=data(),
            train=SHORT,
            store=TrainingStore(path),
            progress=lambda step, steps: seen.append(weights(pupil)),
        )
    assert "Pass a lower learning_rate than 0.01" in str(raised.value)
    assert all(torch.equal(a, b) for a, b in zip(weights(pupil), seen[9], strict=True))
    again = Failing(100)
    with pytest.raises(TrainingDivergedError, match="the stored training ended so"):
        distill(again, teacher(), data=data(), held_out=data(), train=SHORT, store=TrainingStore(path))
    assert all(torch.equal(a, b) for a, b in zip(weights(again), seen[9], strict=True))


def test_an_early_failure_leaves_the_first_weights() -> None:
    pupil = Failing(2)
    with pytest.raises(TrainingDivergedError, match="so the student has its first weights"):
        distill(pupil, teacher(), data=data(), train=SHORT, energy=False)
    assert equal(pupil.body, student())


def test_a_learning_rate_that_is_too_high_diverges_with_that_error() -> None:
    settings = replace(SHORT, learning_rate=1e3, clip=None, weight_decay=1.0, epochs=40, soft_weight=0.0, warm_up=0.0)
    pupil = nn.Linear(6, CLASSES)
    with torch.no_grad():
        pupil.weight.mul_(1e37)
    with pytest.raises(TrainingDivergedError, match=r"the loss is (nan|inf)"):
        distill(pupil, None, data=(data()[0] * 10, data()[1]), train=settings, energy=False)


# --- data ------------------------------------------------------------------------------------------------------------


def test_forms_of_the_same_data_train_the_same_student() -> None:
    x, y = data()
    order = [torch.randperm(ROWS, generator=torch.Generator().manual_seed(epoch)) for epoch in range(1)]
    batches = [(x[rows], y[rows]) for rows in order[0].split(20)]
    one = replace(SHORT, epochs=1)

    class Named(nn.Module):
        def __init__(self, body: nn.Module) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": self.body(x)}

    wanted = trained(one)
    assert equal(trained(one, data=batches), wanted)
    pupil = Named(student())
    distill(pupil, Named(teacher()), data={"x": x, "labels": y}, train=one, energy=False)
    assert equal(pupil.body, wanted)


def test_data_without_a_length_need_a_number_of_steps() -> None:
    class Endless:
        def __iter__(self) -> Iterator[Any]:
            while True:
                yield data()

    with pytest.raises(DistillationError, match=re.escape("pass Training(steps=...)")):
        trained(data=Endless())
    pupil = student()
    run = distill(pupil, teacher(), data=Endless(), train=Training(steps=7), energy=False)
    assert (run.steps, run.planned_steps, len(run.evaluations)) == (7, 7, 1)


def test_work_has_the_shapes_that_ran() -> None:
    run = distill(student(), teacher(), data=data(), held_out=data(), train=replace(SHORT, patience=None), energy=False)
    full = (("0", "float32", (20, 6)), ("labels", "int64", (20,)))
    rest = (("0", "float32", (10, 6)), ("labels", "int64", (10,)))
    assert run.work == {full: (16, 16), rest: (4, 4)}
    assert run.seconds > 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({"data": "rows"}, TypeError, "data is of type str; expected a tuple of tensors (inputs, labels)"),
        ({"data": iter([])}, TypeError, "which can be read once; each epoch reads it"),
        ({"data": TensorDataset(*data())}, TypeError, "pass DataLoader(data, batch_size=...)"),
        ({"data": (data()[0], data()[1][:5])}, DistillationError, "data has tensors of 5, 90 rows"),
        ({"data": []}, DistillationError, "expected at least one"),
        ({"data": [5]}, TypeError, "a batch of data is of type int"),
        ({"data": [(data()[0], "label")]}, TypeError, "has a value of type str"),
        ({"data": [{"labels": data()[1]}]}, DistillationError, "has no inputs"),
        ({"data": (data()[0],)}, DistillationError, "or soft_weight=1 to learn from the teacher alone"),
        ({"data": (data()[0], data()[0])}, DistillationError, "labels are torch.float32; expected whole numbers"),
        ({"data": [(data()[0], data()[1][:3])]}, DistillationError, "labels have shape (3,), and logits (90, 4)"),
        ({"held_out": []}, DistillationError, "held_out has no batch"),
        ({"settings": replace(SHORT, hidden_weight=1.0)}, DistillationError, "hidden is empty"),
        (
            {"settings": replace(SHORT, hidden_weight=1.0), "hidden": {"nowhere": "0"}},
            DistillationError,
            "hidden names 'nowhere' of the student, which has no such module",
        ),
        (
            {"settings": replace(SHORT, hidden_weight=1.0), "hidden": {"0": "7"}},
            DistillationError,
            "hidden names '7' of the teacher",
        ),
        ({"settings": replace(SHORT, task="causal_lm")}, DistillationError, "expected [batch, tokens, vocabulary]"),
    ],
)
def test_wrong_calls_are_refused(call: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        trained(**call)


def test_modules_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DistillationError, match="expected a teacher"):
        distill(student(), None, data=data(), train=SHORT)
    with pytest.raises(DistillationError, match="no weight of the student requires a gradient"):
        distill(student().requires_grad_(False), teacher(), data=data(), train=SHORT)
    with pytest.raises(DistillationError, match=re.escape("logits of the student have shape (20, 3)")):
        distill(nn.Linear(6, 3), teacher(), data=data(), train=SHORT)
    with pytest.raises(TypeError, match="the student returned a dict without logits"):
        distill(Wrapped(student()), teacher(), data=data(), train=SHORT)


class Wrapped(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"scores": self.body(x)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0}, "temperature is 0; expected a number from 0.001"),
        ({"soft_weight": 1.5}, "soft_weight is 1.5"),
        ({"epochs": 0}, "epochs is 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"clip": -1}, "clip is -1"),
        ({"patience": 0}, "patience is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"task": "regression"}, "task is 'regression'; expected one of classification, causal_lm"),
        ({"autocast": "int8"}, "autocast is 'int8'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DistillationError, match=re.escape(message)):
        Training(**settings)


def test_settings_as_text() -> None:
    assert str(Training()) == "Training()"
    assert str(Training(epochs=3, temperature=4.0, clip=None)) == "Training(epochs=3, clip=None, temperature=4)"

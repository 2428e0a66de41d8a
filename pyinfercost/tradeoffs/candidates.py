"""Ready-made candidates: each changes a model in place, in all layers or in one, and returns it; or trains a student.

Pruning here sets weights to zero and keeps them stored densely. Dense kernels multiply zeros at full cost, so these
masks save neither time nor memory, structured or not: they show how many weights a model can lose at which accuracy.
Sparse kernels and smaller layers need a candidate of your own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils import prune as _untyped_prune

from .._checks import shown
from ..errors import InputTypeError, MissingLibraryError
from ..hardware.dtypes import CORE_DTYPES
from . import NotApplicableError, TradeoffError
from .batches import Batches
from .distilled_student import Distilled
from .modules import chosen_layers
from .student_choice import limits_of
from .students import Student, student_of
from .training_settings import Training
from .training_store import TrainingStore

if TYPE_CHECKING:
    from ..deployment import Deployment
    from ..results.training_cost import TrainingCost

prune: Any = _untyped_prune  # torch has no types for it
_DTYPES: dict[str, torch.dtype] = {short: getattr(torch, CORE_DTYPES[short]) for short in ("bf16", "fp16", "fp32")}


@dataclass(frozen=True)
class Candidate:
    """A change to a model: called with the model, and with the path of a layer to change only that layer.

    Attributes:
        text: Description with all figures, which a file to resume from stores.
        apply: The change, as a function of a module and a path or None.
    """

    text: str
    apply: Callable[[nn.Module, str | None], nn.Module]

    def __call__(self, model: nn.Module, module_name: str | None = None) -> nn.Module:
        return self.apply(model, module_name)

    def __str__(self) -> str:
        return self.text


def magnitude(amount: float, *, keep_masks: bool = False) -> Candidate:
    """Return a candidate that zeroes the elements of smallest magnitude in each weight.

    Args:
        amount: Share of each weight's elements, above 0 and below 1.
        keep_masks: Whether to keep the masks, for example for further training; they cost a product in each forward.

    Returns:
        The candidate.

    Raises:
        TradeoffError: The amount is out of range.
    """
    _check_share(amount)
    return _pruning(f"magnitude({amount:g})", keep_masks, lambda part: prune.l1_unstructured(part, "weight", amount))


def channels(amount: float, *, keep_masks: bool = False) -> Candidate:
    """Return a candidate that zeroes the output channels of smallest L2 norm in each weight, without removing them.

    Args:
        amount: Share of each weight's output channels (rows of linear layers), above 0 and below 1.
        keep_masks: Whether to keep the masks; they cost a product in each forward.

    Returns:
        The candidate.

    Raises:
        TradeoffError: The amount is out of range.
    """
    _check_share(amount)
    return _pruning(
        f"channels({amount:g})", keep_masks, lambda part: prune.ln_structured(part, "weight", amount, n=2, dim=0)
    )


def n_of_m(n: int = 2, m: int = 4, *, keep_masks: bool = False) -> Candidate:
    """Return a candidate that keeps the `n` largest of each `m` consecutive inputs of a layer, 2:4 by default.

    Args:
        n: Elements kept per group.
        m: Length of a group; the last one of a row may be shorter.
        keep_masks: Whether to keep the masks; they cost a product in each forward.

    Returns:
        The candidate.

    Raises:
        TradeoffError: `n` is below 1, or not below `m`.
    """
    if not 1 <= n < m:
        raise TradeoffError(f"n:m is {n}:{m}; expected 1 <= n < m")
    return _pruning(
        f"n_of_m({n}, {m})",
        keep_masks,
        lambda part: prune.custom_from_mask(part, "weight", _group_mask(part.weight.detach(), n, m)),
    )


def int8_weight_only() -> Candidate:
    """Return a candidate that stores weights of linear layers as int8 with a scale per output, for float products.

    Returns:
        The candidate.

    Raises:
        ImportError: Torchao is not installed.
    """
    return _torchao("int8_weight_only()", "Int8WeightOnlyConfig")


def int8_dynamic() -> Candidate:
    """Return a candidate that stores weights of linear layers as int8 and quantizes inputs at run time (torchao).

    Returns:
        The candidate.

    Raises:
        ImportError: Torchao is not installed.
    """
    return _torchao("int8_dynamic()", "Int8DynamicActivationInt8WeightConfig")


def cast(dtype: str) -> Candidate:
    """Return a candidate that casts the model and its floating-point inputs, and its results to fp32.

    For a single layer, the inputs of that layer are cast, and its results are cast back.

    Args:
        dtype: `"bf16"` or `"fp16"`.

    Returns:
        The candidate.

    Raises:
        TradeoffError: The dtype is another one.
    """
    if dtype not in ("bf16", "fp16"):
        raise TradeoffError(f"dtype is {dtype!r}; expected bf16 or fp16")
    into = _Cast(_DTYPES[dtype])

    def apply(model: nn.Module, module_name: str | None) -> nn.Module:
        part = model if module_name is None else model.get_submodule(module_name)
        part.to(into.dtype)
        part.register_forward_pre_hook(into.inputs, with_kwargs=True)
        part.register_forward_hook(_TO_FP32.outputs)
        return model

    return Candidate(f"cast({dtype})", apply)


def distilled(
    student: Student | nn.Module | Callable[[nn.Module], nn.Module] | Sequence[Student],
    *,
    data: Any,
    train: Training | None = None,
    held_out: Any = None,
    within: float | Mapping[str, float | str] | None = None,
    hidden: Mapping[str, str] | None = None,
    checkpoint: str | PathLike[str] | None = None,
    training_on: Deployment | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Distilled:
    """Return a candidate that trains a smaller student to reproduce the model, and returns the student.

    The row of the trade-off has the cost of the training, predicted and measured, and the number of inferences that
    pay for it. A student is trained once: other applications of the same candidate, also in a `chain`, load its
    weights.

    Args:
        student: How to make the student: `fewer_layers(0.5)`, `narrower(0.25)` or `smaller_config(0.5)` of
            `pyinfercost.tradeoffs.students`, a module, a function from the teacher to a module, or a sequence of these
            to choose from within a budget.
        data: Training data: a tuple of tensors (inputs, labels), a mapping of tensors with `labels`, or an iterable of
            such batches, such as a `DataLoader`.
        train: Settings of the losses and the training; `Training()` by default.
        held_out: Data of the same form whose loss ends the training and chooses the weights; None for neither. Use
            other data than `evaluate` does.
        within: Budget of the student on the machine of the trade-off, for students without a size and for sequences:
            a share of the teacher's predicted latency (`0.3`), or limits by figure, in its unit or in percent of the
            teacher's: `{"latency_s": 0.002, "parameter_bytes": "25 %"}`. The slowest student within it is made.
        hidden: For `hidden_weight` above 0: path of a part of the student -> path of the teacher's part whose result
            it should reproduce. None takes the pairs that the student's maker knows.
        checkpoint: File of the training's state, from which the same call continues after an interruption and which
            keeps the weights at the end. None keeps both in memory, for calls in this process.
        training_on: Machine and price of the predicted training; None for the trade-off's.
        device: Device to train on, in torch's notation.
        progress: Called with the numbers of finished and of all steps.

    Returns:
        The candidate.

    Raises:
        DistillationError: A setting is out of range.
        InputTypeError: The student or the data have an unsupported type.
    """
    if train is not None and not isinstance(train, Training):
        raise InputTypeError(f"train is {shown(train)}; expected a Training(...)")
    settings = Training() if train is None else train
    several = isinstance(student, Sequence)
    students = [student_of(each) for each in (student if isinstance(student, Sequence) else [student])]
    if several and not students:
        raise TradeoffError("student is an empty sequence; expected at least one student")
    text = Batches(data, settings.batch_size).digest()
    if held_out is not None:
        text += f", held out: {Batches(held_out, settings.batch_size, 'held_out').digest()}"
    return Distilled(
        students=tuple(students),
        train=settings,
        data=data,
        held_out=held_out,
        data_text=text,
        within=limits_of(within),
        hidden=hidden,
        training_on=training_on,
        device=device,
        store=TrainingStore(checkpoint),
        progress=progress,
    )


@dataclass(frozen=True)
class Chain:
    """Candidates that are applied one after the other; created by `chain`.

    Attributes:
        candidates: The candidates.
    """

    candidates: tuple[Callable[..., Any], ...]

    def __call__(self, model: nn.Module, module_name: str | None = None) -> nn.Module:
        """Return the model after all changes, of one layer if its path is given."""
        for candidate in self.candidates:
            model = candidate(model) if module_name is None else candidate(model, module_name)
        return model

    def __str__(self) -> str:
        return self.text

    @property
    def text(self) -> str:
        """Descriptions of the candidates."""
        names = [
            str(getattr(each, "text", None) or getattr(each, "__qualname__", repr(each))) for each in self.candidates
        ]
        return f"chain({', '.join(names)})"

    def placed(self, on: Deployment, inputs: Any, threads: int | None) -> Chain:
        """Return the chain for the machine and the inputs of a trade-off."""
        return Chain(
            tuple(each.placed(on, inputs, threads) if hasattr(each, "placed") else each for each in self.candidates)
        )

    @property
    def cost(self) -> TrainingCost | None:
        """Cost of the trainings in the last application; None without any."""
        costs = [cost for each in self.candidates if (cost := getattr(each, "cost", None)) is not None]
        return None if not costs else sum(costs[1:], start=costs[0])


def chain(*candidates: Callable[..., Any]) -> Chain:
    """Return a candidate that applies others one after the other: `chain(distilled(...), int8_weight_only())`.

    Args:
        *candidates: Ready-made candidates, or functions from a module to the changed one.

    Raises:
        TradeoffError: Fewer than two are given.
        InputTypeError: One is not callable.
    """
    if len(candidates) < 2:  # noqa: PLR2004
        raise TradeoffError(f"chain has {len(candidates)} candidates; expected two or more")
    for each in candidates:
        if not callable(each):
            raise InputTypeError(f"chain has {shown(each)}; expected candidates")
    return Chain(candidates)


def _pruning(text: str, keep_masks: bool, change: Callable[[Any], object]) -> Candidate:
    def apply(model: nn.Module, module_name: str | None) -> nn.Module:
        changed = 0
        for _, part in chosen_layers(model, module_name):
            if not isinstance(getattr(part, "weight", None), torch.Tensor):
                continue
            change(part)
            if not keep_masks:
                prune.remove(part, "weight")
            changed += 1
        if not changed:
            raise NotApplicableError(
                f"{text} applies to linear layers and convolutions, but there are none; expected at least one"
            )
        return model

    return Candidate(f"{text[:-1]}, keep_masks)" if keep_masks else text, apply)


def _torchao(text: str, config: str) -> Candidate:
    try:
        from torchao import quantization
    except ImportError as error:
        raise MissingLibraryError(
            f"{text} needs torchao, which is not installed; run pip install 'pyinfercost[models]'", name=error.name
        ) from error

    def apply(model: nn.Module, module_name: str | None) -> nn.Module:
        linear = {path for path, part in chosen_layers(model, module_name) if isinstance(part, nn.Linear)}
        if not linear:
            where = "the model has none" if module_name is None else f"{module_name} is not one"
            raise NotApplicableError(f"{text} applies to linear layers, but {where}; expected at least one")
        quantization.quantize_(model, getattr(quantization, config)(), filter_fn=lambda part, path: path in linear)
        return model

    return Candidate(text, apply)


def _group_mask(weight: torch.Tensor, n: int, m: int) -> torch.Tensor:
    """Return a mask with 1 for the `n` largest of each `m` elements along a row of the weight as a matrix."""
    rows = weight.abs().reshape(weight.shape[0], -1)
    groups = nn.functional.pad(rows, (0, -rows.shape[1] % m), value=-1.0).reshape(rows.shape[0], -1, m)
    mask = torch.zeros_like(groups).scatter_(2, groups.topk(n, dim=2).indices, 1.0)
    return mask.reshape(rows.shape[0], -1)[:, : rows.shape[1]].reshape(weight.shape)


def _check_share(amount: float) -> None:
    if not 0 < amount < 1:
        raise TradeoffError(f"amount is {amount}; expected a share above 0 and below 1")


@dataclass(frozen=True)
class _Cast:
    """Hooks that cast floating-point tensors; bound methods of a value, so that a model with them can be copied."""

    dtype: torch.dtype

    def inputs(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return tuple(map(self.of, args)), {name: self.of(value) for name, value in kwargs.items()}

    def outputs(self, module: nn.Module, args: Any, output: Any) -> Any:
        return self.of(output)

    def of(self, value: Any) -> Any:
        """Return the value with its floating-point tensors cast, including those in pytree containers."""
        return torch.utils._pytree.tree_map_only(
            torch.Tensor, lambda tensor: tensor.to(self.dtype) if tensor.is_floating_point() else tensor, value
        )


_TO_FP32 = _Cast(torch.float32)

"""Students of a distillation, made from the teacher: fewer layers, fewer channels, or a smaller config."""

from __future__ import annotations

import copy
import fnmatch
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from .._checks import COUNT, Range, is_whole, number, shown, whole
from ..errors import InputTypeError
from ..sources.capture import capture
from ..sources.inputs import Inputs
from ..training.channel_removal import shrink
from ..training.gates import magnitudes
from ..transform.channels import channel_groups
from ..transform.layers import evenly
from . import DistillationError
from .layer_stacks import LayerStack, layer_stacks
from .modules import copy_of, signature_of

if TYPE_CHECKING:
    from .._core import Graph
    from ..transform.channels import ChannelGroup, ChannelGroups

_SHARE = Range(1e-6, 1)
_STEPS = 16  # widths that are tried for a budget
_MATRIX = 2
_INNER = 8  # widths of feed-forward layers are multiples of it, as tiles of kernels are


class Made(NamedTuple):
    """A student, and its parts whose results a part of the teacher has too.

    Attributes:
        module: The student.
        hidden: Path of a part of the student -> path of the teacher's part.
    """

    module: nn.Module
    hidden: Mapping[str, str]


class Student(ABC):
    """Maker of a student from a teacher."""

    def __str__(self) -> str:
        return self.text

    @property
    @abstractmethod
    def text(self) -> str:
        """Description with all settings."""

    @abstractmethod
    def made(self, teacher: nn.Module, inputs: Inputs) -> Made:
        """Return the student.

        Args:
            teacher: The teacher, which is not changed.
            inputs: Inputs of a forward.

        Raises:
            DistillationError: There is no such student of this teacher.
        """

    def graph(self, teacher: nn.Module, inputs: Inputs) -> Graph:
        """Return the graph of the student's forward."""
        return capture(self.made(teacher, inputs).module.eval(), inputs)

    def sizes(self, teacher: nn.Module, inputs: Inputs) -> Sequence[Student]:
        """Return the students to choose from within a budget, the largest first; itself if its size is given."""
        return [self]


def fewer_layers(keep: float | None = None) -> Student:
    """Return a student with some of the teacher's layers, which are copied: evenly spaced ones of each stack.

    A stack is two or more consecutive layers of equal structure, such as the blocks of a transformer or the blocks of a
    stage of a ResNet after its first one. The hidden states of a student's layer are to equal the teacher's hidden
    states before the next layer that was kept. DistilBERT (arXiv:1910.01108) is such a student.

    Args:
        keep: Number of layers of each stack (a whole number), or share of them (a float above 0, below 1); None for as
            many as a budget allows.

    Raises:
        DistillationError: The number is out of range.
    """
    if keep is not None and is_whole(keep):
        whole(keep, "keep", COUNT, DistillationError)
    elif keep is not None:
        number(keep, "keep", _SHARE, DistillationError)
    return FewerLayers(keep)


def narrower(keep: float | None = None, *, only: Sequence[str] = (), multiple: int = 1) -> Student:
    """Return a student with copies of the channels of largest magnitude of each channel group.

    `ic.channel_groups` finds channels that must be removed together; inputs and results keep theirs.

    Args:
        keep: Share of the channels of each group; None for as many as a budget allows.
        only: Patterns of names of groups or of paths of layers, such as `"*mlp*"`; other groups keep all channels.
        multiple: Numbers of channels are rounded up to a multiple of it, up to the full width.

    Raises:
        DistillationError: A number is out of range.
    """
    if keep is not None:
        number(keep, "keep", _SHARE, DistillationError)
    whole(multiple, "multiple", COUNT, DistillationError)
    if isinstance(only, str):
        raise InputTypeError(f"only is {shown(only)}; expected a list of patterns")
    return Narrower(keep, tuple(only), multiple)


def smaller_config(scale: float | None = None, **changes: Any) -> Student:
    """Return a sibling of a model of transformers with a smaller config, and random weights.

    Args:
        scale: Share of the attention heads, and of the hidden and the intermediate size with them; the size of a head
            stays. None, without changes, for as large a share as a budget allows.
        **changes: Fields of the config, such as `num_hidden_layers=4`.

    Raises:
        DistillationError: The scale is out of range.
    """
    if scale is not None:
        number(scale, "scale", _SHARE, DistillationError)
    return SmallerConfig(scale, changes)


def student_of(given: Any) -> Student:
    """Return the maker of a student: itself, or a maker from a module or from a function of the teacher.

    Raises:
        InputTypeError: It is none of these.
    """
    if isinstance(given, Student):
        return given
    if isinstance(given, nn.Module):
        return Given(lambda teacher: copy_of(given), f"{type(given).__name__} {signature_of(given)}")
    if callable(given):
        return Given(given, str(getattr(given, "__qualname__", type(given).__qualname__)))
    raise InputTypeError(
        f"student is of type {type(given).__name__}; expected fewer_layers(...), narrower(...), smaller_config(...), a "
        "module, or a function from the teacher to a module"
    )


@dataclass(frozen=True)
class Given(Student):
    """A student of the caller.

    Attributes:
        make: Returns the student of a teacher.
        named: Description.
    """

    make: Callable[[nn.Module], Any]
    named: str

    @property
    def text(self) -> str:
        return self.named

    def made(self, teacher: nn.Module, inputs: Inputs) -> Made:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # random weights are the same each time, as a training that is continued needs
            module = self.make(teacher)
        if not isinstance(module, nn.Module):
            raise InputTypeError(f"student(teacher) returned a {type(module).__name__}; expected an nn.Module")
        if module is teacher:
            raise DistillationError("student(teacher) returned the teacher; expected another module, such as a copy")
        return Made(module, {})


@dataclass(frozen=True)
class FewerLayers(Student):
    """Evenly spaced layers of the teacher.

    Attributes:
        keep: Number or share of the layers; None for a budget to decide.
    """

    keep: float | None

    @property
    def text(self) -> str:
        return f"fewer_layers({'' if self.keep is None else self.keep})"

    def made(self, teacher: nn.Module, inputs: Inputs) -> Made:
        stacks = self._stacks(teacher, inputs)
        student = _trainable(copy_of(teacher))
        hidden: dict[str, str] = {}
        removed = 0
        names = {stack: stack.names(teacher) for stack in stacks}
        for stack in stacks[::-1]:  # the last first, so that earlier positions stay
            kept = evenly(stack.layers, self._number(stack.layers))
            removed += stack.layers - len(kept)
            mine = _cut(student, stack, kept)
            for place, path in enumerate(mine):
                before_next = kept[place + 1] - 1 if place + 1 < len(kept) else stack.layers - 1
                hidden[path] = names[stack][before_next]
        if not removed:
            longest = max(stack.layers for stack in stacks)
            raise DistillationError(
                f"{self.text} removes no layer of stacks of {longest} layers at most; expected a smaller number"
            )
        _run(student, inputs, f"{self.text} of {type(teacher).__name__}")
        return Made(student, hidden)

    def sizes(self, teacher: nn.Module, inputs: Inputs) -> Sequence[Student]:
        if self.keep is not None:
            return [self]
        longest = max(stack.layers for stack in self._stacks(teacher, inputs))
        return [FewerLayers(kept / longest if kept > 1 else 1) for kept in range(longest - 1, 0, -1)]

    def _number(self, layers: int) -> int:
        if self.keep is None:
            raise DistillationError("fewer_layers() has no number of layers; pass one, or a budget with within=")
        wanted = int(self.keep) if is_whole(self.keep) else round(self.keep * layers)
        return max(1, min(layers, wanted))

    def _stacks(self, teacher: nn.Module, inputs: Inputs) -> list[LayerStack]:
        stacks = layer_stacks(teacher, inputs)
        if not stacks:
            raise DistillationError(
                f"{type(teacher).__name__} has no stack of equal layers in an nn.Sequential or nn.ModuleList, each of "
                "which reads the result of the one before; expected one, or pass narrower(...) or a module as student"
            )
        return stacks


@dataclass(frozen=True)
class Narrower(Student):
    """Channels of largest magnitude of each group.

    Attributes:
        keep: Share of the channels; None for a budget to decide.
        only: Patterns of the groups that become narrower; all without any.
        multiple: Numbers of channels are multiples of it.
    """

    keep: float | None
    only: tuple[str, ...] = ()
    multiple: int = 1

    @property
    def text(self) -> str:
        share = [] if self.keep is None else [f"{self.keep:g}"]
        only = [f"only={list(self.only)}"] if self.only else []
        multiple = [f"multiple={self.multiple}"] if self.multiple > 1 else []
        return f"narrower({', '.join([*share, *only, *multiple])})"

    def made(self, teacher: nn.Module, inputs: Inputs) -> Made:
        groups, widths = self._widths(teacher, inputs)
        student = _trainable(copy_of(teacher))
        largest = {
            gated.group.name: gated.read().detach().topk(widths[gated.group.name]).indices.sort().values
            for gated in magnitudes(student, _without_biases(student, groups), softness=1.0)
            if gated.group.name in widths
        }
        # A group without weights that produce its channels has no magnitudes.
        keep = {name: largest.get(name, torch.arange(width)) for name, width in widths.items()}
        shrink(student, groups, keep)
        _run(student, inputs, f"{self.text} of {type(teacher).__name__}")
        return Made(student, _blocks(teacher, inputs))

    def graph(self, teacher: nn.Module, inputs: Inputs) -> Graph:
        groups, widths = self._widths(teacher, inputs)
        return groups.at(**widths)

    def sizes(self, teacher: nn.Module, inputs: Inputs) -> Sequence[Student]:
        if self.keep is not None:
            return [self]
        return [Narrower(step / _STEPS, self.only, self.multiple) for step in range(_STEPS - 1, 0, -1)]

    def _widths(self, teacher: nn.Module, inputs: Inputs) -> tuple[ChannelGroups, dict[str, int]]:
        """Return the groups of the teacher, and the number of channels to keep of those that become narrower."""
        if self.keep is None:
            raise DistillationError("narrower() has no share of channels; pass one, or a budget with within=")
        groups = channel_groups(capture(teacher.eval(), inputs))
        tied = _tied_modules(teacher)
        widths = {}
        for group in groups.groups:
            names = (group.name, *group.modules)
            if self.only and not any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in self.only):
                continue
            if any(member.tensor.startswith(path) for member in group.members for path in tied):
                continue
            wanted = max(1, round(self.keep * group.width))
            widths[group.name] = min(group.width, -(-wanted // self.multiple) * self.multiple)
        if not any(widths[name] < groups.widths[name] for name in widths):
            known = ", ".join(group.name for group in groups.groups) or "none"
            raise DistillationError(
                f"{self.text} removes no channel of {type(teacher).__name__}, whose groups are {known}; expected a "
                "smaller share, or patterns that one of them matches"
            )
        return groups, widths


@dataclass(frozen=True)
class SmallerConfig(Student):
    """A model of the teacher's class with a smaller config, and random weights.

    Attributes:
        scale: Share of heads and widths; None for the config's own, or for a budget to decide.
        changes: Fields of the config.
    """

    scale: float | None
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        scale = [] if self.scale is None else [f"{self.scale:g}"]
        return f"smaller_config({', '.join([*scale, *(f'{name}={value!r}' for name, value in self.changes.items())])})"

    def made(self, teacher: nn.Module, inputs: Inputs) -> Made:
        if self.scale is None and not self.changes:
            raise DistillationError("smaller_config() changes nothing; pass a scale, fields, or a budget with within=")
        config = copy.deepcopy(_config_of(teacher))
        for name, value in {**self._scaled(config), **self.changes}.items():
            if not hasattr(config, name):
                raise DistillationError(f"the config of {type(teacher).__name__} has no field {name!r}")
            setattr(config, name, value)
        make: Any = type(teacher)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                student = make(config)
            except Exception as error:  # whatever a class of transformers raises for sizes that do not fit
                raise DistillationError(f"{self.text} of {make.__name__} cannot be built: {error}") from error
        _run(student, inputs, f"{self.text} of {make.__name__}")
        return Made(student, _matched(student, teacher, inputs))

    def sizes(self, teacher: nn.Module, inputs: Inputs) -> Sequence[Student]:
        if self.scale is not None or self.changes:
            return [self]
        heads = int(_config_of(teacher).num_attention_heads)
        return [SmallerConfig(kept / heads) for kept in range(heads - 1, 0, -1)]

    def _scaled(self, config: Any) -> dict[str, int]:
        if self.scale is None:
            return {}
        heads = int(config.num_attention_heads)
        kept = max(1, round(self.scale * heads))
        found = {"num_attention_heads": kept, "hidden_size": config.hidden_size // heads * kept}
        pairs = getattr(config, "num_key_value_heads", None)
        if pairs:
            # As many queries per key as before, or fewer: the heads of keys divide the heads of queries.
            found["num_key_value_heads"] = max(
                each for each in range(1, kept + 1) if kept % each == 0 and each <= pairs
            )
        inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None)
        if inner:
            name = "intermediate_size" if getattr(config, "intermediate_size", None) else "n_inner"
            found[name] = max(_INNER, round(inner * kept / heads / _INNER) * _INNER)
        return found


def _config_of(teacher: nn.Module) -> Any:
    config = getattr(teacher, "config", None)
    if not hasattr(config, "num_attention_heads") or not hasattr(config, "hidden_size"):
        raise DistillationError(
            f"smaller_config is for models of transformers with a config; {type(teacher).__name__} has none with "
            "num_attention_heads and hidden_size. Pass a module as student"
        )
    return config


def _without_biases(student: nn.Module, groups: ChannelGroups) -> ChannelGroups:
    """Return the groups whose channels have the magnitudes of weights alone, without biases."""
    sizes = {name: weight.dim() for name, weight in student.named_parameters(remove_duplicate=False)}

    def weights(group: ChannelGroup) -> ChannelGroup:
        kept = [each for each in group.members if each.role != "producer" or sizes.get(each.tensor, _MATRIX) >= _MATRIX]
        return replace(group, members=tuple(kept))

    return replace(groups, groups=tuple(map(weights, groups.groups)))


def _trainable(student: nn.Module) -> nn.Module:
    """Let all floating-point weights of a student be trained: a teacher may be frozen."""
    for weight in student.parameters():
        if weight.is_floating_point():
            weight.requires_grad_(True)
    return student


def _cut(student: nn.Module, stack: LayerStack, kept: Sequence[int]) -> list[str]:
    """Remove the other layers of a stack in place, and return the new paths of the kept ones."""
    container = student.get_submodule(stack.path)
    children = list(container._modules.items())
    stays = {stack.first + place for place in kept}
    left = [
        each
        for place, each in enumerate(children)
        if place in stays or not stack.first <= place < stack.first + stack.layers
    ]
    numbered = all(name == str(place) for place, (name, _) in enumerate(children))
    container._modules.clear()
    for place, (name, layer) in enumerate(left):
        container._modules[str(place) if numbered else name] = layer
    for place, (_, layer) in enumerate(left):
        for part in [] if layer is None else layer.modules():
            if is_whole(getattr(part, "layer_idx", None)):  # caches of transformers are found by it
                part.layer_idx = place  # type: ignore[assignment]
    _cut_config(getattr(student, "config", None), stack.layers, kept)
    return LayerStack(stack.path, stack.first, len(kept)).names(student)


def _cut_config(config: Any, layers: int, kept: Sequence[int]) -> None:
    """Change the number of layers in a config of transformers, and its lists with a value per layer."""
    if getattr(config, "num_hidden_layers", None) != layers:
        return
    for name, values in vars(config).items():
        if "layer" in name and isinstance(values, list) and len(values) == layers:
            setattr(config, name, [values[place] for place in kept])
    config.num_hidden_layers = len(kept)


def _run(student: nn.Module, inputs: Inputs, what: str) -> None:
    """Run a forward, which fails where the code of a model has sizes that the change does not reach."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            student.eval()(*inputs.args, **inputs.kwargs)
    except Exception as error:
        raise DistillationError(
            f"{what} does not run ({type(error).__name__}: {error}); its forward has sizes of its own. Pass only= with "
            "other groups, or a module as student"
        ) from error


def _tied_modules(model: nn.Module) -> list[str]:
    """Return the paths of modules whose forward ties widths to attributes, so that no channel can be removed."""
    return [f"{path}." for path, part in model.named_modules() if isinstance(part, nn.MultiheadAttention)]


def _blocks(teacher: nn.Module, inputs: Inputs) -> dict[str, str]:
    """Return the layers of stacks; without stacks, parts of the top level with weights, except the last one.

    The results of the last one are the logits.
    """
    stacked = [path for stack in layer_stacks(teacher, inputs) for path in stack.names(teacher)]
    if stacked:
        return {path: path for path in stacked}
    named = [path for path, part in teacher.named_children() if any(True for _ in part.parameters())]
    return {path: path for path in named[:-1]}


def _matched(student: nn.Module, teacher: nn.Module, inputs: Inputs) -> dict[str, str]:
    """Return layers of the student's stacks with evenly spaced ones of the teacher's, the last with the last."""
    found: dict[str, str] = {}
    of_teacher = {stack.path: stack for stack in layer_stacks(teacher, inputs)}
    for stack in layer_stacks(student, inputs):
        other = of_teacher.get(stack.path)
        if other is None:
            continue
        names = other.names(teacher)
        for place, path in enumerate(stack.names(student)):
            found[path] = names[max(0, round((place + 1) * other.layers / stack.layers) - 1)]
    return found

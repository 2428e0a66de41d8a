"""Names of published checkpoints and of models of `transformers`, which renames modules and merges experts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

_Rename = Callable[[str], str]


class Names:
    """Translates names between a model and its published checkpoints, by the tables of the library.

    Args:
        model: The model. Names of a model of another library, or of a version without tables, stay as they are.
    """

    def __init__(self, model: nn.Module) -> None:
        transforms = _transforms(model, legacy=True)
        self._loads: Sequence[_Rename] = [_renaming(transform) for transform in transforms]
        own = [each for each in _transforms(model, legacy=False) if not hasattr(each, "operations")]
        self._saves: Sequence[_Rename] = [_renaming(back) for each in reversed(own) if (back := _reversed(each))]

    def of_model(self, name: str) -> str:
        """Return the name in the model of a tensor of a checkpoint."""
        for rename in self._loads:
            name = rename(name)
        return name

    def of_checkpoint(self, path: str) -> str:
        """Return the path in checkpoints of a module of the model."""
        name = f"{path}."  # tables are written for names of weights
        for rename in self._saves:
            name = rename(name)
        return name.removesuffix(".")


def _transforms(model: nn.Module, *, legacy: bool) -> list[Any]:
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping

        known: Any = model  # a `PreTrainedModel`, or another module, which has no tables
        return list(get_model_conversion_mapping(known, add_legacy=legacy))
    except (ImportError, AttributeError, TypeError, ValueError):  # a version without it, or a model of another library
        return []


def _renaming(transform: Any) -> _Rename:
    return lambda name: str(transform.rename_source_key(name)[0])


def _reversed(transform: Any) -> Any:
    try:
        return transform.reverse_transform()
    except (AttributeError, NotImplementedError, ValueError):  # such as one that merges several names
        return None

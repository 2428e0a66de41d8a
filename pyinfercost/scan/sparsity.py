"""Sparsity of a model's weights and activations."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from ..errors import InputError, InputTypeError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ..results.sparsity import ActivationSparsity, Sparsity

    Weights = (
        np.ndarray[Any, Any] | torch.Tensor | torch.nn.Module | torch.export.ExportedProgram | str | os.PathLike[str]
    )


def sparsity(weights: Weights, *, threads: int | None = None) -> Sparsity:
    """Count the zeros of weights by element, N:M group, block, row and channel.

    The scan is one pass over memory in the compiled core. Contiguous data is not copied. Files are read a
    megabyte per thread at a time, so they may be larger than memory.

    Args:
        weights: A numpy array or a torch tensor (any strides, sparse layouts, quantized and semi-structured tensors);
            an `nn.Module`, whose parameters are scanned as its forward uses them, with masks and parametrizations
            applied; a `torch.export` program; or a path of a `.pt2` file, a `.safetensors` file, or the folder or
            `.index.json` of several, which are read without torch. A spec `package.module:callable` that returns a
            module with weights is built; specs of libraries are built without weights and therefore rejected.
        threads: Number of threads; default: all that this process may use. Results do not depend on it.

    Returns:
        One row per weight, with tied weights once, and their total. A weight is treated as a matrix: its first
        dimension by the product of all others.

    Raises:
        SparsityError: There are no weights, or they have no values.
        MissingFileError: There is no such file.
        InputTypeError: `weights` has another type.

    Examples:
        >>> layer = nn.Linear(784, 128)
        >>> layer.weight.data[:64] = 0
        >>> found = ic.sparsity(layer).weights[0]
        >>> found.name, found.zero_share
        ('weight', 0.5)
    """
    if threads is not None and threads < 1:
        raise InputError(f"threads is {threads}, expected at least 1")
    count = threads or _usable_threads()
    if isinstance(weights, str | os.PathLike):
        from .paths import scan_path

        return scan_path(os.fspath(weights), count)
    loaded: Any = sys.modules.get("torch")  # a tensor or module implies that torch is imported
    if loaded is not None and isinstance(weights, loaded.Tensor):
        from .modules import scan_lone_tensor

        return scan_lone_tensor(weights, count)
    if loaded is not None and isinstance(weights, loaded.nn.Module):
        from .modules import scan_module

        return scan_module(weights, count)
    if type(weights).__name__ == "ExportedProgram":
        from .modules import scan_program

        return scan_program(weights, count)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(weights, numpy.ndarray | numpy.generic):
        from .arrays import scan_array

        return scan_array(numpy.asarray(weights), count)
    raise InputTypeError(
        f"weights is of type {type(weights).__name__}; expected a numpy array, a torch tensor, an nn.Module, an "
        "ExportedProgram, or the path of a .pt2 file, a .safetensors file or a folder of them"
    )


def activation_sparsity(model: torch.nn.Module, inputs: Any = ()) -> ActivationSparsity:
    """Run a module once on real inputs and count the zeros in the results of its activation functions.

    The module is left unchanged: updated buffers are copies, random generators are reset, and hooks are removed, also
    after an error. No gradient is recorded.

    Args:
        model: An `nn.Module` with weights, run in its current mode (call `eval()` for inference).
        inputs: A tuple of positional inputs, a lone input, a mapping of keyword inputs, or an `Inputs` with both kinds.

    Returns:
        One row per module and activation operator (`relu`, `gelu`, `silu`, `softmax`, ...), in the order of first
        calls, summed over all calls.

    Raises:
        TypeError: `model` is not an `nn.Module`.
        SparsityError: The model has no values to run with.

    Examples:
        >>> net = nn.Sequential(nn.Identity(), nn.ReLU())
        >>> ic.activation_sparsity(net, torch.tensor([[-1.0, 1.0, 2.0, 3.0]])).zero_share
        0.25
    """
    from ..sources.inputs import parse_inputs
    from .activations import measure_activations

    return measure_activations(model, *parse_inputs(inputs))


def _usable_threads() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1

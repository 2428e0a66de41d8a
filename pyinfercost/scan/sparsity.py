"""Sparsity of a model's weights and activations."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from ..results.sparsity import ActivationSparsity, Sparsity


def sparsity(weights: Any, *, threads: int | None = None) -> Sparsity:
    """Count the zeros of weights and say how they lie: by element, N:M group, block, row and channel.

    One pass over memory, in the compiled core. Nothing is copied that lies side by side, and files are mapped and
    dropped again behind the scan, so that they may be larger than memory.

    Args:
        weights: A numpy array or a torch tensor (any strides, sparse layouts, quantized and semi-structured tensors);
            an `nn.Module`, whose parameters are scanned as its forward sees them, with masks and parametrizations
            applied; a `torch.export` program; or a path: a `.pt2` file, a `.safetensors` file, the folder or the
            `.index.json` of several, which are read without torch. A spec `package.module:callable` that returns a
            module with weights is built; specs of libraries are built without weights, and refused.
        threads: How many threads to scan with; all that this process may use if left out. Figures do not depend on it.

    Returns:
        One row for each weight, tied weights once, and their total. A weight is seen as a matrix: its first dimension
        by all others.

    Raises:
        SparsityError: There are no weights in what was given, or they have no values.
        FileNotFoundError: There is no such file.
        TypeError: `weights` is none of the above.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads is {threads}, expected at least 1")
    count = threads or _usable_threads()
    if isinstance(weights, str | os.PathLike):
        from .paths import scan_path

        return scan_path(os.fspath(weights), count)
    loaded: Any = sys.modules.get("torch")  # whoever has a tensor or a module has imported it
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
    raise TypeError(
        f"weights is of type {type(weights).__name__}; expected a numpy array, a torch tensor, an nn.Module, an "
        "ExportedProgram, or the path of a .pt2 file, a .safetensors file or a folder of them"
    )


def activation_sparsity(model: torch.nn.Module, inputs: Any = ()) -> ActivationSparsity:
    """Run a module once on real inputs and count the zeros that its activation functions give.

    The module is left as it was: buffers that a forward would update are copies, generators of random numbers are set
    back, and the hooks that follow the modules are removed, also after an error. No gradient is recorded.

    Args:
        model: An `nn.Module` with weights, which runs in the mode that it is in (call `eval()` for inference).
        inputs: A tuple of positional inputs, a lone input, a mapping of keyword inputs, or an `Inputs` with both kinds.

    Returns:
        One row for each module and activation operator (`relu`, `gelu`, `silu`, `softmax`, ...), in the order of their
        first calls, with all calls added up.

    Raises:
        TypeError: `model` is no `nn.Module`.
        SparsityError: The model has no values to run on.
    """
    from ..sources.inputs import parse_inputs
    from .activations import measure_activations

    return measure_activations(model, *parse_inputs(inputs))


def _usable_threads() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1

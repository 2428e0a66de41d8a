"""A module for a moment without what makes it run parts of itself again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def without_checkpoints(module: torch.nn.Module) -> Iterator[bool]:
    """Activations are kept and not computed again, where a flag of a part says so; gives whether there is one.

    `transformers` has `gradient_checkpointing`, `timm` has `grad_checkpointing`.
    """
    flags = [
        (part, name)
        for part in module.modules()
        for name, value in vars(part).items()
        if value is True and "checkpoint" in name
    ]
    try:
        for part, name in flags:
            setattr(part, name, False)
        yield bool(flags)
    finally:
        for part, name in flags:
            setattr(part, name, True)

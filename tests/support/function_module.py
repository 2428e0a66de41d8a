"""A module that wraps a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


class Wrapped(nn.Module):
    """A module whose forward is a function."""

    def __init__(self, function: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)

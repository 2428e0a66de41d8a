"""One public model as the zoo runs it: a name, and how it is built with inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

Built = tuple["nn.Module", tuple[Any, ...], dict[str, Any]]


class NotBuildableError(Exception):
    """Raised by `build` where a model cannot be had for a reason outside this project; the text is the reason.

    The zoo keeps the reason in its golden file and on the coverage page, and does not call it a failure.
    """


@dataclass(frozen=True)
class Case:
    """One model, in one way of running it.

    Attributes:
        library: `torchvision`, `timm`, `transformers` or `diffusers`.
        name: The library's own name for it, with the way of running it where there are several: `llama#decode`.
        group: What the coverage page lists it under: `detection`, `encoder`, `text-to-image`.
        build: Makes the module, in eval mode and on the meta device where weights are large, and its inputs.
        flops: What is known of its work from elsewhere: contraction FLOPs, or None. A rounded figure ends in zeros, and
            is compared to the digits that it has: 8_178_000_000 FLOPs are 4.089 * 10^9 multiply-accumulates.
        parameters: What is known of its parameters from elsewhere, or None; rounded in the same way.
        differs: Why a count is known to differ from `flops` or `parameters`, with the arithmetic; empty where they
            have to agree. It stands on the coverage page.
        sizes: Values of sizes that depend on data, where `flops` is known for these and not for the defaults.
    """

    library: str
    name: str
    group: str
    build: Callable[[], Built]
    flops: Callable[[], int | None] = lambda: None
    parameters: Callable[[], int | None] = lambda: None
    differs: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """The name that reports and tests show: `timm:vit_tiny_patch16_224`."""
        return f"{self.library}:{self.name}"

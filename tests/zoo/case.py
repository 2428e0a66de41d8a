"""One public model of the zoo: a name, and a function that builds it with inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

Built = tuple["nn.Module", tuple[Any, ...], dict[str, Any]]


class NotBuildableError(Exception):
    """Raised by `build` for a model that is not available for a reason outside this project, given in the text.

    The zoo stores the reason in its golden file and on the coverage page, and does not count it as a failure.
    """


@dataclass(frozen=True)
class Case:
    """One model in one mode of execution.

    Attributes:
        library: `torchvision`, `timm`, `transformers` or `diffusers`.
        name: The library's own name for it, with the mode if there are several: `llama#decode`.
        group: Group on the coverage page: `detection`, `encoder`, `text-to-image`.
        build: Builds the module, in eval mode and with large weights on the meta device, and its inputs.
        flops: Contraction FLOPs from another source, or None. A rounded figure ends in zeros and is compared to its
            digits: 8_178_000_000 FLOPs are 4.089 * 10^9 multiply-accumulates.
        parameters: Number of parameters from another source, or None; rounded in the same way.
        differs: Reason with arithmetic why a count differs from `flops` or `parameters`; empty if they must agree. It
            is shown on the coverage page.
        sizes: Values of sizes that depend on data, if `flops` is known for these instead of the defaults.
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
        """Name in reports and tests: `timm:vit_tiny_patch16_224`."""
        return f"{self.library}:{self.name}"

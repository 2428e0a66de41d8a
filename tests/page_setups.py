"""Names that snippets of the documentation take for granted: `<!-- setup: NAME -->` on a page calls the function NAME."""

from __future__ import annotations

from typing import Any


def pruned_file() -> dict[str, Any]:
    """A file `pruned.safetensors` with weights that are pruned in different ways."""
    import torch
    from safetensors.torch import save_file
    from torch import nn

    from pyinfercost.tradeoffs.candidates import magnitude, n_of_m

    torch.manual_seed(0)
    model = nn.ModuleDict({"two_of_four": nn.Linear(512, 512), "anywhere": nn.Linear(512, 512)})
    n_of_m(2, 4)(model["two_of_four"])
    magnitude(0.9)(model["anywhere"])
    save_file(model.state_dict(), "pruned.safetensors")
    return {}

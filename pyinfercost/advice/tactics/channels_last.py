"""Memory format: images with their channels innermost, as kernels of matrix units read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...deployment.engines import TORCH
from ...sources.memory_formats import CHANNELS_LAST, split_format
from ..facts import has_convolutions, is_channels_last
from ..tactic import Option, Options, Refusal, Tactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_APPLY = "model = model.to(memory_format=torch.channels_last)\ninputs = inputs.to(memory_format=torch.channels_last)"


class ChannelsLast(Tactic):
    """torch's memory format channels_last: convolutions of cuDNN and oneDNN then copy neither inputs nor results."""

    name = CHANNELS_LAST
    title = "the memory format channels_last"
    effort = "code"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer it for models with convolutions in torch; engines choose the layout of images themselves."""
        graph = case.graphs.open(setup.variant)
        if not has_convolutions(graph):
            return Options()
        if setup.variant.memory_format or split_format(case.model)[1] or is_channels_last(graph):
            return Options((), [Refusal(text=CHANNELS_LAST, why="the model is in channels_last already")])
        if setup.on.engine != TORCH:
            why = f"engine {setup.on.engine} chooses the layout of images itself"
            return Options((), [Refusal(text=CHANNELS_LAST, why=why)])
        if not case.has_module:
            why = "a captured graph has one layout; pass the module or its spec, or capture it in channels_last"
            return Options((), [Refusal(text=CHANNELS_LAST, why=why)])
        change = {"memory_format": CHANNELS_LAST}
        return Options([Option(text=CHANNELS_LAST, phrase="in channels_last", change=change, apply=_APPLY)])

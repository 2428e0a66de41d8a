"""Shape: the same model with fewer channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...transform.channels import ChannelGroupsError
from ..setups import Variant
from ..tactic import Option, Options, Refusal, Tactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_SHARES = (0.75, 0.5)


class Width(Tactic):
    """Channels are removed in all groups alike, and the model is trained again."""

    name = "width"
    title = "fewer channels"
    group = "shape"
    risk = "retrain"
    effort = "training"
    published = "channels"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer three quarters and half of the channels, where groups of channels can be removed."""
        if setup.variant.width != 1:
            return Options((), [Refusal(text=self.title, why=f"the model has width {setup.variant.width:g} already")])
        try:
            case.graphs.open(Variant(model=setup.variant.model, width=_SHARES[0]))
        except ChannelGroupsError as error:
            return Options((), [Refusal(text=self.title, why=str(error))])
        code = "pyinfercost.training.shrink(model, ic.channel_groups(graph), kept)  # then train it again"
        return Options(
            [Option(text=f"{share:.0%} of the channels", change={"width": share}, apply=code) for share in _SHARES]
        )

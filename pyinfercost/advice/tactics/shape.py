"""Shape: the same model with fewer channels, or a smaller one of its family."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...results.advice import AccuracyNote
from ...transform.channels import ChannelGroupsError
from ..published import NOT_MEASURED
from ..siblings import siblings, source
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
            case.graphs.open(replace(setup.variant, width=_SHARES[0]))
        except ChannelGroupsError as error:
            return Options((), [Refusal(text=self.title, why=str(error))])
        code = "pyinfercost.training.shrink(model, ic.channel_groups(graph), kept)  # then train it again"
        return Options(
            [Option(text=f"{share:.0%} of the channels", change={"width": share}, apply=code) for share in _SHARES]
        )


class SmallerSibling(Tactic):
    """A smaller model of the same family, with weights of its own."""

    name = "sibling"
    title = "a smaller model of the family"
    group = "shape"
    risk = "retrain"
    effort = "training"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer the nearest smaller models of families with published accuracies."""
        own, smaller = siblings(setup.variant.model or case.model)
        if own is None or setup.variant.width != 1:
            return Options()
        if not smaller:
            return Options((), [Refusal(text=self.title, why="it is the smallest model of its family")])
        found = []
        for each in smaller:
            lost = own.top1 - each.top1
            accuracy = AccuracyNote(
                text=f"{lost:.2f} points of ImageNet top-1 lost ({own.top1:g} to {each.top1:g}), {NOT_MEASURED}",
                lost_low=lost,
                lost_high=lost,
                source=source(),
            )
            name = each.spec.partition(":")[2]
            found.append(
                Option(
                    text=name,
                    phrase=f"as {name}",
                    change={"model": each.spec},
                    accuracy=accuracy,
                    apply=f'model = torchvision.models.{name}(weights="DEFAULT")  # fine-tuned on your data',
                )
            )
        return Options(found)

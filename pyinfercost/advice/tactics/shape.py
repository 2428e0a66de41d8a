"""Shape: the same model with fewer channels or layers, a smaller one of its family, or an earlier end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...results.advice import AccuracyNote
from ...transform.channels import ChannelGroupsError
from ...transform.exits import exits
from ...transform.layers import LayersError
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
        if _is_changed(setup):
            return Options((), [Refusal(text=self.title, why="the shape of the model is changed already")])
        try:
            case.graphs.open(replace(setup.variant, width=_SHARES[0]))
        except ChannelGroupsError as error:
            return Options((), [Refusal(text=self.title, why=str(error))])
        code = "pyinfercost.training.shrink(model, ic.channel_groups(graph), kept)  # then train it again"
        return Options(
            [Option(text=f"{share:.0%} of the channels", change={"width": share}, apply=code) for share in _SHARES]
        )


class FewerLayers(Tactic):
    """Layers are removed evenly from each stack of equal ones, and the rest is distilled from the model."""

    name = "layers"
    title = "fewer layers"
    group = "shape"
    risk = "retrain"
    effort = "training"
    published = "distilled"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer three quarters and half of the layers, where stacks of equal layers have more than one."""
        if _is_changed(setup):
            return Options((), [Refusal(text=self.title, why="the shape of the model is changed already")])
        found, refused = [], []
        for share in _SHARES:
            text = f"{share:.0%} of the layers"
            try:
                case.graphs.open(replace(setup.variant, layers=share))
            except LayersError as error:
                refused.append(Refusal(text=text, why=str(error).partition(";")[0]))
                continue
            code = (
                f"candidates.distilled(students.fewer_layers({share:g}), train=train, data=batches)  # with ic.tradeoff"
            )
            found.append(Option(text=text, change={"layers": share}, apply=code))
        return Options(found, refused)


class EarlyExit(Tactic):
    """The forward ends at a classifier that the model has before its last one."""

    name = "early_exit"
    title = "early exits"
    group = "shape"
    risk = "retrain"
    effort = "code"
    published = "early_exit"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer the exits of the model; a plan takes none, since the share of inputs that leave there is not known."""
        if _is_changed(setup):
            return Options()
        graph = case.graphs.open(setup.variant)
        count = len(exits(graph))
        return Options(
            [
                Option(
                    text=f"early exit {number} of {count}",
                    phrase=f"leaving at exit {number} of {count}",
                    change={"exit_at": number},
                    apply="stop the forward once the classifier of the exit is confident",
                    note="if all inputs leave there; half of them save half of it",
                    in_plan=False,
                )
                for number in range(1, count + 1)
            ]
        )


def _is_changed(setup: Setup) -> bool:
    variant = setup.variant
    return variant.width != 1 or variant.layers != 1 or variant.exit_at != 0


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
        if own is None or _is_changed(setup):
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

"""Use of the machine: copies side by side on a CPU, fewer devices, copies of inputs that overlap the forward."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import LayoutError
from ...inputs.layout import Layout
from ...predict.plans import graph_of_rank
from ...results.advice import MONEY
from ..reasons import bound_words, short
from ..tactic import Option, Options, Refusal, Tactic
from .engine import COMPILERS

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup
    from ..tactic import Tried

_SHARED = (2, 4, 8)
_COPIES = (2, 4, 7, 8, 14, 16, 28, 32, 48, 64, 96, 128)


class Instances(Tactic):
    """Copies of the model side by side on one CPU, because a small batch does not fill its cores."""

    name = "instances"
    title = "copies on one CPU"
    effort = "code"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer numbers of copies that have at least one core each."""
        on = setup.on
        if setup.placed.machine.kind != "cpu":
            return Options()
        if on.devices > 1 or on.layout is not None:
            return Options((), [Refusal(text=self.title, why="the model lies on several devices")])
        cores = int(setup.placed.machine.cores * on.instances)
        found = []
        for copies in (1, *_COPIES):
            if copies == on.instances or copies > cores or (on.threads is not None and on.threads * copies > cores):
                continue
            threads = max(1, cores // copies)
            found.append(
                Option(
                    text=f"{copies} copies on the CPU" if copies > 1 else "one copy on the CPU",
                    phrase=f"in {copies} processes" if copies > 1 else "in one process",
                    change={"instances": copies},
                    apply=f"{copies} processes with torch.set_num_threads({threads}) each, pinned to their cores",
                )
            )
        return Options(found)


class Devices(Tactic):
    """Fewer devices, or products that several devices share."""

    name = "devices"
    title = "the number of devices"
    buys = True
    effort = "code"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer fewer devices, and tensor parallelism where it can lower the latency."""
        on = setup.on
        found = []
        if on.devices > 1:
            for devices in (1, *(n for n in (2, 4, 8) if n < on.devices)):
                change = {"devices": devices, "layout": None} if on.layout is None else {
                    "devices": 1, "layout": None if devices == 1 else f"tensor={devices}"}  # fmt: skip
                text = "one device" if devices == 1 else f"{devices} devices"
                found.append(Option(text=text, phrase=f"on {text}", change=change))
        refused = []
        if on.layout is None and on.devices == 1 and on.engine not in COMPILERS and setup.placed.machine.kind == "gpu":
            in_plan = case.objective in MONEY or not case.is_within_limits(case.outcome)
            for count in _SHARED:
                text = f"{count} devices that share each product"
                try:
                    graph_of_rank(case.graphs.open(setup.variant), Layout(tensor=count))
                except LayoutError as error:
                    refused.append(Refusal(text=text, why=_not_shared(error, count)))
                    continue
                found.append(
                    Option(
                        text=text,
                        phrase=f"on {count} devices",
                        change={"layout": f"tensor={count}"},
                        in_plan=in_plan,
                        note=f"{count} devices are paid for" if case.objective in MONEY else f"takes {count} devices",
                    )
                )
        return Options(found, refused)

    def why_not(self, tried: Tried, case: Case) -> str:
        """Compare the speedup with the devices that are paid for."""
        before, after = case.estimate, tried.estimate
        if before is None or after is None or after.devices <= before.devices:
            return ""
        speedup = before.latency_s / after.latency_s
        times = after.devices / before.devices
        return (
            f"{after.devices} devices take {short(after.latency_s, 's')} instead of {short(before.latency_s, 's')}, "
            f"{speedup:.2f} times as fast, and {times:g} times as many are paid for; then it is {bound_words(after)}"
        )


def _not_shared(error: LayoutError, count: int) -> str:
    """Return why devices cannot share the products of a model."""
    message = str(error).partition(";")[0].partition(": at ")[0]
    if "divides no product" in message:
        return f"no matrix product has an axis that {count} devices can divide"
    return message


class Overlap(Tactic):
    """Pinned memory, and copies of the next batch during the forward."""

    name = "overlap"
    title = "overlapped copies"
    effort = "code"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer it where copies are part of the cost."""
        on = setup.on
        if on.transfer is None:
            return Options()
        terms = on.data_transfer
        if terms.overlapped and terms.memory == "pinned":
            return Options((), [Refusal(text=self.title, why="copies overlap already")])
        better = str(terms.replace(memory="pinned", overlapped=True))
        code = 'inputs.pin_memory().to("cuda", non_blocking=True) on a stream of its own'
        return Options([Option(text="pinned, overlapped copies", change={"transfer": better}, apply=code)])

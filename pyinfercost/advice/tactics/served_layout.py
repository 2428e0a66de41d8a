"""How a replica lies on devices: fewer, or more that share each product or the layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...deployment.engine_flags import flag_of
from ...errors import InputError
from ...predict.layouts import layouts_on_machines
from ..tactic import Option, Options, Refusal
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_DEVICES = (1, 2, 4, 8)


class ServedLayout(TrafficTactic):
    """Tensor and pipeline parallelism of a replica."""

    name = "served_layout"
    screened = True
    title = "devices of a replica"
    group = "layout"
    effort = "setting"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer legal layouts of one replica on 1, 2, 4 and 8 devices."""
        on = setup.on
        try:
            layouts = layouts_on_machines(
                case.graphs.open(setup.variant),
                _DEVICES,
                [on.machine],
                precisions=[on.precision],
                engines=[on.engine],
                among={"nodes": 1},
            )
        except InputError as error:
            return Options((), [Refusal(text="layouts", why=str(error))])
        own = str(on.rank_layout)
        found = []
        for layout in layouts.found:
            words = str(layout)
            if words == own or (layout.data > 1 and layout.expert <= layout.tensor):
                continue
            many = layout.devices
            text = "one device a replica" if many == 1 else f"{words} ({many} devices a replica)"
            flags = flag_of(on.engine, "layout", words)
            found.append(Option(text=text, change={"layout": words, "devices": 1}, apply=flags))
        # Copies are replicas, not layouts of one; but experts may be divided over copies of the rest.
        alone = [each for each in layouts.out if "data=" not in each.layout or "expert=" in each.layout]
        refused = [Refusal(text=each.layout, why=each.reason) for each in alone]
        return Options(found, refused)

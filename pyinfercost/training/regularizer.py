"""`CostRegularizer`: what a model with prunable channels costs on a machine, as a term of its loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from .inference_view import deployed
from .example import Dynamic, example_of
from .gates import Gated, at_least_single, gates_given, magnitudes
from .cost_to_serve import captured
from .settings import checked_every, granularity_of, machines_of
from .soft_cost import METRICS, OF_MACHINE, Interpolation, PointCost, nodes_of

if TYPE_CHECKING:
    from ..transform.channels import ChannelGroups

_STEPS = 8
_MARGIN = 0.1
_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class GroupCost:
    """One group of channels, now.

    Attributes:
        name: of the group.
        modules: the layers that make its channels.
        width: channels that there are.
        soft: how many of them there are by their gates.
        kept: channels whose gates are above the threshold, rounded up to the granularity.
        slope: what one channel costs now, in units of the metric.
    """

    name: str
    modules: tuple[str, ...]
    width: int
    soft: float
    kept: int
    slope: float


class CostRegularizer:
    """A differentiable cost of a model whose channels can be pruned: `loss + regularizer()`.

    Channels that have to go together (behind residual sums, concatenations, normalisations, depthwise convolutions)
    are one group with one soft width, the sum of its gates. The cost at soft widths is linear between costs that the
    machine's own model gives for whole widths, so that its gradient is what a channel really costs there: nothing where
    a launch binds, the bytes where memory does, a tile where tiles are padded.

    Attributes:
        groups: of channels, with the graph in which their widths are named sizes.
        lam: the weight of the cost in the loss; a budget changes it.
        full_cost: of the model with all channels, in units of the metric.

    Args:
        model: in training, in whatever it is wrapped.
        args: example inputs of a forward that is served, a tuple or a lone one.
        kwargs: named ones.
        metric: `latency_s`, `energy_j`, `cost_usd` (these on a machine), `flops` (of contractions), `bytes`,
            `memory_bytes`.
        hardware: the machine, what `hardware.load` takes.
        precision: the dtype to serve in.
        execution: `eager`, `compiled` or `replayed`.
        sizes: values of named sizes to serve at, such as `{"batch": 1}`.
        dynamic: which dimensions vary, as in `CostTracker`.
        price: of an hour of the machine, for `cost_usd`, as in `estimate`.
        utilisation: share of the paid time in which it works.
        threads: of a CPU.
        gates: name of a group, or path of a layer -> a tensor of [channels] between 0 and 1, or a function that gives
            one; channels of other groups stay. None takes magnitudes of the weights, of all groups.
        threshold: below it a gate that was given counts as closed.
        softness: of magnitudes: the share of the group's largest at which a channel counts half.
        granularity: `hard` and `keep` round widths up to multiples of it; `"auto"` is what the machine's units want,
            1 without a machine.
        lam: the weight of the cost in the loss.
        budget: the share of the full cost to get to; `step` then changes `lam`.
        rate: of these changes.
        refresh: calls after which soft widths are looked at anew. On a GPU each look waits for the device; in between
            slopes stay as they are.

    Raises:
        ValueError: for a setting that cannot be, or a model without channels that can go.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        metric: str = "latency_s",
        hardware: Any = None,
        precision: str = "native",
        execution: str = "eager",
        sizes: Mapping[str, int] | None = None,
        dynamic: Dynamic | None = None,
        price: Any = None,
        utilisation: float = 1.0,
        threads: int | None = None,
        gates: Mapping[str, Any] | None = None,
        threshold: float = 0.5,
        softness: float = 0.1,
        granularity: int | str = "auto",
        lam: float = 1.0,
        budget: float | None = None,
        rate: float = 0.01,
        refresh: int = 1,
    ) -> None:
        from ..transform.channels import channel_groups

        _check(metric, hardware, price, softness, budget)
        self._refresh = checked_every("refresh", refresh)
        machines = machines_of(hardware, threads, price=price, utilisation=utilisation, region=None, transfer=None)
        if len(machines) > 1:
            raise ValueError(f"hardware has {len(machines)} machines; expected one: a loss has one cost")
        machine = machines[0] if machines else None
        graph = captured(deployed(model).module, example_of(args, kwargs, dynamic))
        self.groups: ChannelGroups = channel_groups(graph)
        self._gated: list[Gated] = (
            magnitudes(model, self.groups, softness) if gates is None else gates_given(self.groups, gates, threshold)
        )
        if not self._gated:
            reasons = "; ".join(f"{path}: {why}" for path, why in list(self.groups.fixed.items())[:3])
            raise ValueError(f"{graph.model} has no channels that can go ({reasons or 'gates is empty'})")
        self._names = [gated.group.name for gated in self._gated]
        self._full = tuple(gated.group.width for gated in self._gated)
        self._granularity = granularity_of(granularity, None if machine is None else machine.hardware, precision)
        self._cost = PointCost(
            self.groups,
            self._names,
            metric=metric,
            machine=machine,
            precision=precision,
            execution=execution,
            sizes=sizes or {},
            threads=threads,
        )
        nodes = [nodes_of(width, min(self._granularity, width), _STEPS) for width in self._full]
        self._interpolation = Interpolation(nodes, self._cost.at)
        self.metric = metric
        self.full_cost = self._cost.at(self._full)
        if not (math.isfinite(self.full_cost) and self.full_cost > 0):
            raise ValueError(f"{metric} of {graph.model} is not known on {hardware}: its file does not say enough")
        self.lam = float(lam)
        self._budget = budget
        self._rate = rate
        self._calls = 0
        self._anchor: tuple[list[float], float, tuple[float, ...]] | None = None

    def __repr__(self) -> str:
        return f"<CostRegularizer of {self.metric}: {len(self._gated)} groups, lam {self.lam:.4g}>"

    def soft_widths(self) -> torch.Tensor:
        """How many channels of each group there are by their gates: a differentiable tensor of [groups]."""
        sums = [at_least_single(gated.read()).sum() for gated in self._gated]
        return torch.stack([each.to(sums[0]) for each in sums])

    def cost(self) -> torch.Tensor:
        """The cost at the soft widths, as a share of the full cost: a differentiable scalar, 1 for a whole model."""
        widths = self.soft_widths()
        if self._anchor is None or self._calls % self._refresh == 0:
            at = widths.detach().tolist()
            cost, slopes = self._interpolation.at(at)
            self._anchor = at, cost / self.full_cost, tuple(slope / self.full_cost for slope in slopes)
        self._calls += 1
        at, share, slopes = self._anchor
        slope = widths.new_tensor(slopes)
        return share + (slope * (widths - widths.new_tensor(at))).sum()

    def __call__(self) -> torch.Tensor:
        """The term to be added to a loss: `lam * cost()`, and with a budget as much of it as `pressure` says."""
        cost = self.cost()
        if self._budget is None:  # which needs no number of a device
            return self.lam * cost
        return self.lam * self.pressure(float(cost.detach())) * cost

    def pressure(self, share: float) -> float:
        """How much of the term counts: all of it without a budget, nothing below one, and in between within a tenth.

        So nothing is pushed out once the budget is met, however large `lam` has become on the way.

        Args:
            share: the cost as a share of the full one.
        """
        if self._budget is None:
            return 1.0
        return min(max((share / self._budget - 1) / _MARGIN, 0.0), 1.0)

    def inject_grad(self, *, scale: float = 1.0) -> float:
        """Adds the gradient of the term to `grad` of what the gates depend on, for loops that own their loss.

        To be called after backward and before the optimizer's step (with a `GradScaler`: after `unscale_`).

        Args:
            scale: of the loss, where gradients are still scaled.

        Returns:
            The cost as a share of the full one.
        """
        with torch.enable_grad():
            cost = self.cost()
            share = float(cost.detach())
            weight = self.lam * self.pressure(share) * scale
            if weight != 0:
                (weight * cost).backward()  # type: ignore[no-untyped-call]
        return share

    def keep(self) -> dict[str, list[int]]:
        """For each group the channels to keep, as `shrink` takes them.

        The largest gates, rounded up to the granularity. One channel at least stays of each.
        """
        kept: dict[str, list[int]] = {}
        for gated in self._gated:
            gate = gated.read().detach().flatten().float().cpu()
            width = gated.group.width
            count = int((gate > gated.threshold).sum())
            count = min(width, max(1, -(-count // self._granularity) * self._granularity)) if count else 1
            chosen = gate.argsort(descending=True, stable=True)[:count]
            kept[gated.group.name] = sorted(int(index) for index in chosen)
        return kept

    def hard(self) -> float:
        """The cost of the model that `keep` leaves, in units of the metric, as `estimate` says it."""
        kept = self.keep()
        return self._cost.exactly(tuple(len(kept[name]) for name in self._names))

    def step(self) -> float:
        """After an optimizer step: with a budget, raises `lam` above it and lowers it below. Returns the new `lam`.

        It is a dual ascent in logarithms: `lam` grows by `rate` times the share by which the soft cost is over, at most
        by half of `rate` a step.
        """
        if self._budget is not None:
            with torch.no_grad():
                over = float(self.cost()) / self._budget - 1
            self.lam *= math.exp(self._rate * min(max(over, -0.5), 0.5))
        return self.lam

    def shrink(self, model: torch.nn.Module) -> torch.nn.Module:
        """Takes the channels that `keep` leaves out of a module for real, in place, and returns it.

        Args:
            model: the module, or a copy of it, without masks and wrappers.
        """
        from .shrink import shrink

        return shrink(model, self.groups, self.keep())

    def report(self) -> tuple[GroupCost, ...]:
        """Each group now, the dearest channels first."""
        soft = self.soft_widths().detach().tolist()
        slopes = self._interpolation.at(soft).slopes
        kept = self.keep()
        rows = [
            GroupCost(g.group.name, g.group.modules, g.group.width, width, len(kept[g.group.name]), slope)
            for g, width, slope in zip(self._gated, soft, slopes, strict=True)
        ]
        return tuple(sorted(rows, key=lambda row: -row.slope))

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, as plain JSON values."""
        return {"schema_version": _SCHEMA_VERSION, "lam": self.lam}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state_dict`.

        Raises:
            ValueError: it is of another version.
        """
        if state.get("schema_version") != _SCHEMA_VERSION:
            raise ValueError(
                f"the state has schema_version {state.get('schema_version')!r}; expected {_SCHEMA_VERSION}"
            )
        self.lam = float(state["lam"])


def _check(metric: str, hardware: Any, price: Any, softness: float, budget: float | None) -> None:
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; expected one of {', '.join(METRICS)}")
    if metric in OF_MACHINE and hardware is None:
        raise ValueError(f"{metric} is a cost on a machine; expected hardware=, an id of the catalogue or a file")
    if metric == "cost_usd" and price is None:
        raise ValueError("cost_usd needs price=, what an hour of the machine costs")
    if not softness > 0:
        raise ValueError(f"softness is {softness!r}; expected a share above 0")
    if budget is not None and not 0 < budget < 1:
        raise ValueError(f"budget is {budget!r}; expected a share of the full cost between 0 and 1")

"""`CostRegularizer`: cost of a model with prunable channels on a machine, as a term of its loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..deployment import deployment_of
from ..deployment.keywords import shows
from ..deployment.options import DeploymentOptions
from ..errors import InputError
from ..sources.example import Dynamic, capture_forward, example_of
from ..sources.inference_view.view import inference_view
from .gates import Gated, at_least_single, gates_given, magnitudes
from .settings import checked_count, granularity_of
from .soft_cost import METRICS, OF_MACHINE, Interpolation, PointCost, nodes_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..deployment import Deployment
    from ..transform.channels import ChannelGroups

_STEPS = 8
_MARGIN = 0.1
_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class GroupCost:
    """Current state of one group of channels.

    Attributes:
        name: Of the group.
        modules: Layers that produce its channels.
        width: Number of channels.
        soft: Sum of their gates.
        kept: Channels with gates above the threshold, rounded up to the granularity.
        slope: Cost of one channel, in units of the metric.
    """

    name: str
    modules: tuple[str, ...]
    width: int
    soft: float
    kept: int
    slope: float


class CostRegularizer:
    """Differentiable cost of a model with prunable channels: `loss + regularizer()`.

    Channels that are pruned together (because of residual sums, concatenations, normalizations, depthwise convolutions)
    are one group with one soft width, the sum of its gates. The cost at soft widths is interpolated linearly between
    the machine model's costs at whole widths, so its gradient is the real cost of a channel: zero if a launch binds,
    bytes if memory binds, a tile if tiles are padded.

    Attributes:
        groups: Groups of channels, with the graph in which their widths are named sizes.
        lam: Weight of the cost in the loss; a target changes it.
        full_cost: Cost of the model with all channels, in units of the metric.

    Args:
        model: The module in training, in any wrapper.
        inputs: Example inputs of a served forward: a tuple of positional inputs, a lone input, a mapping of keyword
            inputs, or an `Inputs` with both kinds.
        metric: `latency_s`, `energy_j`, `cost_usd` (these on a machine), `flops`, `contraction_flops`,
            `traffic_bytes`, or `peak_memory_bytes`.
        on: Where and how the model is going to be served; keywords override its fields.
        sizes: Values of named sizes to serve at, such as `{"batch": 1}`.
        dynamic: Varying dimensions, as in `CostTracker`.
        gates: Name of a group, or path of a layer -> a tensor of shape (channels,) between 0 and 1, or a function that
            returns one; other groups keep their channels. None takes magnitudes of the weights, of all groups.
        threshold: Given gates below it count as closed.
        softness: Of magnitudes: the share of the group's maximum at which a channel counts half.
        granularity: `hard` and `keep` round widths up to multiples of it; `"auto"` is the width of the machine's units,
            1 without a machine.
        lam: Weight of the cost in the loss.
        target: Share of the full cost to reach; `step` then adapts `lam`.
        rate: Rate of that adaptation.
        refresh: Calls between two evaluations of the soft widths. On a GPU each evaluation synchronizes the device; in
            between, slopes are constant.
        **options: Fields of `Deployment`, such as `hardware`, which take precedence over `on`.

    Raises:
        InputError: A setting is invalid, or the model has no prunable channels.
    """

    @shows(DeploymentOptions)
    def __init__(
        self,
        model: torch.nn.Module,
        inputs: Any = (),
        *,
        metric: str = "latency_s",
        on: Deployment | None = None,
        sizes: Mapping[str, int] | None = None,
        dynamic: Dynamic | None = None,
        gates: Mapping[str, Any] | None = None,
        threshold: float = 0.5,
        softness: float = 0.1,
        granularity: int | str = "auto",
        lam: float = 1.0,
        target: float | None = None,
        rate: float = 0.01,
        refresh: int = 1,
        **options: Unpack[DeploymentOptions],
    ) -> None:
        from ..transform.channels import channel_groups

        deployment = deployment_of(on, options)
        _check(metric, deployment, softness, target)
        self._refresh = checked_count("refresh", refresh)
        graph = capture_forward(inference_view(model).module, example_of(inputs, dynamic))
        self.groups: ChannelGroups = channel_groups(graph)
        self._gated: list[Gated] = (
            magnitudes(model, self.groups, softness) if gates is None else gates_given(self.groups, gates, threshold)
        )
        if not self._gated:
            reasons = "; ".join(f"{path}: {why}" for path, why in list(self.groups.fixed.items())[:3])
            raise InputError(
                f"{graph.model} has no prunable channels ({reasons or 'gates is empty'}); expected at least one group"
            )
        self._names = [gated.group.name for gated in self._gated]
        self._full = tuple(gated.group.width for gated in self._gated)
        machine = None if deployment.hardware is None else deployment.machine
        self._granularity = granularity_of(granularity, machine, deployment.precision)
        self._cost = PointCost(self.groups, self._names, metric=metric, on=deployment, sizes=sizes or {})
        nodes = [nodes_of(width, min(self._granularity, width), _STEPS) for width in self._full]
        self._interpolation = Interpolation(nodes, self._cost.at)
        self.metric = metric
        self.full_cost = self._cost.at(self._full)
        if not (math.isfinite(self.full_cost) and self.full_cost > 0):
            raise InputError(
                f"{metric} of {graph.model} on {machine and machine.id} is unknown; pass a machine whose file has its "
                "constants"
            )
        self.lam = float(lam)
        self._target = target
        self._rate = rate
        self._calls = 0
        self._anchor: tuple[list[float], float, tuple[float, ...]] | None = None

    def __repr__(self) -> str:
        return f"<CostRegularizer of {self.metric}: {len(self._gated)} groups, lam {self.lam:.4g}>"

    def soft_widths(self) -> torch.Tensor:
        """Return the sum of gates of each group, a differentiable tensor of shape (groups,)."""
        sums = [at_least_single(gated.read()).sum() for gated in self._gated]
        return torch.stack([each.to(sums[0]) for each in sums])

    def cost(self) -> torch.Tensor:
        """Return the cost at the soft widths as a share of the full cost: a differentiable scalar."""
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
        """Return the term to add to a loss: `lam * cost()`, multiplied by `pressure` if there is a target."""
        cost = self.cost()
        if self._target is None:  # without a synchronization of the device
            return self.lam * cost
        return self.lam * self.pressure(float(cost.detach())) * cost

    def pressure(self, share: float) -> float:
        """Return the factor of the term: 1 without a target; 0 below it, rising to 1 at 10 % above it.

        Nothing is pruned further once the target is met, however large `lam` is.

        Args:
            share: The cost as a share of the full cost.
        """
        if self._target is None:
            return 1.0
        return min(max((share / self._target - 1) / _MARGIN, 0.0), 1.0)

    def inject_grad(self, *, scale: float = 1.0) -> float:
        """Add the gradient of the term to `grad` of the gates' inputs, for frameworks that own the loss.

        Call it after backward and before the optimizer's step (with a `GradScaler`: after `unscale_`).

        Args:
            scale: Scale of the loss, if gradients are still scaled.

        Returns:
            The cost as a share of the full cost.
        """
        with torch.enable_grad():
            cost = self.cost()
            share = float(cost.detach())
            weight = self.lam * self.pressure(share) * scale
            if weight != 0:
                (weight * cost).backward()  # type: ignore[no-untyped-call]
        return share

    def keep(self) -> dict[str, list[int]]:
        """Return the channels to keep of each group, as `shrink` takes them.

        These are the largest gates, rounded up to the granularity, and at least one channel of each group.
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
        """Return the cost of the model with the channels of `keep`, in units of the metric, equal to its `estimate`."""
        kept = self.keep()
        return self._cost.exactly(tuple(len(kept[name]) for name in self._names))

    def step(self) -> float:
        """Adapt `lam` after an optimizer step, if there is a target: raise it above the target, lower it below.

        This is dual ascent in logarithms: log `lam` changes by `rate` times the relative overrun of the soft cost,
        clipped to half of `rate` per step.

        Returns:
            The new `lam`.
        """
        if self._target is not None:
            with torch.no_grad():
                over = float(self.cost()) / self._target - 1
            self.lam *= math.exp(self._rate * min(max(over, -0.5), 0.5))
        return self.lam

    def shrink(self, model: torch.nn.Module) -> torch.nn.Module:
        """Remove the channels that `keep` omits from a module, in place.

        Args:
            model: The module, or a copy of it, without masks and wrappers.

        Returns:
            The same module.
        """
        from .channel_removal import shrink

        return shrink(model, self.groups, self.keep())

    def report(self) -> tuple[GroupCost, ...]:
        """Return the current state of each group, the most expensive channels first."""
        soft = self.soft_widths().detach().tolist()
        slopes = self._interpolation.at(soft).slopes
        kept = self.keep()
        rows = [
            GroupCost(g.group.name, g.group.modules, g.group.width, width, len(kept[g.group.name]), slope)
            for g, width, slope in zip(self._gated, soft, slopes, strict=True)
        ]
        return tuple(sorted(rows, key=lambda row: -row.slope))

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint, as plain JSON values."""
        return {"schema_version": _SCHEMA_VERSION, "lam": self.lam}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of `state_dict`.

        Raises:
            InputError: The state has another version.
        """
        if state.get("schema_version") != _SCHEMA_VERSION:
            raise InputError(
                f"the state has schema_version {state.get('schema_version')!r}; expected {_SCHEMA_VERSION}"
            )
        self.lam = float(state["lam"])


def _check(metric: str, on: Deployment, softness: float, target: float | None) -> None:
    if metric not in METRICS:
        raise InputError(f"metric is {metric!r}; expected one of {', '.join(METRICS)}")
    if metric in OF_MACHINE and on.hardware is None:
        raise InputError(f"{metric} depends on the machine; pass hardware=, an id of the catalog or a file")
    if metric == "cost_usd" and on.device_price is None:
        raise InputError("cost_usd is unknown without a price; pass price=")
    if not softness > 0:
        raise InputError(f"softness is {softness!r}; expected a share above 0")
    if target is not None and not 0 < target < 1:
        raise InputError(f"target is {target!r}; expected a share of the full cost between 0 and 1")

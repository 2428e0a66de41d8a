"""The model in training as it is going to be served: its cost, the zeros of its weights, and its budgets."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..predict.budgets import WatchedBudget
from ..sources.example import Example
from .cost_to_serve import CostToServe, ServingConfig
from .weight_sparsity import PlainNames, zeros_of


class ServedModel:
    """Figures of records about the model that will be served.

    Attributes:
        cost: The cost at the last look.

    Args:
        model: The module in training, in any wrapper.
        config: How it is going to be served.
        example: Inputs of a served forward.
        budgets: Limits.
        threads: Threads of the scan of weights; 0 to count no zeros.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        config: ServingConfig,
        example: Example,
        budgets: Sequence[WatchedBudget],
        threads: int,
    ) -> None:
        self._model = model
        self._serving = CostToServe(config, example)
        self._budgets = budgets
        self._threads = threads
        self._names = PlainNames(model)
        self.cost = self._serving.look(model)

    def look(self) -> bool:
        """Look at the model again; return whether training steps run other work than before."""
        before, self.cost = self.cost, self._serving.look(self._model)
        return bool(self.cost.structure != before.structure)

    def figures(self, notes: list[str]) -> dict[str, float]:
        """Return the figures of the model at the last look, and of its weights now."""
        served = self.cost
        metrics = dict(served.metrics)
        notes += served.notes
        if not self._threads:
            return metrics
        zeros = zeros_of(self._model, self._names, threads=self._threads)
        metrics |= zeros.metrics
        notes += zeros.notes
        # Weights that were not scanned count as dense.
        effective = sum(n * (1 - zeros.shares.get(name, 0.0)) for name, n in served.flops_of_weight.items())
        others = metrics["cost/contraction_flops"] - sum(served.flops_of_weight.values())
        metrics["sparsity/effective_contraction_flops"] = others + effective
        metrics |= self._serving.with_2_4(frozenset(zeros.two_of_four & served.module_of_weight.keys()))
        return metrics

    def check_budgets(self, *, stacklevel: int) -> None:
        """Warn of a budget that the model exceeds, or raise, as the budget is set."""
        for watched in self._budgets:
            watched.check(self.cost.graph, stacklevel=stacklevel)

"""Costs of the steps of a serving engine: tables of a deployment, which the core makes of the graphs of one rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _core
from .._checks import Range, number, whole
from ..deployment.engines import forms_steps
from ..errors import InputError
from ..predict.memory_use import MemoryLimits, engine_sequences
from ..predict.plans import with_expert_loads
from ..predict.stages import deployed_on, graph_on
from .step_tables import StepCosts, Table

if TYPE_CHECKING:
    from .._core import Graph
    from ..deployment import Deployment

_TOLERANCE = Range(0.0, 0.1)
_TOKENS = Range(2, 10_000_000)
_SEQUENCES = Range(1, 1_000_000)


class StepCostsError(InputError):
    """Graphs, or limits of a step, for which there are no tables."""


def step_costs(
    decode: Graph,
    prefill: Graph,
    *,
    on: Deployment,
    context: int = 4096,
    most_sequences: int | None = None,
    most_tokens: int = 16_384,
    most_context: int = 131_072,
    tolerance: float = 5e-4,
    limits: MemoryLimits | None = None,
) -> StepCosts:
    """Return the tables of a deployment.

    Args:
        decode: The captured decode step, with `batch` and `context` as named sizes.
        prefill: The captured prefill of the same model, with `batch` and `sequence` as named sizes.
        on: The machine, layout, precision, serving engine with its settings, and price. Settings about prefixes and
            chunks of prompts are those of requests and of the scheduler, and do not count here.
        context: Tokens of a sequence at the end of an answer, for its part of the memory.
        most_sequences: Decoding sequences of a step; by default those that the engine runs at most.
        most_tokens: Most tokens of a step with chunks of prompts.
        most_context: Longest mean context.
        tolerance: Maximum relative error of lines between knots of a table.
        limits: Settings by which the engine divides the memory; by default those of the deployment.

    Raises:
        StepCostsError: The engine forms no steps, or a graph lacks a size.
        InputError: The deployment has no machine, or its layout does not fit the model.
    """
    if not forms_steps(on.engine):
        raise StepCostsError(f"engine is {on.engine!r}, which forms no steps; pass a serving engine, such as 'vllm'")
    sequences = (
        engine_sequences(on.engine, on.machine)
        if most_sequences is None
        else whole(most_sequences, "most_sequences", _SEQUENCES, StepCostsError)
    )
    reach = {
        "context": whole(context, "context", _TOKENS, StepCostsError),
        "most_sequences": sequences,
        "most_tokens": whole(most_tokens, "most_tokens", _TOKENS, StepCostsError),
        "most_context": whole(most_context, "most_context", _TOKENS, StepCostsError),
    }
    within = number(tolerance, "tolerance", _TOLERANCE, StepCostsError)
    for graph, name, needed in ((decode, "decode", ("batch", "context")), (prefill, "prefill", ("sequence",))):
        for role in needed:
            if graph.size_of_role(role) is None:
                raise StepCostsError(
                    f"the graph of {name} has the sizes {', '.join(graph.sizes) or 'none'}, and none is the {role}; "
                    "capture it with batch, context and sequence as named sizes"
                )
    layout = with_expert_loads(on.rank_layout, on.engine, decode)
    settings = on.settings
    made = _core.served_steps(
        deployed_on(on, graph_on(on, decode)),
        deployed_on(on, graph_on(on, prefill)),
        on.machine,
        **reach,
        tolerance=within,
        memory_limits=MemoryLimits.of(settings.replace(chunk_tokens=0)) if limits is None else limits,
    )
    tables: dict[str, Any] = {
        name: None if made[name] is None else Table(**made.pop(name))
        for name in ("tokens", "recorded", "outputs", "decode", "prefill", "drafts")
    }
    return StepCosts(
        **{**made, **tables, **reach},
        engine=on.engine,
        precision=on.precision,
        layout=str(layout),
        hardware=on.machine.id,
        devices=on.devices,
        copies=layout.copies,
        lockstep=layout.attention_data > 1 or layout.expert > layout.tensor,
        draft_tokens=settings.draft_tokens,
        tokens_per_step=settings.tokens_per_step,
        rent=on.rent,
    )

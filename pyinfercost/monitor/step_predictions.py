"""Predicted times of an engine: the times of its steps for the load of an interval.

The load is taken from the page: how many sequences decoded together, how long prompts and contexts were, how many
prompts came. The time of steps is taken from `StepCosts`. With N times between tokens of sequences, S steps of which
S_d decode, M prompts of k chunks each, and a mean of n_a sequences that decode at any time:

    n = N / S_d                                     sequences of a step that decodes
    S_d = (S - M k) / (1 - M k itl / T)             prompts find an engine that decodes with that probability
    tpot = N step(n) + S_c n_a (step(n, chunks) - step(n))
    ttft - queue = M sum of step(n_a, chunks) over the k steps

where itl is the mean time between tokens and T the interval. S_c steps read chunks, M k of them if prompts come one by
one, and fewer where the page tells that several were read together. An engine that reads prompts in steps of their own
adds step(0, chunks) to sequences that wait for it. The time in the queue is decided by the load, not by the
model, so it is taken off the measured time to the first token.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite
from typing import TYPE_CHECKING, NamedTuple

from ..predict.count import count
from ..predict.plans import value_of
from ..results.live import Distribution, Series, series
from ..serving.engine_steps import step_costs
from ..serving.scheduler import Scheduler
from ..serving.serve import Phases, ServeError, phases_of
from ..serving.step_tables import StepCosts
from ..sources.sizes import batch_name
from .predictions import Predictions

if TYPE_CHECKING:
    from .._core import CountRow, Graph
    from ..deployment import Deployment
    from ..serving.serve import Served
    from ..serving.step_cost_factors import StepCostFactors

TPOT, TTFT = "tpot", "ttft"
"""Values of the label `part`: time per output token, summed over tokens; time to the first token without that in the
queue, over requests."""

_LEAST_CONTEXT, _LEAST_TOKENS = 16_384, 16_384  # that tables reach
_CONTEXT = 4096  # of a sequence, for its part of the memory, which has no effect on steps
_CLEAR = 2.0  # tokens of a step that reads, over the mean of steps that decode


@dataclass(frozen=True, kw_only=True)
class StepLoad:
    """Load of an engine in an interval.

    Attributes:
        seconds: Its length.
        decode_s: Sum of the times between two tokens of a sequence.
        decode_tokens: Number of these times.
        steps: Steps of the engine; None if unknown.
        decode_steps: Steps that only decode; None if unknown.
        step_tokens: Tokens of the steps; None if unknown.
        running: Mean of the requests in service, as sampled.
        prompts: Requests that got their first token.
        ttft_s: Sum of their times to it; None if unknown.
        queue_s: Sum of their times in the queue.
        prompt_tokens: Tokens of prompts that were read.
        cached_tokens: Tokens of them that were in the cache.
        context_mean: Mean context of a sequence that decodes.
    """

    seconds: float
    decode_s: float = 0.0
    decode_tokens: float = 0.0
    steps: float | None = None
    decode_steps: float | None = None
    step_tokens: Distribution | None = None
    running: float = 0.0
    prompts: float = 0.0
    ttft_s: float | None = None
    queue_s: float = 0.0
    prompt_tokens: float = 0.0
    cached_tokens: float = 0.0
    context_mean: float = 0.0


class _Band(NamedTuple):
    """Seconds, and both ends of their band."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: float, spread: float) -> _Band:
        return cls(seconds, seconds / (1.0 + spread), seconds * (1.0 + spread))

    def plus(self, other: _Band) -> _Band:
        return _Band(*(one + more for one, more in zip(self, other, strict=True)))


class StepPredictions:
    """Predictions of the steps of a model in an engine.

    Attributes:
        name: Name of the model; empty with step costs.
        costs: Costs of its steps, corrected.
        peak: Peak rates of a device; None with step costs.

    Args:
        model: The spec of a language model's config without a phase, its graphs of decode and prefill, the result of
            `phases_of`, or the result of `step_costs`, which has no FLOPs and bytes.
        on: The deployment, with its serving engine; None with step costs.
        correction: Measured factors of the steps of the server, from `calibrate_serving`.

    Raises:
        ServeError: The model has not both phases.
        StepCostsError: The engine of the deployment forms no steps.
    """

    def __init__(
        self, model: Served | Phases, on: Deployment | None = None, correction: StepCostFactors | None = None
    ) -> None:
        phases = model if isinstance(model, Phases) else None if isinstance(model, StepCosts) else phases_of(model)
        costs = model if isinstance(model, StepCosts) else _costs_of(phases, on)
        self.name = "" if phases is None else phases.name
        self.peak = None if phases is None or on is None else Predictions(phases.decode, on).peak
        self.costs = costs if correction is None else correction.of(costs)
        self._scheduler = Scheduler.of(costs)
        self._work = None if phases is None or on is None else _Work(phases, on.precision)

    def figures(self, load: StepLoad) -> dict[Series, float]:
        """Return the increments of an interval: measured and predicted seconds of each part, FLOPs and bytes."""
        found: dict[Series, float] = {}
        together = self._together(load)
        if load.decode_tokens > 0 and load.decode_s > 0:
            found.update(_added(TPOT, load.decode_s, self._tpot(load, together)))
        if load.ttft_s is not None and load.prompts > 0:
            found.update(_added(TTFT, max(0.0, load.ttft_s - load.queue_s), self._ttft(load, together)))
        if self._work is not None:
            found.update(self._work.figures(load, together))
        return {each: value for each, value in found.items() if isfinite(value)}

    def _together(self, load: StepLoad) -> float:
        """Return the mean number of sequences that decode in a step that decodes."""
        sequences = load.decode_tokens / self._per_step
        if load.decode_tokens <= 0:
            return 0.0
        if load.decode_steps:
            return max(1.0, sequences / load.decode_steps)
        if load.steps:
            chunks = load.prompts * len(self._chunks(load))
            busy = chunks * load.decode_s / load.decode_tokens / load.seconds
            alone = max(0.0, load.steps - chunks)
            decoding = min(load.steps, alone / (1.0 - busy)) if busy < 1.0 and alone else load.steps
            return max(1.0, sequences / max(1.0, decoding))
        return max(1.0, load.running, self._always(load))

    @property
    def _per_step(self) -> float:
        """Tokens between which a time is counted as one step: engines that count times by token, not by step."""
        return self.costs.tokens_per_step if self.costs.engine == "sglang" else 1.0

    def _always(self, load: StepLoad) -> float:
        """Return the mean number of sequences of a copy that decode at any time, also when none does."""
        return load.decode_s / load.seconds / self.costs.copies

    def _chunks(self, load: StepLoad) -> list[tuple[float, float]]:
        """Return tokens of each chunk of a mean prompt, and the context before it."""
        if load.prompts <= 0:
            return []
        read = max(1.0, (load.prompt_tokens - load.cached_tokens) / load.prompts)
        kept = load.cached_tokens / load.prompts
        pieces = ceil(read / self._scheduler.budget) if self._scheduler.enable_chunked_prefill else 1
        return [(read / pieces, kept + piece * read / pieces) for piece in range(pieces)]

    def _reading_steps(self, load: StepLoad, together: float) -> float:
        """Return the steps that read chunks of prompts, at most one for each chunk."""
        chunks = self._chunks(load)
        most = load.prompts * len(chunks)
        if load.decode_steps is not None and load.steps is not None:
            return min(most, max(1.0, load.steps - load.decode_steps))
        if load.step_tokens is not None and chunks:
            # The first bound that is clear of steps that only decode, if chunks are longer.
            bound = next((each for each in load.step_tokens.bounds if each >= _CLEAR * max(1.0, together)), None)
            if bound is not None and bound <= chunks[0][0]:
                return min(most, max(1.0, load.step_tokens.count - load.step_tokens.at_most(bound)))
        return most

    def _step(self, sequences: float, load: StepLoad, place: int = -1, alike: float = 1.0) -> float:
        """Return the seconds of a step.

        Args:
            sequences: Sequences that decode in it.
            load: The load.
            place: Place of the chunk of a prompt that it reads; -1 for none.
            alike: Chunks like it in the same step.
        """
        chunks = self._chunks(load)
        tokens, before = chunks[place] if place >= 0 else (0.0, 0.0)
        ends = alike if 0 <= place == len(chunks) - 1 else 0.0
        costs = self.costs
        seconds = float(costs.step(sequences, max(1.0, load.context_mean), tokens * alike, before, ends)[0])
        if alike > 1.0:  # each chunk attends to itself
            apart, joined = (costs.core.prefill_attention(each, before)[0] for each in (tokens, tokens * alike))
            seconds += alike * apart - joined
        return seconds

    def _tpot(self, load: StepLoad, together: float) -> _Band:
        plain_s = self._step(together, load)
        chunks = self._chunks(load)
        reading = self._reading_steps(load, together)
        alike = load.prompts * len(chunks) / reading if reading else 1.0
        more_s = 0.0
        for place in range(len(chunks)):
            if self._scheduler.mixes:
                more_s += max(0.0, self._step(together, load, place, alike) - plain_s)
            else:
                more_s += self._step(0.0, load, place, alike)
        delayed_s = reading / max(1, len(chunks)) * self._always(load) * more_s
        return _Band.of(load.decode_tokens * plain_s / self._per_step, self.costs.spread).plus(
            _Band.of(delayed_s, self.costs.prefill_spread)
        )

    def _ttft(self, load: StepLoad, together: float) -> _Band:
        mixed = self._always(load) if self._scheduler.mixes else 0.0
        chunks = self._chunks(load)
        reading = self._reading_steps(load, together)
        alike = load.prompts * len(chunks) / reading if reading else 1.0
        seconds = sum(self._step(mixed, load, place, alike) for place in range(len(chunks)))
        return _Band.of(load.prompts * seconds, self.costs.prefill_spread)


def _costs_of(phases: Phases | None, on: Deployment | None) -> StepCosts:
    if phases is None or on is None:
        raise ServeError("on is not given; pass a Deployment with a machine")
    return step_costs(
        phases.decode,
        phases.prefill,
        on=on.for_throughput(),
        context=min(_CONTEXT, phases.context or _CONTEXT),
        most_tokens=_LEAST_TOKENS,
        most_context=max(_LEAST_CONTEXT, phases.context),
    )


def _added(part: str, measured_s: float, predicted: _Band) -> dict[Series, float]:
    return {
        series("measured_s", part=part): measured_s,
        series("predicted_s", part=part): predicted.middle,
        series("predicted_low_s", part=part): predicted.low,
        series("predicted_high_s", part=part): predicted.high,
    }


class _Work:
    """FLOPs and bytes of a model, from its graphs."""

    def __init__(self, phases: Phases, precision: str) -> None:
        self._graphs = {"decode": phases.decode, "prefill": phases.prefill}
        self._rows: dict[str, CountRow] = {
            phase: count(graph, precision=precision).total for phase, graph in self._graphs.items()
        }

    def figures(self, load: StepLoad, together: float) -> dict[Series, float]:
        """Return FLOPs and bytes: of decode at the mean batch and context, of prefill at the mean prompt."""
        flops = moved = 0.0
        if load.decode_tokens > 0 and together > 0:
            batch = max(1, round(together))
            steps = load.decode_tokens / together
            of_step = self._of("decode", {"batch": batch, "context": max(1, round(load.context_mean))})
            flops += of_step[0] * load.decode_tokens / batch
            moved += of_step[1] * steps
        if load.prompts > 0:
            tokens = max(1.0, load.prompt_tokens / load.prompts)
            whole = self._of("prefill", {"batch": 1, "sequence": max(1, round(tokens))})
            share = 1.0 - load.cached_tokens / load.prompt_tokens if load.prompt_tokens else 1.0
            flops += whole[0] * load.prompts * share
            moved += whole[1] * load.prompts
        if not flops:
            return {}
        return {series("model_flops"): flops, series("model_bytes"): moved}

    def _of(self, phase: str, roles: dict[str, int]) -> tuple[float, float]:
        graph, row = self._graphs[phase], self._rows[phase]
        sizes = graph.size_values(_named(graph, roles))
        return float(value_of(row.flops, sizes)), float(
            value_of(row.bytes_read, sizes) + value_of(row.bytes_written, sizes)
        )


def _named(graph: Graph, roles: dict[str, int]) -> dict[str, int]:
    names = {role: batch_name(graph) if role == "batch" else graph.size_of_role(role) for role in roles}
    return {name: roles[role] for role, name in names.items() if name is not None and name in graph.sizes}


# ---- contexts --------------------------------------------------------------------------------------------------------


def mean_context(prompt_mean: float, outputs: Distribution | None, output_mean: float) -> float:
    """Return the mean context of a sequence that decodes: its prompt and half of a long answer.

    A token at random lies in an answer of o tokens with probability proportional to o, at its middle on average:
    E[o^2] / 2 E[o]. Answers are taken as the middles of their buckets, scaled to the mean.

    Args:
        prompt_mean: Mean tokens of prompts.
        outputs: Tokens of answers; None if unknown.
        output_mean: Their mean, if they are unknown: all are taken as equally long.
    """
    if outputs is None or not outputs.count or outputs.total <= 0:
        return prompt_mean + output_mean / 2.0
    lower = total = square = 0.0
    uppers = (*outputs.bounds, outputs.bounds[-1] if outputs.bounds else 0.0)
    for upper, number in zip(uppers, outputs.counts, strict=True):
        middle = (lower + upper) / 2.0
        total += number * middle
        square += number * middle**2
        lower = upper
    scale = outputs.total / total if total else 1.0
    return prompt_mean + (scale * square / total / 2.0 if total else output_mean / 2.0)

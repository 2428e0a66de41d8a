"""Costs of the steps of a serving engine: tables of a deployment, from the engine's graphs of one rank.

A step that decodes some sequences and reads parts of prompts runs each product once, on the tokens of all of them, and
attention apart. Its time is put together from parts of two plans: that of a decode step, and that of the prefill of one
prompt. Both are evaluated over grids of sizes by the evaluator of estimates and sweeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .. import _core
from .._checks import Range, number, whole
from ..deployment import serving_text
from ..deployment.deployment import TORCH
from ..errors import InputError
from ..predict.memory_use import Prompt, block_tokens, engine_sequences, engine_tokens, memory_on, paged_bytes
from ..predict.plans import caches_of, family_of, launched_graph, value_of
from ..predict.stage_costs import micro_batch
from ..predict.stages import pipeline_on
from ..results.layout import BALANCED
from ..sources.sizes import batch_name
from .knots import chosen_knots
from .step_tables import StepCosts, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Graph, PlanFamily
    from ..deployment import Deployment, Serving
    from ..results.memory_use import MemoryUse

    Numbers = NDArray[np.float64]

_PARTS = ("tokens", "outputs", "attention", "drafts")
_SCALED = {f"{part}_s" for part in _PARTS} | {f"{part}_spread_s" for part in _PARTS} | {"attention_start_s", "wait_s"}
SERVED_EXPERTS = "power:0.7"
"""Loads of experts of a served model whose layout says nothing about them.

Requests of one service resemble each other, so that its tokens choose fewer experts than random ones. Fitted to the
time per output token of servers on H100: 0 to 0.5 for gpt-oss-120b and MiniMax-M2.5, 1 for Qwen3-235B-A22B.
"""
_EXPERT_LAUNCHES: Mapping[str, tuple[float, int]] = {
    "vllm": (1.5e-3, 512),
    "sglang": (1.5e-3, 0),
    "trtllm": (1.6e-3, 0),
}
"""Engine -> seconds of the host for a layer with experts that no recorded graph runs, and tokens of the largest graph.

Such layers are launched from Python, call by call. Fitted to times to the first token on H100 that depend on neither
prompt nor devices: 172 ms of 94 layers of Qwen3-235B-A22B with TensorRT-LLM, 85 to 150 ms of 62 of MiniMax-M2.5 with
vLLM; SGLang is assumed to be as vLLM.
"""
_TOLERANCE = Range(0.0, 0.1)
_TOKENS = Range(2, 10_000_000)
_SEQUENCES = Range(1, 1_000_000)
_SIXTEEN = 16  # least mean context of a table


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
) -> StepCosts:
    """Return the tables of a deployment.

    Args:
        decode: The captured decode step, with `batch` and `context` as named sizes.
        prefill: The captured prefill of the same model, with `batch` and `sequence` as named sizes.
        on: The machine, layout, precision, serving engine with its settings, and price. Settings about prefixes and
            chunks of prompts are those of requests and of the scheduler, and do not count here. Where experts of the
            layout are `"balanced"`, the default, `SERVED_EXPERTS` takes the place of that.
        context: Tokens of a sequence at the end of an answer, for its part of the memory.
        most_sequences: Decoding sequences of a step; by default those that the engine runs at most.
        most_tokens: Most tokens of a step with chunks of prompts.
        most_context: Longest mean context.
        tolerance: Maximum relative error of lines between knots of a table.

    Raises:
        StepCostsError: The engine forms no steps, or a graph lacks a size.
        InputError: The deployment has no machine, or its layout does not fit the model.
    """
    if on.engine == TORCH or on.engine in _core.compilers():
        raise StepCostsError(f"engine is {on.engine!r}, which forms no steps; pass a serving engine, such as 'vllm'")
    limits = _Limits(
        context=whole(context, "context", _TOKENS, StepCostsError),
        sequences=engine_sequences(on.engine, on.machine)
        if most_sequences is None
        else whole(most_sequences, "most_sequences", _SEQUENCES, StepCostsError),
        tokens=whole(most_tokens, "most_tokens", _TOKENS, StepCostsError),
        most_context=whole(most_context, "most_context", _TOKENS, StepCostsError),
        tolerance=number(tolerance, "tolerance", _TOLERANCE, StepCostsError),
    )
    for graph, name, needed in ((decode, "decode", ("batch", "context")), (prefill, "prefill", ("sequence",))):
        for role in needed:
            if graph.size_of_role(role) is None:
                raise StepCostsError(
                    f"the graph of {name} has the sizes {', '.join(graph.sizes) or 'none'}, and none is the {role}; "
                    "capture it with batch, context and sequence as named sizes"
                )
    return _Builder(decode, prefill, _with_served_experts(on, decode), limits).build()


def _with_served_experts(on: Deployment, graph: Graph) -> Deployment:
    layout = on.rank_layout
    if layout.expert_load != BALANCED or not _expert_layers(graph):
        return on
    return on.replace(layout=replace(layout, expert_load=SERVED_EXPERTS))


def _expert_layers(graph: Graph) -> int:
    """Return the layers with experts, which have two products on sorted tokens."""
    return sum("grouped" in graph.node(index).op for index in range(graph.node_count)) // 2


@dataclass(frozen=True)
class _Limits:
    context: int
    sequences: int
    tokens: int
    most_context: int
    tolerance: float


_SHARES = (0, 500, 875, 984)
"""Thousandths of a prompt that are in the cache before the chunk that is timed: 0, 1, 7 and 61.5 times the chunk."""


class _Phase:
    """Parts of the steps of one graph, over all stages of a pipeline."""

    def __init__(self, on: Deployment, graph: Graph, settings: Serving) -> None:
        text = serving_text(settings)
        self._on = on
        pipeline = pipeline_on(on, graph)
        self._layout = on.rank_layout
        graphs = [launched_graph(graph, on.engine, self._layout)]
        self.graph = graphs[0]
        self.counts = [1]
        if pipeline is not None:
            self.graph = pipeline.graph
            kinds = pipeline.kinds()
            first = list(dict.fromkeys(kinds))
            graphs = [pipeline.stages[number].graph for number in first]
            self.counts = [kinds.count(number) for number in first]
        self._families: list[PlanFamily] = [family_of(each, on.precision, on.execution, None, text) for each in graphs]
        self.stages = sum(self.counts)
        self.static_w = float("nan")

    def evaluate(self, sizes: Mapping[str, Any]) -> dict[str, Numbers]:
        """Return columns at points: sums over the stages, seconds of the slowest one with its host, and memory."""
        import numpy as np

        points = len(next(iter(sizes.values())))
        columns = {name: np.ascontiguousarray(values, dtype=np.int64) for name, values in sizes.items()}
        total: dict[str, Numbers] = {}
        slowest, peak = np.zeros(points), np.zeros(points)
        for family, count in zip(self._families, self.counts, strict=True):
            found = _core.evaluate_step_parts(family, columns, self._on.machine, points=points)
            self.static_w = found.pop("static_w")
            peak = np.maximum(peak, found.pop("peak_memory_bytes"))
            slowest = np.maximum(slowest, device_of(found) + found["host_s"])
            for name, values in found.items():
                total[name] = total.get(name, 0.0) + count * values
        return {**total, "slowest_s": slowest, "peak": peak}


def device_of(found: Mapping[str, Numbers]) -> Numbers:
    """Return the seconds of all kernels and of waiting for their launches."""
    seconds: Numbers = found["wait_s"]
    for part in _PARTS:
        seconds = seconds + found[f"{part}_s"]
    return seconds


class _Builder:
    def __init__(self, decode: Graph, prefill: Graph, on: Deployment, limits: _Limits) -> None:
        self._decode, self._prefill, self._on, self._limits = decode, prefill, on, limits
        self._layout = on.rank_layout
        self._settings = replace(on.settings, prefix_hit=0.0, chunk_tokens=0)
        self._steps = _Phase(on, decode, self._settings)
        self._reads = _Phase(on, prefill, self._settings)
        self._ranks = on.devices / self._layout.copies / self._steps.stages  # devices of a stage of a copy
        self._devices = on.devices / self._layout.copies
        # A graph with windows holds where they are full.
        self._least_context = _least(lambda at: self._steps_at(self._steps, [1], [at]), 1, limits.most_context)
        self._least_tokens = _least(lambda at: self._reads_at(self._reads, [at]), 2, limits.tokens)

    # ---- decode ----

    def _steps_at(self, phase: _Phase, sequences: Any, contexts: Any) -> dict[str, Numbers]:
        """Return the parts of decode steps; of a pipeline those of all micro-batches, in one round."""
        import numpy as np

        graph = phase.graph
        batch, context = batch_name(graph), _size(graph, "context")
        shares = np.asarray(sequences, dtype=np.int64)
        part = micro_batch(shares, self._layout) if phase.stages > 1 else shares
        found = phase.evaluate({batch: part, context: contexts, **_others(graph, len(shares), batch, context)})
        if phase.stages == 1:
            return found
        several = -(-shares // part)
        # A token waits for the one before it: for all stages, or for all micro-batches in the slowest one.
        total_s = np.maximum(device_of(found) + found["host_s"], several * found["slowest_s"])
        return self._in_stages(found, several, total_s)

    def _in_stages(self, found: Mapping[str, Numbers], rounds: Any, total_s: Numbers) -> dict[str, Numbers]:
        """Return the parts of a step of a pipeline, in the proportions that they have in all stages.

        Args:
            found: Sums over stages, for one micro-batch.
            rounds: Micro-batches of the step.
            total_s: Seconds of the step with its host, which is counted once.
        """
        import numpy as np

        factor = np.maximum(0.0, total_s - found["host_s"]) / device_of(found)
        made = {name: values * factor if name in _SCALED else values for name, values in found.items()}
        idle_w = self._on.machine.power_w.get("idle", 0.0)
        for part in _PARTS:
            # Devices draw static power while they work, and idle power while they wait for other stages.
            working_s, step_s = rounds * found[f"{part}_s"], self._steps.stages * made[f"{part}_s"]
            waiting_j = (idle_w - self._steps.static_w) * (step_s - working_s)
            made[f"{part}_j"] = rounds * found[f"{part}_j"] + waiting_j
        # The host of the last stage works for each micro-batch, and one of them is counted with the step.
        made["tokens_j"] = made["tokens_j"] + (rounds - 1) * found["host_s"] * (self._steps.static_w - idle_w)
        return made

    def _joules(self, found: Mapping[str, Numbers], part: str, static_w: float) -> Numbers:
        """Return the joules of a part on all devices of a copy, with static power."""
        return self._ranks * found[f"{part}_j"] + self._devices * static_w * found[f"{part}_s"]

    def _contexts(self) -> NDArray[np.int64]:
        """Return knots of the mean context before a step, with both sides of each window."""
        import numpy as np

        each = np.unique(np.geomspace(_SIXTEEN, self._limits.most_context, _CONTEXTS).astype(np.int64))
        windows = [
            value_of(cache.positions, self._steps.graph.size_values({}))
            for cache in caches_of(self._steps.graph, self._on.precision)
            if cache.kind == "sliding"
        ]
        kinks = [at for window in set(windows) for at in (window - 1, window) if at >= 1]
        every = np.concatenate([each, np.asarray([self._least_context, *kinks], dtype=np.int64)])
        return np.unique(np.maximum(every, self._least_context))

    def build(self) -> StepCosts:
        import numpy as np

        on, limits, layout = self._on, self._limits, self._layout
        width = self._settings.draft_tokens + 1
        sequences = np.arange(1, limits.sequences + 1)
        kept = self._contexts()
        found = self._steps_at(self._steps, np.repeat(sequences, kept.size), np.tile(kept, sequences.size))
        w = self._steps.static_w
        shape = (sequences.size, kept.size)
        at = 0 if self._steps.stages > 1 else int(np.searchsorted(kept, min(limits.context, int(kept[-1]))))
        column = {name: array.reshape(shape)[:, at] for name, array in found.items()}
        attention_s, start_s = (found[name].reshape(shape) for name in ("attention_s", "attention_start_s"))
        attention_j = self._joules(found, "attention", w).reshape(shape)
        if self._steps.stages > 1:
            # Another stage may be the slowest one at another context: all that changes with it counts as attention.
            attention_s, attention_j = self._beyond(found, column, shape, w)
        # Below the first knot, time beside launches is proportional to the context, which has the step's token.
        beside = 1 / (kept[0] + 1.0)
        first_s = start_s[:, 0] + (attention_s[:, 0] - start_s[:, 0]) * beside
        decode = Table(
            sequences.astype(float),
            np.column_stack([first_s, attention_s]),
            np.column_stack([attention_j[:, 0] * first_s / np.maximum(attention_s[:, 0], 1e-30), attention_j]),
            np.concatenate([[1.0], kept + 1.0]),
        )
        column["tokens_s"] = column["tokens_s"] + column["wait_s"]
        recorded = _stairs(sequences * width, column["tokens_s"], self._joules(column, "tokens", w))
        drafts = None
        if width > 1:
            drafts = self._line(sequences.astype(float), column["drafts_s"], self._joules(column, "drafts", w))
        outputs = self._outputs(sequences, column, w)
        host_s = found["host_s"].reshape(shape)[:, 0]
        per_sequence = float(host_s[-1] - host_s[0]) / max(1, limits.sequences - 1)
        reads = self._read_tables(recorded, outputs)
        memory = self._memory(reads.activation_tokens, reads.peak)
        spread = sum(found[f"{part}_spread_s"] for part in _PARTS)
        spread = spread + on.machine.spread * found["wait_s"]
        total = device_of(found)
        price = on.device_price
        block = block_tokens(on.engine, gpu=on.machine.kind == "gpu")
        return StepCosts(
            engine=on.engine,
            precision=on.precision,
            layout=str(layout),
            hardware=on.machine.id,
            devices=on.devices,
            copies=layout.copies,
            lockstep=layout.attention_data > 1 or layout.expert > layout.tensor,
            stages=self._steps.stages,
            prefill_fill=reads.fill,
            tokens=reads.tokens,
            recorded=recorded,
            outputs=outputs,
            decode=decode,
            prefill=reads.attention,
            drafts=drafts,
            host_step_s=float(host_s[0]) - per_sequence,
            host_sequence_s=per_sequence,
            host_prefill_s=max(0.0, reads.host_s - float(host_s[0])),
            overlaps_host=self._settings.async_scheduling,
            # The host of one stage works for all.
            idle_w=self._ranks * (w + (self._steps.stages - 1) * on.machine.power_w.get("idle", 0.0)),
            draft_tokens=width - 1,
            tokens_per_step=self._settings.tokens_per_step,
            spread=float(np.mean(spread / total)),
            prefill_spread=reads.spread,
            most_sequences=limits.sequences,
            most_tokens=limits.tokens,
            most_context=limits.most_context,
            weight_bytes=memory.weight_bytes,
            pool_bytes=memory.pool_bytes,
            block_tokens=block,
            kv_bytes_per_token=self._kv_bytes_per_token(block),
            context=limits.context,
            usd_per_h=None if price is None else price.usd_per_h * on.paid_devices,
            step_tokens=engine_tokens(on.engine, on.machine),
        )

    def _beyond(
        self, found: Mapping[str, Numbers], column: Mapping[str, Numbers], shape: tuple[int, int], static_w: float
    ) -> tuple[Numbers, Numbers]:
        """Return seconds and joules of decode steps beyond products, head and drafts at one context."""
        import numpy as np

        seconds = (device_of(found) - found["attention_s"]).reshape(shape)
        seconds = found["attention_s"].reshape(shape) + seconds - (device_of(column) - column["attention_s"])[:, None]
        joules = self._joules(found, "attention", static_w).reshape(shape)
        for part in ("tokens", "outputs", "drafts"):
            more_j = self._joules(found, part, static_w).reshape(shape) - self._joules(column, part, static_w)[:, None]
            joules = joules + more_j
        return np.maximum(0.0, seconds), np.maximum(0.0, joules)

    def _outputs(self, sequences: Any, column: Mapping[str, Numbers], static_w: float) -> Table:
        """Return head and sampling over sampled tokens, of which a step without drafts has one of each sequence."""
        import numpy as np

        if self._settings.draft_tokens == 0:
            return self._line(sequences.astype(float), column["outputs_s"], self._joules(column, "outputs", static_w))
        plain = _Phase(self._on, self._decode, replace(self._settings, draft_tokens=0))
        most = self._limits.sequences * (self._settings.draft_tokens + 1)
        sampled = np.unique(
            np.concatenate([np.arange(1, min(most, 512) + 1), np.geomspace(1, most, 64).astype(np.int64)])
        )
        context = np.full(sampled.size, min(self._limits.context, self._limits.most_context))
        found = self._steps_at(plain, sampled, context)
        return self._line(sampled.astype(float), found["outputs_s"], self._joules(found, "outputs", static_w))

    def _line(self, at: Numbers, seconds: Numbers, joules: Numbers) -> Table:
        import numpy as np

        tables = np.stack([seconds, joules]) if np.isfinite(joules).all() else seconds[None]
        knots = chosen_knots(at, tables, self._limits.tolerance)
        return Table(at[knots], seconds[knots], joules[knots])

    # ---- prefill ----

    def _read_tables(self, recorded: Table, outputs: Table) -> _Reads:
        import numpy as np

        limits, phase = self._limits, self._reads
        tokens = np.arange(self._least_tokens, limits.tokens + 1)
        found = self._reads_at(phase, tokens)
        w = phase.static_w
        fill = float(np.mean((device_of(found) + found["host_s"]) / found["slowest_s"])) if phase.stages > 1 else 1.0
        found = self._following(found)
        host_s = float(found["host_s"][0])
        spread_s = sum(found[f"{part}_spread_s"] for part in _PARTS) + self._on.machine.spread * found["wait_s"]
        total_s = device_of(found)
        started = dict(found)
        started["tokens_s"] = self._launched(tokens, found["tokens_s"] + found["wait_s"] + found["attention_start_s"])
        if phase.stages > 1:  # one token is sampled, at what that adds to a step
            more_s = found["outputs_s"] - float(outputs.at(1)[0])
            started["tokens_s"] = np.maximum(0.0, started["tokens_s"] + more_s)
        joules = self._joules(started, "tokens", w)
        # Fewer tokens than the graph holds for cost what they do in a step that decodes them, with the launches of
        # attention; the last of those is followed by a line.
        few = np.arange(1, min(self._least_tokens, int(recorded.rows[-1]) + 1))
        few_s, few_j = recorded.next(few)
        start_s = float(found["attention_start_s"][0])
        line = self._line(
            np.concatenate([few, tokens]).astype(float),
            np.concatenate([few_s + start_s, started["tokens_s"]]),
            np.concatenate([few_j + start_s * self._devices * w, joules]),
        )
        rows = _chunk_rows(limits.tokens)
        return _Reads(
            tokens=line,
            attention=self._chunk_attention(rows),
            fill=fill,
            host_s=host_s,
            spread=float(np.mean(spread_s / total_s)),
            activation_tokens=int(tokens[-1]),
            peak=float(found["peak"][-1]),
        )

    def _launched(self, tokens: Any, seconds: Numbers) -> Numbers:
        """Return seconds of steps of some tokens, where the host launches layers with experts one by one."""
        import numpy as np

        layer_s, recorded = _EXPERT_LAUNCHES.get(self._on.engine, (0.0, 0))
        largest = max(self._settings.graph_batches, default=recorded)
        host_s = layer_s * _expert_layers(self._prefill) / self._reads.stages
        found: Numbers = np.where(tokens > largest, np.maximum(seconds, host_s), seconds)
        return found

    def _reads_at(self, phase: _Phase, tokens: Any) -> dict[str, Numbers]:
        import numpy as np

        graph = phase.graph
        batch, sequence = batch_name(graph), _size(graph, "sequence")
        sizes: dict[str, Any] = {sequence: tokens, **_others(graph, len(tokens), sequence)}
        if batch in graph.sizes:
            sizes[batch] = np.ones(len(tokens), dtype=np.int64)
        return phase.evaluate(sizes)

    def _following(self, found: dict[str, Numbers]) -> dict[str, Numbers]:
        """Return the parts of a chunk that follows others in a pipeline: those of the slowest stage."""
        if self._reads.stages == 1:
            return found
        return self._in_stages(found, 1, found["slowest_s"])

    def _chunk_attention(self, rows: NDArray[np.int64]) -> Table:
        """Return attention over tokens of a chunk and the context before it.

        Chunks are timed behind contexts in some ratios to their length, and lines lie between them: time grows with the
        context linearly, but for whole blocks of keys.
        """
        import numpy as np

        seconds, joules, befores, near = [], [], [], []
        for share in _SHARES:
            phase = self._reads
            if share:
                phase = _Phase(self._on, self._prefill, replace(self._settings, prefix_hit=share / 1000))
            prompts = np.maximum(self._least_tokens, -(-rows * 1000 // (1000 - share)))
            # Contexts far beyond those of the table are left out.
            kept = (prompts - rows <= 2 * self._limits.most_context) | (share in _SHARES[:2])
            prompts = np.where(kept, prompts, np.maximum(self._least_tokens, rows))
            found = self._following(self._reads_at(phase, prompts))
            alone = dict(found)
            alone["attention_s"] = np.maximum(0.0, found["attention_s"] - found["attention_start_s"])
            # A chunk that the graph does not hold for has its share of the pairs of queries and keys.
            before = prompts * share // 1000
            timed = prompts - before
            wanted = np.minimum(rows, timed)
            pairs = (wanted * (before + wanted / 2)) / (timed * (before + timed / 2))
            seconds.append(pairs * alone["attention_s"])
            joules.append(pairs * self._joules(alone, "attention", phase.static_w))
            befores.append(before)
            near.append(kept)
        behind, by_s, by_j, used = np.stack(befores), np.stack(seconds), np.stack(joules), np.stack(near)
        columns = np.unique(
            np.concatenate([[0], np.geomspace(_SIXTEEN, self._limits.most_context, _BEFORE).astype(np.int64)])
        ).astype(float)
        tables = [
            np.stack([_extended(columns, behind[at, row], values[at, row]) for row, at in enumerate(used.T)])
            for values in (by_s, by_j)
        ]
        for table in tables:
            # Larger chunks and contexts follow the last cell, whose slopes must not fall: rounds of tiles do not count.
            table[-1] = np.maximum(table[-1], table[-2])
            table[-1, -1] = max(table[-1, -1], table[-1, -2] + table[-2, -1] - table[-2, -2])
        return Table(rows.astype(float), tables[0], tables[1], columns)

    # ---- memory ----

    def _memory(self, tokens: int, prefill_peak: float) -> MemoryUse:
        import numpy as np

        on, graph = self._on, self._steps.graph
        sizes = graph.size_values({batch_name(graph): 1, _size(graph, "context"): self._limits.context})
        point = {name: np.asarray([size]) for name, size in sizes.items() if name in graph.sizes}
        peak = float(self._steps.evaluate(point)["peak"][0])
        of_prefill = self._reads.graph
        read = of_prefill.size_values({batch_name(of_prefill): 1, _size(of_prefill, "sequence"): tokens})
        reading = memory_on(on, of_prefill, read, prefill_peak)
        prompt = None if reading is None else Prompt(reading.activation_bytes, 1, tokens)
        found = memory_on(on, graph, sizes, peak, prompt=prompt)
        if found is None:
            raise StepCostsError("the decode step has no cache; expected a language model that generates")
        return found

    def _kv_bytes_per_token(self, block: int) -> float:
        """Return the bytes of a sequence, on the fullest device, by its tokens."""
        graph = self._steps.graph
        pipeline = pipeline_on(self._on, self._decode)
        graphs = [graph] if pipeline is None else [stage.graph for stage in pipeline.stages]
        sizes = graph.size_values({batch_name(graph): 1, _size(graph, "context"): self._limits.context})
        held = max(
            paged_bytes(each, self._on.precision, block, lambda quantity: value_of(quantity, sizes)) for each in graphs
        )
        return float(held) / (self._limits.context + 1)


@dataclass(frozen=True)
class _Reads:
    tokens: Table
    attention: Table
    fill: float
    host_s: float
    spread: float
    activation_tokens: int
    peak: float


_CONTEXTS, _BEFORE = 44, 28  # knots of contexts


def _chunk_rows(most: int) -> NDArray[np.int64]:
    """Return tokens of chunks: whole tiles of queries, on which whole waves of them lie, and usual budgets of steps."""
    import numpy as np

    rows = [1, 16, 32]
    for step, last in _CHUNK_STEPS:
        rows.extend(range(rows[-1] // step * step + step, min(last, most) + 1, step))
    return np.asarray(sorted({*rows, *(most,)}), dtype=np.int64)


_CHUNK_STEPS = ((64, 1024), (128, 4096), (512, 65_536), (8192, 10_000_000))


def _size(graph: Graph, role: str) -> str:
    name = graph.size_of_role(role)
    if name is None:
        raise StepCostsError(f"this graph has no size of the {role}; capture it as a named size")
    return name


def _others(graph: Graph, points: int, *known: str | None) -> dict[str, Any]:
    """Return the defaults of sizes that are not given."""
    import numpy as np

    values = graph.size_values({})
    return {
        name: np.full(points, values[name], dtype=np.int64)
        for name in graph.sizes
        if name not in known and not graph.depends_on_data(name)
    }


def _least(evaluate: Callable[[int], Any], low: int, high: int) -> int:
    """Return the least size from `low` on that a graph holds for, where it holds for `high`."""

    def holds(at: int) -> bool:
        try:
            evaluate(at)
        except InputError:
            return False
        return True

    if holds(low):
        return low
    evaluate(high)  # otherwise its error says what to capture
    below = low
    while high - below > 1:
        middle = (below + high) // 2
        below, high = (below, middle) if holds(middle) else (middle, high)
    return high


def _stairs(at: Any, seconds: Numbers, joules: Numbers) -> Table:
    """Return the last of each stretch of equal values: a step takes the next of them."""
    import numpy as np

    last = np.concatenate([np.diff(seconds) != 0, [True]])
    return Table(at[last].astype(float), seconds[last], joules[last])


def _extended(at: Numbers, knots: Numbers, values: Numbers) -> Numbers:
    """Return values between knots, and beyond the last one those of the last line."""
    import numpy as np

    inside = np.interp(at, knots, values)
    slope = (values[-1] - values[-2]) / max(1.0, float(knots[-1] - knots[-2]))
    found: Numbers = np.maximum(0.0, inside + np.maximum(0.0, at - knots[-1]) * slope)
    return found

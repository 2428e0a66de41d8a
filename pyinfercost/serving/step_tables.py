"""Tables of the steps of a serving engine, and what they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

from .. import _core
from .._lazy import cached_property

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Seconds and joules at knots.

    Attributes:
        rows: Ascending knots, shape (n,).
        columns: Ascending knots of a second axis, shape (m,); None for a table of one axis.
        seconds: Seconds, shape (n,) or (n, m).
        joules: Joules likewise, of all devices of a copy, with idle power; not a number if the energy is unknown.
    """

    rows: Numbers
    seconds: Numbers
    joules: Numbers
    columns: Numbers | None = None


@dataclass(frozen=True, kw_only=True)
class StepCosts:
    """Costs of the steps of one copy of a model, and what else a simulation of its server needs.

    A step has n decoding sequences with C tokens of context in total, w = 1 + drafts tokens of each, and chunks of
    prompts. With T = n w + tokens of chunks and O = n w + completed prompts:

        device = tokens(T) + outputs(O) + decode(n, C / n) + prefill(tokens, context before) of each chunk
                 + drafts(n + completed prompts) if w > 1
        host = host_step_s + host_sequence_s (n + chunks) + host_prefill_s if there are chunks
        seconds = device + host, or the longer of the two if the host overlaps the device

    Without chunks, recorded(T) replaces tokens(T): it has the padding of recorded graphs. The context of a decoding
    sequence counts the token that the step computes. Kernels of attention are launched once in a step with chunks, and
    that time is part of tokens(T).

    Attributes:
        engine: The engine.
        precision: Precision of products.
        layout: The layout, as text.
        hardware: The machine.
        devices: Devices of all copies.
        copies: Copies that share the requests; each has these costs.
        lockstep: Whether copies exchange tokens of experts in each step, so that all wait for the slowest one.
        stages: Stages of a pipeline. Their tables are for one micro-batch in each stage, under continuous load.
        prefill_fill: Time that a chunk takes through all stages, over the time that it adds to a step.
        tokens: Products, norms, sums over ranks, over T.
        recorded: The same for steps that decode alone, over T.
        outputs: Head and sampling, over O.
        decode: Attention of decoding sequences, over n and their mean context.
        prefill: Attention of a chunk, over its tokens and the context before it.
        drafts: Passes that draft, over sequences; None without drafts.
        host_step_s: Seconds of the host for each step.
        host_sequence_s: Seconds of the host for each sequence in a step.
        host_prefill_s: More in a step with chunks.
        overlaps_host: Whether the host prepares a step while the device works on the one before.
        idle_w: Power of all devices of a copy that wait, in watts; not a number if the energy is unknown.
        draft_tokens: Drafts of each sequence in a step.
        tokens_per_step: Tokens of a sequence that a decode step yields on average.
        spread: Error band of a decode step: seconds / (1 + spread) to seconds (1 + spread), the mean over the table.
        prefill_spread: The same of a step that reads a prompt.
        most_sequences: Decoding sequences that the tables reach, and that the engine runs at most.
        most_tokens: Tokens of a step that the tables reach.
        most_context: Mean context that the tables reach.
        weight_bytes: Weights on the fullest device.
        pool_bytes: Memory for caches there; None if the owner of the machine chooses the size.
        block_tokens: Tokens of a block of the cache.
        kv_bytes_per_token: Bytes of the cache of one token on that device, in whole sequences of `context` tokens.
        context: Tokens of a sequence for which `kv_bytes_per_token` is valid: windows and states do not grow.
        fits: Whether the weights and the cache of one sequence of `context` tokens fit; None if the owner of the
            machine chooses the size of the memory.
        most_sequence_tokens: Tokens of the longest sequence for whose cache there is memory; None if the memory is
            unknown, or caches do not grow.
        rent: What replicas with all these copies pay; None without a price.
        step_tokens: Tokens of prompts in a step, which the engine sets by the memory of the machine; None for those on
            devices with 80 GB.
        client_s: Seconds from a client to the queue of the engine and back, which are part of its time to the first
            token.
    """

    engine: str
    precision: str
    layout: str
    hardware: str
    devices: int
    copies: int
    lockstep: bool
    stages: int
    prefill_fill: float
    tokens: Table
    recorded: Table
    outputs: Table
    decode: Table
    prefill: Table
    drafts: Table | None
    host_step_s: float
    host_sequence_s: float
    host_prefill_s: float
    overlaps_host: bool
    idle_w: float
    draft_tokens: int
    tokens_per_step: float
    spread: float
    prefill_spread: float
    most_sequences: int
    most_tokens: int
    most_context: int
    weight_bytes: int
    pool_bytes: int | None
    block_tokens: int
    kv_bytes_per_token: float
    context: int
    rent: _core.Rent | None
    step_tokens: int | None = None
    fits: bool | None = None
    most_sequence_tokens: int | None = None
    client_s: float = 0.0

    @property
    def pool_blocks(self) -> int | None:
        """Blocks of the cache of one copy; None if the memory is unknown."""
        if self.pool_bytes is None:
            return None
        return _core.pool_blocks(self.pool_bytes, self.kv_bytes_per_token, self.block_tokens)

    @property
    def pool_tokens(self) -> int | None:
        """Tokens that fit the cache of one copy; None if the memory is unknown."""
        blocks = self.pool_blocks
        return None if blocks is None else blocks * self.block_tokens

    def step(
        self, sequences: Any, context: Any, tokens: Any = 0, before: Any = 0, completed: Any = 0
    ) -> tuple[Any, Any]:
        """Return seconds and joules of steps with at most one chunk of a prompt; numbers, or arrays that broadcast.

        Args:
            sequences: Decoding sequences.
            context: Their mean context, with the token that the step computes.
            tokens: Tokens of the chunk; 0 without one.
            before: Context of its sequence before it.
            completed: Whether it ends its prompt, and a token is sampled from it.
        """
        given = (sequences, self.draft_tokens + 1, context, tokens, before, completed)
        joules = self.core.mean_step_j(*given) if self.knows_energy else self.core.mean_step_s(*given) * nan
        return self.core.mean_step_s(*given), joules

    @property
    def knows_energy(self) -> bool:
        """Whether the energy of steps is known."""
        import numpy as np

        return isfinite(self.idle_w) and bool(np.isfinite(self.decode.joules).all())

    @cached_property
    def core(self) -> _core.StepCosts:
        """The tables for the simulator; unknown energy counts as none."""
        import numpy as np

        def of(table: Table | None, name: str) -> dict[str, Any]:
            if table is None:
                return {}
            return {f"{name}_s": table.seconds, f"{name}_j": np.nan_to_num(table.joules)}

        known: dict[str, Any] = {
            "tokens": self.tokens.rows,
            "graphs": self.recorded.rows,
            "outputs": self.outputs.rows,
            "decode_sequences": self.decode.rows,
            "decode_contexts": self.decode.columns,
            "prefill_chunks": self.prefill.rows,
            "prefill_contexts": self.prefill.columns,
            **of(self.tokens, "tokens"),
            **of(self.recorded, "graphs"),
            **of(self.outputs, "outputs"),
            **of(self.decode, "decode"),
            **of(self.prefill, "prefill"),
            **of(self.drafts, "drafts"),
        }
        if self.drafts is not None:
            known["drafts"] = self.drafts.rows
        return _core.StepCosts(
            **known,
            host_step_s=self.host_step_s,
            host_sequence_s=self.host_sequence_s,
            host_prefill_s=self.host_prefill_s,
            overlaps_host=self.overlaps_host,
            idle_w=self.idle_w if isfinite(self.idle_w) else 0.0,
        )

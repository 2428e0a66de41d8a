"""Settings of an engine's scheduler, for the closed form and for the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import _core
from .._checks import Range, shown
from ..errors import InputError
from ..inputs.settings import Settings, flag, number, whole

if TYPE_CHECKING:
    from .step_tables import StepCosts

_TOKENS = Range(1, 2**31 - 1)
SEQUENCES = Range(1, 2**20)
"""Numbers of sequences that the simulator takes."""
_UP_TO = Range(0, 2**31 - 1)
_SIMULATED = ("vllm", "sglang", "trtllm")


class SchedulerError(InputError):
    """Settings of a scheduler that are out of range, or an engine without one."""


class Scheduler(Settings):
    """How an engine forms its steps."""

    kind = "the scheduler"
    error = SchedulerError
    mixes: bool = flag(
        "Whether prompts are read in the steps that decode; else in steps of their own, before all others."
    )
    max_num_batched_tokens: int = whole(
        _TOKENS,
        "Most tokens of a step (SGLang: of prompts in it, `max_prefill_tokens`; TensorRT-LLM: `max_num_tokens`).",
        option="Most tokens of a step.",
        metavar="N",
    )
    enable_chunked_prefill: bool = flag("Whether a longer prompt, or one that does not fit, is read in parts.")
    chunked_prefill_size: int = whole(
        _UP_TO, "SGLang: most tokens of a prompt in a step; 0 for no limit but the step's.", default=0
    )
    reserves: float = number(
        Range(0.0, 1.0),
        "Share of the answer for which memory is kept at admission, on average: 0 lets sequences run until the memory "
        "is full and then takes the newest back, 1 never does. The simulator has the engine's own rule.",
    )
    max_num_seqs: int | None = whole(
        SEQUENCES,
        "Most sequences that run (SGLang: `max_running_requests`; TensorRT-LLM: `max_batch_size`); None for those of "
        "the tables.",
        default=None,
        option="Most sequences that run in a server.",
        metavar="N",
    )
    num_gpu_blocks: int | None = whole(
        Range(2, 2**31 - 1),
        "Blocks of the cache of one copy; None for those that the memory holds.",
        default=None,
        option="Blocks of the cache; default: those that the memory holds.",
        metavar="N",
    )
    max_model_len: int = whole(
        _UP_TO,
        "Longest prompt with its answer in tokens, and 0 for no limit: longer answers are cut, and longer prompts are "
        "refused.",
        default=0,
        option="Longest prompt with its answer, in tokens; default: the context of the model.",
        metavar="N",
    )
    enable_prefix_caching: bool = flag(
        "Whether blocks of prompts stay in the cache for later requests that begin alike.",
        default=True,
        option="Keep blocks of prompts for later ones that begin alike (default), or not.",
    )
    stream_interval: int = whole(_TOKENS, "Tokens of an answer that are sent together.", default=1)
    evicts: bool = flag("TensorRT-LLM: MAX_UTILIZATION instead of GUARANTEED_NO_EVICT.", default=False)

    @property
    def budget(self) -> int:
        """Most tokens of prompts in a step."""
        if self.chunked_prefill_size:
            return min(self.chunked_prefill_size, self.max_num_batched_tokens)
        return self.max_num_batched_tokens

    def with_settings(self, settings: Mapping[str, Any]) -> Scheduler:
        """Return the scheduler with other settings.

        Raises:
            SchedulerError: There is no such setting, or a value is out of range.
        """
        for name in settings:
            self.check_name(name)
        return self.replace(**settings)

    @staticmethod
    def check_name(name: str) -> None:
        """Reject a setting that schedulers do not have.

        Raises:
            SchedulerError: There is no such setting.
        """
        if name not in SETTINGS:
            raise SchedulerError(f"the scheduler has no setting {shown(name)}; expected some of {', '.join(SETTINGS)}")

    @classmethod
    def of(cls, costs: StepCosts) -> Scheduler:
        """Return the settings that an engine has on its machine, by the size of the memory.

        SGLang reserves 0.7 of the answer, less the longer it runs.

        Raises:
            SchedulerError: The engine forms no steps.
        """
        rules = _core.scheduler_rules(costs.engine, costs.step_tokens)
        if rules is None:
            raise SchedulerError(f"engine is {shown(costs.engine)}, which forms no steps; pass a serving engine")
        return cls(**rules)


SETTINGS = tuple(each.name for each in Scheduler.fields if each.name not in ("mixes", "reserves"))
"""Settings that a caller may change; the others are what an engine is."""


def simulated_scheduler(costs: StepCosts, settings: Mapping[str, Any], *, context: int = 0) -> Scheduler:
    """Return the settings of an engine whose scheduler can be simulated.

    The longest sequence is the model's, unless fewer tokens fit the cache.

    Args:
        costs: Tables of the engine's steps.
        settings: Settings in the place of the engine's own.
        context: Longest sequence of the model in tokens; 0 if it is unknown.

    Raises:
        SchedulerError: The engine has no simulated scheduler, or a setting is wrong.
    """
    if costs.engine not in _SIMULATED:
        raise SchedulerError(
            f"the scheduler of engine {costs.engine!r} is not simulated; pass one of {', '.join(_SIMULATED)}, or use "
            "closed_form"
        )
    found = Scheduler.of(costs).with_settings({"max_model_len": context, **settings})
    blocks = found.num_gpu_blocks
    held = costs.most_sequence_tokens if blocks is None else blocks * costs.block_tokens
    if settings.get("max_model_len"):
        _check_length(costs.engine, found.max_model_len, context, held)
        return found
    if held is None or blocks is not None or 0 < found.max_model_len <= held:
        return found
    return found.replace(max_model_len=held)


def _check_length(engine: str, asked: int, context: int, held: int | None) -> None:
    """Reject a `max_model_len` with which the engine does not start.

    Raises:
        SchedulerError: It is longer than the context of the model, or, with vLLM, than the cache.
    """
    if context and asked > context:
        raise SchedulerError(
            f"max_model_len is {asked:,}, and the context of the model has {context:,} tokens; pass at most that"
        )
    if engine == "vllm" and held is not None and asked > held:
        raise SchedulerError(
            f"max_model_len is {asked:,}, and the cache holds {held:,} tokens, so vLLM does not start; pass "
            f"max_model_len={held} or less, a larger gpu_memory_utilization (serving), or a layout of more devices"
        )

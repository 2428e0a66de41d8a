"""How a serving engine forms its steps: recorded graphs, asynchronous scheduling, speculation, prefixes and chunks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from .. import _core
from .._checks import COUNT, MOST, Range, shown
from ..errors import InputError
from .settings import Settings, converted, flag, number, whole, wholes

EngineSettingsLike: TypeAlias = "EngineSettings | str | Mapping[str, Any]"
"""Settings of a serving engine as `EngineSettings.parse` accepts them."""

MOST_DRAFTS = 64
"""Maximum of `draft_tokens`."""

_SHARE = Range(0.0, 1.0)
_THOUSANDTHS = 1000
_VERSION = re.compile(r"(\d+)\.(\d+)")


class ServingError(InputError):
    """Settings of a serving engine that are out of range."""


def _version(value: object) -> str:
    """Return the text of a version of an engine."""
    text = str(value) if isinstance(value, str | int | float) else ""
    if text and _VERSION.match(text) is None:
        text = ""
    if text or value == "":
        return text
    raise ServingError(f"version is {shown(value)}; expected MAJOR.MINOR, such as 0.18, or nothing for the newest")


class EngineSettings(Settings):
    """How a serving engine forms its steps. The defaults are the engine's own."""

    kind = "serving"
    error = ServingError
    graph_batches: tuple[int, ...] = wholes(
        COUNT,
        "Numbers of tokens for which decode steps are recorded as CUDA graphs, in ascending order. A step is padded to "
        "the next of them, and a larger one is launched kernel by kernel. Empty for the engine's sizes.",
        default=(),
    )
    async_scheduling: bool = flag(
        "Whether the host prepares a step while the device works on the one before: then the longer of the two counts. "
        "Host times of engines were fitted to servers with the engine's own setting, and are added.",
        default=False,
    )
    draft_tokens: int = whole(
        Range(0, MOST_DRAFTS),
        "Tokens that are drafted for each sequence and verified in one decode step, 0 to 64.",
        default=0,
    )
    acceptance: float = number(
        _SHARE,
        "Probability that a draft is accepted if those before it were, 0 to 1; the default is assumed. A step yields "
        "(1 - a^(K + 1)) / (1 - a) tokens of a sequence for K drafts.",
        default=0.7,
    )
    draft_layers: int = whole(
        Range(0, 1000),
        "Layers of the head that drafts, each as long as the last one of the model, in as many small steps as there "
        "are drafts, with the product for logits; 1 as for EAGLE and MTP, 0 for drafts that cost nothing.",
        default=1,
    )
    prefix_hit: float = number(
        Range(0.0, 0.999),
        "Share of the tokens of a prompt that are in the cache before its prefill, 0 to 0.999.",
        default=0.0,
    )
    chunk_tokens: int = whole(
        Range(0, MOST),
        "Most tokens of a step that reads prompts, over all sequences; 0 reads a batch in one step.",
        default=0,
    )
    gpu_memory_utilization: float = number(
        _SHARE,
        "Share of the memory of a device that the engine takes, 0 to 1; 0 for the engine's own. SGLang: "
        "`mem_fraction_static`; TensorRT-LLM: `free_gpu_memory_fraction`, of what weights leave.",
        default=0.0,
    )
    version: str = converted(
        _version,
        "Version of the engine, such as 0.18, where its host differs between versions (see the page on engines); empty "
        "for the newest that is known.",
        default="",
    )

    @property
    def tokens_per_step(self) -> float:
        """Tokens of a sequence that a decode step yields on average."""
        return _core.tokens_of_step(self.draft_tokens, self.acceptance)

    def for_plans(self) -> dict[str, Any]:
        """Return the settings that a plan depends on, by the names of the core."""
        found = _VERSION.match(self.version)
        return {
            "graph_sizes": list(self.graph_batches),
            "hides_host": self.async_scheduling,
            "draft_tokens": self.draft_tokens,
            "draft_layers": self.draft_layers,
            "cached_thousandths": round(self.prefix_hit * _THOUSANDTHS),
            "chunk_tokens": self.chunk_tokens,
            "version": 0 if found is None else _core.version_number(*map(int, found.groups())),
        }

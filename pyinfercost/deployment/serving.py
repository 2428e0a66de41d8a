"""How a serving engine forms its steps: recorded graphs, asynchronous scheduling, speculation, prefixes and chunks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import _core
from .._checks import COUNT, MOST, Range, flag, number_in, shown, whole
from .._records import dataclass
from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

ServingLike: TypeAlias = "Serving | str | Mapping[str, Any]"
"""Settings of a serving engine as `parse_serving` accepts them."""

MOST_DRAFTS = 64
"""Maximum of `draft_tokens`."""

_SHARE = Range(0.0, 1.0)
_BELOW_ONE = Range(0.0, 0.999)
_DRAFTS = Range(0, MOST_DRAFTS)
_LAYERS = Range(0, 1000)
_TOKENS = Range(0, MOST)
_ASYNC = "async_scheduling"
_GRAPHS = "graph_batches"
_MEMORY = "gpu_memory_utilization"
_THOUSANDTHS = 1000


class ServingError(InputError):
    """Settings of a serving engine that are out of range."""


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How a serving engine forms its steps. The defaults are the engine's own.

    Attributes:
        graph_batches: Numbers of tokens for which decode steps are recorded as CUDA graphs, in ascending order. A step
            is padded to the next of them, and a larger one is launched kernel by kernel. Empty for the engine's sizes.
        async_scheduling: Whether the host prepares a step while the device works on the one before: then the longer of
            the two counts. Host times of engines were fitted to servers with the engine's own setting, and are added.
        draft_tokens: Tokens that are drafted for each sequence and verified in one decode step, 0 to 64.
        acceptance: Probability that a draft is accepted if those before it were, 0 to 1; the default is assumed. A step
            yields (1 - a^(K + 1)) / (1 - a) tokens of a sequence for K drafts.
        draft_layers: Layers of the head that drafts, each as long as the last one of the model, in as many small steps
            as there are drafts, with the product for logits; 1 as for EAGLE and MTP, 0 for drafts that cost nothing.
        prefix_hit: Share of the tokens of a prompt that are in the cache before its prefill, 0 to 0.999.
        chunk_tokens: Most tokens of a step that reads prompts, over all sequences; 0 reads a batch in one step.
        gpu_memory_utilization: Share of the memory of a device that the engine takes, 0 to 1; 0 for the engine's own.
            SGLang: `mem_fraction_static`; TensorRT-LLM: `free_gpu_memory_fraction`, of what weights leave.
    """

    graph_batches: tuple[int, ...] = ()
    async_scheduling: bool = False
    draft_tokens: int = 0
    acceptance: float = 0.7
    draft_layers: int = 1
    prefix_hit: float = 0.0
    chunk_tokens: int = 0
    gpu_memory_utilization: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.graph_batches, Iterable):
            raise ServingError(f"graph_batches is {shown(self.graph_batches)}; expected a sequence of whole numbers")
        sizes = tuple(whole(size, _GRAPHS, COUNT, ServingError) for size in self.graph_batches)
        if list(sizes) != sorted(set(sizes)):
            raise ServingError(f"graph_batches is {shown(self.graph_batches)}; pass different sizes in ascending order")
        self.__dict__.update(
            graph_batches=sizes,
            async_scheduling=flag(self.async_scheduling, _ASYNC, ServingError),
            draft_tokens=whole(self.draft_tokens, "draft_tokens", _DRAFTS, ServingError),
            acceptance=number_in(self.acceptance, "acceptance", _SHARE, ServingError),
            draft_layers=whole(self.draft_layers, "draft_layers", _LAYERS, ServingError),
            prefix_hit=number_in(self.prefix_hit, "prefix_hit", _BELOW_ONE, ServingError),
            chunk_tokens=whole(self.chunk_tokens, "chunk_tokens", _TOKENS, ServingError),
            gpu_memory_utilization=number_in(self.gpu_memory_utilization, _MEMORY, _SHARE, ServingError),
        )

    @property
    def tokens_per_step(self) -> float:
        """Tokens of a sequence that a decode step yields on average."""
        return _core.tokens_of_step(self.draft_tokens, self.acceptance)

    def for_plans(self) -> dict[str, Any]:
        """Return what a plan depends on, by the names of the core."""
        return {
            "graph_sizes": list(self.graph_batches),
            "hides_host": self.async_scheduling,
            "draft_tokens": self.draft_tokens,
            "draft_layers": self.draft_layers,
            "cached_thousandths": round(self.prefix_hit * _THOUSANDTHS),
            "chunk_tokens": self.chunk_tokens,
        }


_NAMES = tuple(field.name for field in fields(Serving))
_EXPECTED = f"expected NAME=VALUE of {', '.join(_NAMES)}, and graph_batches as 1:2:4:8"


def parse_serving(value: ServingLike) -> Serving:
    """Parse settings of a serving engine.

    Args:
        value: A `Serving`; text with commas, as in `"draft_tokens=4,acceptance=0.8,async_scheduling"`, where
            `graph_batches` are joined by colons; or a mapping of the same names.

    Raises:
        ServingError: The value is none of these, or a number is out of range.
    """
    if isinstance(value, Serving):
        return value
    if isinstance(value, str):
        return _of_text(value)
    if not isinstance(value, Mapping):
        raise ServingError(f"serving is {shown(value)}; {_EXPECTED}")
    for name in value:
        if name not in _NAMES:
            raise ServingError(f"serving has {shown(name)}; {_EXPECTED}")
    return Serving(**value)


def serving_text(serving: Serving) -> str:
    """Return settings as text that `parse_serving` accepts; empty for the engine's own."""
    parts = []
    for field in fields(Serving):
        value = getattr(serving, field.name)
        if value == field.default:
            continue
        if field.name == _ASYNC:
            parts.append(_ASYNC)
        elif field.name == _GRAPHS:
            parts.append(f"{_GRAPHS}={':'.join(map(str, value))}")
        else:
            parts.append(f"{field.name}={value}")
    return ",".join(parts)


@lru_cache(1024)
def _of_text(text: str) -> Serving:
    settings: dict[str, Any] = {}
    for part in filter(None, (word.strip() for word in text.split(","))):
        name, equals, value = part.partition("=")
        if name in settings:
            raise ServingError(f"serving has {name} twice; pass it once")
        if name not in _NAMES or not (equals or name == _ASYNC):
            raise ServingError(f"serving has {shown(part)}; {_EXPECTED}")
        settings[name] = _READERS.get(name, _plain)(name, value)
    return Serving(**settings)


def _plain(name: str, text: str) -> Any:
    read: type[Any] = type(getattr(Serving, name))
    try:
        return read(text)
    except ValueError as error:
        raise ServingError(f"{name} of serving is {shown(text)}; expected a number") from error


def _truth(name: str, text: str) -> bool:
    known = {"": True, "true": True, "false": False}
    if text not in known:
        raise ServingError(f"{name} of serving is {shown(text)}; expected true or false")
    return known[text]


def _sizes(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(":"))
    except ValueError as error:
        raise ServingError(f"{name} of serving is {shown(text)}; expected sizes such as 1:2:4:8") from error


_READERS: Mapping[str, Callable[[str, str], Any]] = {_ASYNC: _truth, _GRAPHS: _sizes}

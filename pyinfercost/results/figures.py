"""The catalog of figures: one row for each number in results.

JSON keys, columns of CSV and tables, sort keys, columns of a sweep, limits, budgets, records of a tracker, plots and
cards of a page are the rows of a scope. A new figure is a row here, its computation and its test:

- a figure of a deployment is a row of `csrc/costs/cost_rows.hpp`, of the same name;
- a figure of the core is a field of its results, of the same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any

from .._records import dataclass

LESS, MORE = "less", "more"
"""Better directions of a figure."""

MILLION = 1_000_000

LAYER = "layer"
"""A key of `layers` in the JSON and a column of a profile's CSV."""
PART = "part"
"""An additive figure over layers, which `plot_breakdown` splits."""
SORT = "sort"
"""A figure that rows of a profile are sorted by."""
MODULE = "module"
"""A figure of each module in a comparison."""
TOTAL = "total"
"""A key of `totals` in the JSON: a figure of the model, without a machine."""
ESTIMATE = "estimate"
"""A key of `estimate` in the JSON and an attribute of `Estimate`."""
CHANGE = "change"
"""A total of a comparison, and of limits on it."""
DIFF = "diff"
"""A row of the table of a comparison."""
SWEEP = "sweep"
"""A column of a sweep, which plots can draw; it is omitted if its needs are not met."""
GRID = "grid"
"""A column of the table of a sweep."""
BUDGET = "budget"
"""A limit of a `CostBudget`."""
RECORD = "record"
"""A metric of a tracker's records."""
CARD = "card"
"""A card of the HTML page, and a line of text below a profile's table."""
ADVICE = "advice"
"""A figure of a setup in advice without traffic."""
OBJECTIVE = "objective"
"""A figure that advice can minimize."""

SPEED, COST, MEMORY, WORK = GROUPS = "Speed", "Energy and cost", "Memory", "Work"
"""Groups of cards on the HTML page, in its order."""

PHASES = "phases"
"""A figure of a language model that reads prompts and generates, as its users ask for it."""

HARDWARE, POWER, LINK, PRICE, PLACE, TOKENS, CACHE = "hardware", "power", "link", "price", "place", "tokens", "cache"
PREFILL, DECODE = "prefill", "decode"
"""Needs: a machine, its power, its host link, a price, a place, tokens that the model reads, a KV cache, and a phase of
generation."""


_WITHOUT = {
    PRICE: "; None without a price",
    PLACE: "; None without a place",
    POWER: "; None if the power of the machine is unknown",
    LINK: "; None if the file of the machine describes no host link",
    PREFILL: "; None for other forwards than a prefill",
    DECODE: "; None for other forwards than a decode step",
    TOKENS: "; None for a model that reads no tokens",
    CACHE: "; None for a model without a KV cache",
}
"""Need -> the value of a figure without it; the first need of a figure counts."""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        key: Name in JSON, columns and attributes, which ends with the unit.
        title: Name for users.
        unit: Unit of the stored number: `"s"`, `"B"`, `"FLOP"`, `"J"`, `"USD"`, `"g"`, `"per s"`, or empty for a count.
        scopes: Scopes in which it appears.
        better: `LESS`, `MORE`, or empty for a figure without a better direction.
        needs: Requirements without which it is unknown.
        short: Title of a column; `title` by default.
        per: Unit of which tables and plots show a million, `"items of the batch"` or `"tokens"`; else empty.
        items: Factor from the stored number to the shown one: 1,000,000 for a figure that is stored per item.
        words: Description in a phrase.
        sort: Value of `--sort`, if it is a sort key.
        spare: Priority for dropping its column from a narrow table; 0 keeps it.
        after: Scope -> key that it follows there, for a scope with another order than this catalog.
        replaces: Key of the figure of items that it replaces for a model that reads tokens.
        card: Group of its card, for the scope `CARD`.
        goal: Phrase for the search of its least value, for the scope `OBJECTIVE`.
    """

    key: str
    title: str
    unit: str
    scopes: frozenset[str]
    better: str = ""
    needs: frozenset[str] = frozenset()
    short: str = ""
    per: str = ""
    items: int = 1
    words: str = ""
    sort: str = ""
    spare: int = 0
    after: Mapping[str, str] = field(default_factory=dict)
    replaces: str = ""
    card: str = ""
    goal: str = ""

    @property
    def sentence(self) -> str:
        """Description for the documentation, with the need without which it is None."""
        without = next((text for need, text in _WITHOUT.items() if need in self.needs), "")
        return f"{self.words[0].upper()}{self.words[1:]}{without}."

    @property
    def shown_unit(self) -> str:
        """The unit of the number that tables and plots show: `USD/1M` for a figure of a million items."""
        return f"{self.unit}/1M" if self.per else self.unit


def _row(
    key: str,
    title: str,
    unit: str,
    *scopes: str,
    better: str = "",
    needs: tuple[str, ...] = (),
    short: str = "",
    per: str = "",
    items: int = 1,
    words: str = "",
    sort: str = "",
    spare: int = 0,
    after: Mapping[str, str] | None = None,
    replaces: str = "",
    card: str = "",
    goal: str = "",
) -> Figure:
    return Figure(
        key=key,
        title=title,
        unit=unit,
        scopes=frozenset({*scopes, *([CARD] if card else []), *([OBJECTIVE] if goal else [])}),
        better=better,
        needs=frozenset(needs),
        short=short or title,
        per=per,
        items=items,
        words=words,
        sort=sort,
        spare=spare,
        after=MappingProxyType(dict(after or {})),
        replaces=replaces,
        card=card,
        goal=goal,
    )


_TIMED = (HARDWARE,)
_DRAWN = (HARDWARE, POWER)
_ITEMS = "items of the batch"

CATALOG: tuple[Figure, ...] = (
    # Work of the model: no machine is needed.
    _row("flops", "FLOPs", "FLOP", PART, SORT, MODULE, CHANGE, DIFF, better=LESS, sort="flops", card=WORK,
         words="contraction and pointwise FLOPs"),
    _row("contraction_flops", "contraction FLOPs", "FLOP", LAYER, TOTAL, CHANGE, BUDGET, RECORD, better=LESS,
         words="FLOPs of products, convolutions and attention"),
    _row("pointwise_flops", "pointwise FLOPs", "FLOP", LAYER, TOTAL, CHANGE, better=LESS,
         words="FLOPs of everything else"),
    _row("macs", "MACs", "MAC", TOTAL, better=LESS, words="half of the contraction FLOPs"),
    _row("traffic_bytes", "traffic", "B", PART, SORT, MODULE, CHANGE, DIFF, better=LESS, sort="traffic", card=WORK,
         words="bytes read and written, op by op"),
    _row("parameters", "parameters", "", SORT, TOTAL, CHANGE, DIFF, BUDGET, RECORD, better=LESS, sort="params",
         card=WORK, words="weights, each once"),
    _row("parameter_bytes", "weights", "B", MODULE, TOTAL, CHANGE, DIFF, BUDGET, RECORD, better=LESS,
         words="bytes of the weights"),
    _row("bits_per_parameter", "bits per weight", "", TOTAL, better=LESS,
         words="bits of the weights and of their scales, for each weight"),
    _row("buffer_bytes", "buffers", "B", TOTAL, CHANGE, better=LESS, words="bytes of buffers"),
    _row("bytes_read", "bytes read", "B", LAYER, TOTAL, better=LESS, words="bytes that operators read"),
    _row("bytes_written", "bytes written", "B", LAYER, TOTAL, better=LESS, words="bytes that operators write"),
    _row("peak_activation_bytes", "peak activations", "B", SORT, TOTAL, CHANGE, better=LESS, sort="memory",
         words="bytes of activations and workspaces at the peak"),
    _row("peak_memory_bytes", "peak memory", "B", TOTAL, CHANGE, DIFF, SWEEP, GRID, BUDGET, RECORD, ADVICE,
         better=LESS, short="memory", spare=2, card=MEMORY,
         after={SWEEP: "energy_per_item_j", GRID: "throughput_per_s", ADVICE: "throughput_per_s"},
         words="activations at the peak with weights, buffers and inputs"),
    _row("kv_cache_bytes", "KV cache", "B", TOTAL, PHASES, CHANGE, DIFF, SWEEP, GRID, BUDGET, RECORD, better=LESS,
         needs=(CACHE,), spare=5, card=MEMORY, words="keys, values and states held after the forward, on one device"),
    _row("kv_cache_bytes_per_token", "KV cache of a token", "B", TOTAL, PHASES, CHANGE, SWEEP, BUDGET, RECORD,
         better=LESS, needs=(CACHE,), card=MEMORY, words="bytes that one token adds to the keys and values"),
    _row("kv_cache_bytes_per_sequence", "KV cache of a sequence", "B", TOTAL, PHASES, CHANGE, SWEEP, better=LESS,
         needs=(CACHE,), words="bytes of keys, values and states of one sequence after the forward"),
    # Time and energy on a machine.
    _row("latency_s", "latency", "s", LAYER, PART, SORT, MODULE, ESTIMATE, CHANGE, DIFF, SWEEP, GRID, BUDGET, RECORD,
         ADVICE, better=LESS, needs=_TIMED, sort="latency", after={OBJECTIVE: "usd_per_month"}, card=SPEED,
         goal="least latency", words="seconds of one forward"),
    _row("latency_low_s", "latency, low end", "s", ESTIMATE, SWEEP, GRID, ADVICE, better=LESS, needs=_TIMED,
         short="low", spare=4, words="lower end of the latency's band"),
    _row("latency_high_s", "latency, high end", "s", ESTIMATE, SWEEP, GRID, RECORD, ADVICE, better=LESS, needs=_TIMED,
         short="high", spare=4, words="upper end of the latency's band"),
    _row("throughput_per_s", "throughput", "per s", ESTIMATE, CHANGE, DIFF, SWEEP, GRID, RECORD, ADVICE, better=MORE,
         needs=_TIMED, spare=1, card=SPEED, words="items of the batch per second, one forward after another"),
    _row("ttft_s", "time to first token", "s", ESTIMATE, PHASES, SWEEP,
         better=LESS, needs=(HARDWARE, PREFILL), card=SPEED,
         words="seconds until an idle server has read the prompts of a batch: the latency of their prefill"),
    _row("tpot_s", "time per output token", "s", ESTIMATE, PHASES, SWEEP, better=LESS, needs=(HARDWARE, DECODE),
         card=SPEED, words="seconds between tokens of a sequence: the latency of a decode step"),
    _row("prefill_tokens_per_s", "prefill tokens per second", "per s", PHASES, better=MORE, needs=(HARDWARE, TOKENS),
         words="tokens of prompts read per second"),
    _row("tokens_per_s", "tokens per second", "per s", ESTIMATE, PHASES, SWEEP, better=MORE,
         needs=(HARDWARE, TOKENS), replaces="throughput_per_s", card=SPEED,
         words="tokens per second, over all sequences: read in a prefill, generated in a decode step"),
    _row("tokens_per_s_per_sequence", "tokens per second of a sequence", "per s", ESTIMATE, PHASES, better=MORE,
         needs=(HARDWARE, TOKENS), words="tokens per second and sequence of the batch"),
    _row("live_activation_bytes", "live activations", "B", LAYER, better=LESS,
         words="bytes held while the layer runs, its workspace included"),
    _row("compute_s", "bound by compute", "s", LAYER, SWEEP, better=LESS, needs=_TIMED,
         words="seconds that compute binds"),
    _row("dram_s", "bound by dram", "s", LAYER, SWEEP, better=LESS, needs=_TIMED, words="seconds that DRAM binds"),
    _row("cache_s", "bound by caches", "s", LAYER, SWEEP, better=LESS, needs=_TIMED,
         words="seconds that caches bind"),
    _row("link_s", "bound by links", "s", LAYER, SWEEP, better=LESS, needs=_TIMED,
         words="seconds that links between devices bind"),
    _row("launch_s", "bound by launches", "s", LAYER, SWEEP, better=LESS, needs=_TIMED,
         words="seconds that launches bind"),
    _row("energy_j", "energy", "J", LAYER, PART, SORT, MODULE, ESTIMATE, CHANGE, DIFF, SWEEP, better=LESS,
         needs=_DRAWN, sort="energy", card=COST, words="joules of one forward on all devices"),
    _row("energy_low_j", "energy, low end", "J", ESTIMATE, better=LESS, needs=_DRAWN,
         words="lower end of the energy's band"),
    _row("energy_high_j", "energy, high end", "J", ESTIMATE, better=LESS, needs=_DRAWN,
         words="upper end of the energy's band"),
    _row("energy_per_item_j", "energy of an item", "J", ESTIMATE, CHANGE, SWEEP, GRID, BUDGET, RECORD, ADVICE,
         better=LESS, needs=_DRAWN, short="energy/item", spare=5, after={OBJECTIVE: "latency_s"},
         goal="least energy of an item", words="joules per item of the batch"),
    _row("energy_per_input_token_j", "energy of an input token", "J", PHASES, better=LESS, needs=(*_DRAWN, TOKENS),
         words="joules per token of a prompt"),
    _row("energy_per_output_token_j", "energy of an output token", "J", PHASES, better=LESS, needs=(*_DRAWN, TOKENS),
         words="joules per generated token"),
    _row("kernel_flops", "FLOPs of the kernel", "FLOP", LAYER, needs=_TIMED, words="FLOPs that its kernel computes"),
    _row("kernel_bytes", "bytes of the kernel", "B", LAYER, needs=_TIMED, words="bytes that its kernel moves"),
    # Use of the machine.
    _row("transfer_s", "transfer", "s", ESTIMATE, CHANGE, DIFF, SWEEP, GRID, better=LESS, needs=(HARDWARE, LINK),
         spare=6, words="seconds to move inputs in and results out, in addition to the latency"),
    _row("cold_start_s", "cold start", "s", ESTIMATE, CHANGE, DIFF, SWEEP, better=LESS, needs=(HARDWARE, LINK),
         words="seconds until a device is ready for its first forward"),
    _row("tokens", "tokens", "", ESTIMATE, needs=(HARDWARE, TOKENS), words="tokens that a forward reads"),
    _row("cost_usd", "cost", "USD", MODULE, ESTIMATE, CHANGE, DIFF, SWEEP, GRID, BUDGET, RECORD, ADVICE, better=LESS,
         needs=(HARDWARE, PRICE), per=_ITEMS, items=MILLION, card=COST, goal="least cost of an item",
         words="USD per item of the batch"),
    _row("usd_per_million_tokens", "cost of a million tokens", "USD", ESTIMATE, CHANGE, DIFF, SWEEP, GRID, BUDGET,
         RECORD, ADVICE, better=LESS, needs=(HARDWARE, PRICE, TOKENS), short="tokens", per="tokens",
         replaces="cost_usd", card=COST, goal="least cost of a token", words="USD per 10^6 tokens"),
    _row("usd_per_month", "cost", "USD/month", better=LESS, needs=(HARDWARE, PRICE), goal="least cost of a month",
         words="USD per month of the machines that serve the traffic"),
    _row("usd_per_h", "price of an hour", "USD", SWEEP, better=LESS, needs=(HARDWARE, PRICE),
         words="USD per hour of all devices, with unused devices of instances"),
    _row("usd_per_million_input_tokens", "cost of a million input tokens", "USD", PHASES, better=LESS,
         needs=(HARDWARE, PRICE, TOKENS), per="tokens", words="USD per 10^6 tokens of prompts"),
    _row("usd_per_million_output_tokens", "cost of a million output tokens", "USD", PHASES, better=LESS,
         needs=(HARDWARE, PRICE, TOKENS), per="tokens", words="USD per 10^6 generated tokens"),
    _row("carbon_g", "carbon", "g", ESTIMATE, CHANGE, DIFF, SWEEP, GRID, BUDGET, RECORD, ADVICE, better=LESS,
         needs=(HARDWARE, POWER, PLACE), per=_ITEMS, items=MILLION, spare=7, goal="least carbon of an item",
         words="grams of CO2 equivalent per item of the batch"),
    _row("fits_in_memory", "fits", "", ESTIMATE, SWEEP, needs=_TIMED, after={SWEEP: "peak_memory_bytes"},
         words="whether the peak fits the machine's memory; unknown if its owner chooses the size"),
    _row("max_sequences", "sequences that fit", "", ESTIMATE, PHASES, SWEEP, better=MORE,
         needs=(HARDWARE, CACHE), after={SWEEP: "fits_in_memory"}, card=MEMORY,
         words="sequences of as many tokens whose caches fit next to the weights and the engine's reserve"),
    _row("memory_left_bytes", "memory left", "B", ESTIMATE, PHASES, better=MORE, needs=(HARDWARE, CACHE),
         words="memory of the machine that weights, caches and activations leave; below 0 if it does not suffice"),
    _row("machine_memory_bytes", "memory of the machine", "B", SWEEP, better=MORE, needs=_TIMED,
         after={SWEEP: "fits_in_memory"}, words="memory of the machine; unknown if its owner chooses the size"),
)  # fmt: skip
"""All figures, in the order in which documents and tables have them."""

FIGURES: Mapping[str, Figure] = MappingProxyType({figure.key: figure for figure in CATALOG})
"""Key -> figure."""

OF_TOKENS: Mapping[str, str] = MappingProxyType({each.replaces: each.key for each in CATALOG if each.replaces})
"""Key of a figure of items -> key of the figure that replaces it for a model that reads tokens."""


def of_scope(scope: str) -> tuple[Figure, ...]:
    """Return the figures of a scope, in its order."""
    found = [figure for figure in CATALOG if scope in figure.scopes]
    for figure in [figure for figure in found if scope in figure.after]:
        found.remove(figure)
        keys = [other.key for other in found]
        found.insert(keys.index(figure.after[scope]) + 1, figure)
    return tuple(found)


def keys(scope: str) -> tuple[str, ...]:
    """Return the keys of a scope, in its order."""
    return tuple(figure.key for figure in of_scope(scope))


MODEL_KEYS = tuple(figure.key for figure in CATALOG if figure.scopes & {TOTAL, CHANGE} and HARDWARE not in figure.needs)
"""Keys of the figures of a model that need no machine."""


class WithFigures:
    """A result whose figures are a mapping by key and also attributes: `estimate.cost_usd`."""

    figures: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
        known = self.__dict__.get("figures", {})  # absent while a copy is created
        if name in known:
            return known[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.figures})

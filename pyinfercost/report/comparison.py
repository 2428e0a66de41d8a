"""Renderers of models side by side: JSON, rows and tables with figures and their ratios to the first row."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from ..deployment.engines import TORCH
from ..results import figures
from ..results.comparison import FIGURES, ComparedModel
from ..results.figures import OF_TOKENS
from ..results.units import amount
from ..sources.data_names import is_data_name
from .derived import columns_of, row_of, whole_document
from .layout import ALARM, GAP, WARNING, Column, Note, Pairs, Table
from .summary import host_text, sizes_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..results.comparison import Comparison
    from .layout import Layout, Part

RATIOS = tuple(key for key in FIGURES if not key.endswith(("_low_s", "_high_s")) and key != "fits_in_memory")
"""Figures with a ratio to the first row."""

COLUMNS = (*columns_of(ComparedModel), "sizes", *(f"{key}_ratio" for key in RATIOS))
"""Columns of the rows."""

_PLAIN = ("FLOP", "USD", "per s", "")
"""Units that cells leave out: titles have them."""


class Shown(NamedTuple):
    """A figure of the tables: its key, the priority for dropping its column, and whether its ratio is shown."""

    key: str
    spare: int = 0
    ratio: bool = True


_SHOWN = (
    Shown("flops", 4),
    Shown("parameters", 5),
    Shown("traffic_bytes", 6),
    Shown("peak_memory_bytes", 2),
    Shown("kv_cache_bytes", 8, ratio=False),
    Shown("latency_s"),
    Shown("throughput_per_s", 2),
    Shown("energy_j", 5),
    Shown("cost_usd", 1),
    Shown("carbon_g", 7, ratio=False),
)
_OF_TOKENS = {each.key: each._replace(key=OF_TOKENS[each.key]) for each in _SHOWN if each.key in OF_TOKENS}
SHOWN = tuple(chain.from_iterable((each, *filter(None, [_OF_TOKENS.get(each.key)])) for each in _SHOWN))
"""Figures of the tables, in order; figures of tokens follow the figures of items that they replace."""


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Return the JSON object: each row has figures by key, and `ratios` to the first one."""
    found = whole_document(comparison)
    for row, each in zip(found["compare"]["rows"], comparison.rows, strict=True):
        row["ratios"] = {key: comparison.ratio(each, key) for key in RATIOS}
    return found


def comparison_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one row for each model in each deployment."""
    return [
        {
            **row_of(row),
            "sizes": sizes_text(row.sizes),
            **{f"{key}_ratio": comparison.ratio(row, key) for key in RATIOS},
        }
        for row in comparison.rows
    ]


def comparison_layout(comparison: Comparison) -> Layout:
    """Return what all rows share, the tables of figures and of ratios to the first row, and the failed rows."""
    parts: list[Part] = []
    shared = shared_terms(comparison)
    if shared:
        parts += [Pairs(shared), GAP]
    good = [row for row in comparison.rows if not row.error]
    if good:
        bounds = [_bounds(good)] if any(row.bound for row in good) else []
        parts.append(Table([*name_columns(comparison, good), *_figure_columns(good), *bounds, *fit_columns(good)]))
    if len(good) > 1:
        ratios = _ratio_columns(comparison, good)
        to = "the first row" + " of the phase" * any(row.phase for row in good)
        parts += [GAP, Note(f"Ratios to {to}:"), Table([*name_columns(comparison, good), *ratios])]
    for row in comparison.failed:
        parts.append(Note(f"FAILED {row_name(comparison, row)}: {row.error}", ALARM))
    parts += [Note(f"Note: {text}") for text in comparison.notes]
    parts += [Note(f"Warning: {text}", WARNING) for text in warnings_of(comparison)]
    return parts


def warnings_of(comparison: Comparison) -> list[str]:
    """Return what figures lack, and which rows do not fit their machine."""
    texts = []
    for row in comparison.rows:
        if row.unmodelled:
            ops = ", ".join(f"{op} x{count}" for op, count in row.unmodelled.items())
            texts.append(f"{row_name(comparison, row)}: not modeled, and in no figure: {ops}")
        if row.figures["fits_in_memory"] is False:
            texts.append(f"{row_name(comparison, row)}: does not fit into the memory of the machine")
    return list(dict.fromkeys(texts))


# ---- terms -----------------------------------------------------------------------------------------------------------


def _terms_of(row: ComparedModel) -> dict[str, str]:
    """Return the deployment of a row and its sizes, as texts."""
    engine = "" if row.engine in (None, TORCH) else str(row.engine)
    sizes = {name: str(value) for name, value in row.sizes.items() if not is_data_name(name)}
    return {
        "hardware": f"{row.devices} x {row.hardware}" if row.devices > 1 else row.hardware or "",
        "precision": row.precision,
        "engine": engine,
        "execution": row.execution or "",
        "layout": row.layout,
        "price": row.price or "",
        **sizes,
    }


def _names_of_terms(comparison: Comparison) -> list[str]:
    return list(dict.fromkeys(name for row in comparison.rows for name in _terms_of(row)))


def _differing(comparison: Comparison) -> list[str]:
    """Return the terms that differ between rows; a price follows from the machine if there is one for each."""
    good = [row for row in comparison.rows if not row.error] or list(comparison.rows)
    terms = [_terms_of(row) for row in good]
    found = [name for name in _names_of_terms(comparison) if len({each[name] for each in terms if each.get(name)}) > 1]
    by_machine = {(each["hardware"], each["price"]) for each in terms}
    if "price" in found and len(by_machine) == len({machine for machine, _ in by_machine}):
        found.remove("price")
    return found


def shared_terms(comparison: Comparison) -> list[tuple[str, str]]:
    """Return the terms that do not differ between rows, as names and values, with each price and each host."""
    differing = _differing(comparison)
    terms = [_terms_of(row) for row in comparison.rows]
    shared = []
    for name in _names_of_terms(comparison):
        values = list(dict.fromkeys(each[name] for each in terms if each.get(name)))
        if values and name not in differing:
            shared.append((name, "; ".join(values)))
    estimates = [row.profile.estimate for row in comparison.rows if row.profile is not None]
    hosts = dict.fromkeys(text for each in estimates if each is not None and (text := host_text(each)))
    return shared + ([("host", "; ".join(hosts))] if hosts else [])


def row_name(comparison: Comparison, row: ComparedModel) -> str:
    """Return the model of a row with what tells it from other rows."""
    terms = _terms_of(row)
    told = [_told(name, terms[name]) for name in _differing(comparison) if terms.get(name)]
    return ", ".join([row.model, *told])


def _told(name: str, value: str) -> str:
    return value if name in ("hardware", "precision", "engine", "execution", "layout", "price") else f"{name} {value}"


def name_columns(comparison: Comparison, rows: Sequence[ComparedModel]) -> list[Column]:
    """Return the columns that tell rows apart."""
    terms = [_terms_of(row) for row in rows]
    named = [Column("model", "", [row.model for row in rows], numeric=False, flexible=True, keep_end=True)]
    return named + [
        Column(name, "", [each.get(name, "") for each in terms], numeric=all(_is_count(e.get(name, "")) for e in terms))
        for name in _differing(comparison)
    ]


def _is_count(text: str) -> bool:
    return text.isdigit() or not text


# ---- figures ---------------------------------------------------------------------------------------------------------


def shown_figures(rows: Sequence[ComparedModel]) -> list[Shown]:
    """Return the figures of the tables that some row knows.

    Items are tokens for a language model, so that figures of tokens replace figures of items.
    """
    known = {key for key in FIGURES for row in rows if row.figures[key] is not None}
    known -= set(OF_TOKENS if read_tokens(rows) else OF_TOKENS.values())
    return [shown for shown in SHOWN if shown.key in known]


def read_tokens(rows: Sequence[ComparedModel]) -> bool:
    """Return whether all models read tokens."""
    return all(row.figures["tokens_per_s"] is not None for row in rows)


def _figure_columns(rows: Sequence[ComparedModel]) -> list[Column]:
    """Return the columns of figures, each cell with its own prefix: models may differ by orders of magnitude."""
    columns = []
    for key, spare, _ in shown_figures(rows):
        figure = figures.FIGURES[key]
        unit = figure.shown_unit if figure.unit in _PLAIN else ""
        columns.append(Column(figure.short, unit, [_cell(row, key) for row in rows], spare=spare))
        if key == "latency_s":
            columns.append(Column("band", "", [_band(row) for row in rows], spare=1))
    return columns


def _cell(row: ComparedModel, key: str) -> str:
    """Return a figure with its prefix; units that a title states are left out."""
    figure = figures.FIGURES[key]
    value = row.figures[key]
    if value is None:
        return ""
    text = amount(_scaled(value, figure.items), figure.unit)
    return text.removesuffix(figure.unit).strip() if figure.unit in _PLAIN else text


def _scaled(value: Any, items: int) -> Any:
    return value * items if isinstance(value, (int, float)) else value


def _band(row: ComparedModel) -> str:
    low, high = row.figures["latency_low_s"], row.figures["latency_high_s"]
    if low is None or high is None:
        return ""
    (one, unit), (other, same) = (amount(value, "s").split(" ") for value in (low, high))
    return f"{one} to {other} {same}" if unit == same else f"{one} {unit} to {other} {same}"


def _bounds(rows: Sequence[ComparedModel]) -> Column:
    texts = [f"{row.bound} {100 * row.bound_shares[row.bound]:.0f} %" if row.bound else "" for row in rows]
    return Column("bound", "", texts, numeric=False, spare=3)


def fitting(rows: Sequence[ComparedModel]) -> list[ComparedModel]:
    """Return the rows that fit the memory of their machine; all of them if none does."""
    return [row for row in rows if row.figures["fits_in_memory"] is not False] or list(rows)


def fit_columns(rows: Sequence[ComparedModel]) -> list[Column]:
    """Return the column that marks rows that do not fit the memory; none if all fit."""
    if all(row.figures["fits_in_memory"] is not False for row in rows):
        return []
    words = {"True": "yes", "False": "NO"}
    return [Column("fits", "", [words.get(str(row.figures["fits_in_memory"]), "") for row in rows], numeric=False)]


def _ratio_columns(comparison: Comparison, rows: Sequence[ComparedModel]) -> list[Column]:
    return [
        Column(figures.FIGURES[key].short, "", [ratio_text(comparison.ratio(row, key)) for row in rows], spare=spare)
        for key, spare, has_ratio in shown_figures(rows)
        if has_ratio
    ]


def ratio_text(ratio: float | None) -> str:
    """Return a ratio such as `1.25x`; empty if it is unknown."""
    if ratio is None:
        return ""
    return f"{ratio:.3g}x" if ratio < 100 else f"{ratio:,.0f}x"  # noqa: PLR2004 - three digits


def is_of_million(key: str) -> bool:
    """Return whether a figure is shown for a million items."""
    figure = figures.FIGURES[key]
    return bool(figure.per) and figure.items > 1


def figure_text(row: ComparedModel, key: str, *, per: bool = True) -> str:
    """Return a figure with its unit, for a cell of its own; without `per` its head says that it is of a million."""
    value = row.figures[key]
    if value is None:
        return ""
    figure = figures.FIGURES[key]
    shown = amount(_scaled(value, figure.items), figure.unit)
    return f"{shown} per million" if per and is_of_million(key) else shown

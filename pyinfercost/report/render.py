"""Entry point of reports: a table of the forms of each result class, and `render`, which looks them up."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .._checks import text
from ..errors import InputError, InputTypeError

_ANY = {
    "dict": "derived.whole_document",
    "rows": "derived.rows",
    "columns": "derived.columns",
    "json": "documents.json_text",
    "csv": "delimited.csv_pieces",
    "view": "table.layout_view",
    "text": "table.plain_text",
    "markdown": "delimited.layout_markdown",
    "snippet": "html.snippet.layout_snippet",
    "html": "html.snippet.snippet_page",
    "pandas": "frames.to_pandas",
    "arrow": "frames.to_arrow",
    "polars": "frames.to_polars",
}
"""Form -> default renderer: what the class of a result declares, and forms composed of `dict`, `rows` and `layout`."""

_COMPOSED = ("csv", "view", "text", "markdown", "snippet", "html")
"""Forms composed of a layout or of rows."""

_OTHERS = "*"
"""Key for all other forms: its function converts to the result that has them."""

_RENDERERS = {
    "Profile": {
        "dict": "documents.profile_document",
        "rows": "documents.profile_layers",
        "columns": "documents.LAYER_KEYS",
        "line": "summary.profile_line",
        "view": "table.profile_view",
        "markdown": "delimited.profile_markdown",
        "snippet": "html.snippet.profile_snippet",
        "html": "html.page.profile_page",
        "trace": "trace.trace_of",
        "plot_roofline": "plots.draw_roofline.plot_roofline",
        "plot_breakdown": "plots.draw_breakdown.plot_breakdown",
        "plot_memory": "plots.draw_memory.plot_memory",
    },
    "Exploration": {
        "dict": "documents.exploration_document",
        "rows": "documents.exploration_rows",
        "columns": "documents.LAYER_KEYS",
        "html": "html.page.exploration_page",
    },
    "LanguageProfile": {
        "rows": "language.language_rows",
        "columns": "language.COLUMNS",
        "line": "language.language_line",
        "layout": "language.language_layout",
        "html": "html.page.language_page",
    },
    "Estimate": {
        "dict": "documents.whole_estimate_document",
        "rows": "documents.estimate_layers",
        "columns": "documents.ESTIMATE_COLUMNS",
        "line": "summary.estimate_line",
        "layout": "summary.estimate_layout",
    },
    "Counts": {
        "dict": "documents.counts_document",
        "rows": "documents.counted_layers",
        "columns": "documents.COUNT_COLUMNS",
        "layout": "summary.counts_layout",
    },
    "ProfileChanges": {
        "rows": "profile_changes.changes_rows",
        "columns": "profile_changes.COLUMNS",
        "layout": "profile_changes.changes_layout",
        "markdown": "profile_changes.changes_markdown",
        "snippet": "profile_changes.changes_snippet",
    },
    "Comparison": {
        "dict": "comparison.comparison_document",
        "rows": "comparison.comparison_rows",
        "columns": "comparison.COLUMNS",
        "layout": "comparison.comparison_layout",
        "html": "html.comparison_page.comparison_page",
    },
    "ModuleTable": {
        "rows": "tables.module_rows",
        "layout": "tables.module_layout",
    },
    "OperatorTable": {
        "layout": "tables.operator_layout",
    },
    "Measurement": {
        "dict": "measured.measured_document",
        "rows": "measured.measured_rows",
        "columns": "measured.COLUMNS",
        "layout": "measured.measured_layout",
        "trace": "trace.measured_trace",
    },
    "CollectiveEstimate": {
        "rows": "collectives.collective_rows",
        "layout": "collectives.collective_layout",
    },
    "Layouts": {
        "layout": "layouts.layouts_layout",
    },
    "ServingResult": {
        "line": "serving.serving_line",
        "layout": "serving.serving_layout",
        "html": "html.serving_page.serving_page",
        "plot_timeline": "plots.draw_serving.plot_timeline",
        "plot_latencies": "plots.draw_serving.plot_latencies",
        "plot_rates": "plots.draw_serving.plot_rates",
    },
    "ServingSearch": {
        "rows": "serving_search.search_rows",
        "columns": "serving_search.COLUMNS",
        "line": "serving_search.search_line",
        "layout": "serving_search.search_layout",
    },
    "Notice": {
        "sentence": "notices.sentence",
    },
    "FleetResult": {
        "line": "fleets.fleet_line",
        "layout": "fleets.fleet_layout",
        "html": "html.fleet_pages.fleet_page",
        "plot_timeline": "plots.draw_fleets.plot_fleet_timeline",
        "plot_money": "plots.draw_fleets.plot_money",
    },
    "FleetComparison": {
        "rows": "fleets.comparison_rows",
        "columns": "fleets.COLUMNS",
        "line": "fleets.comparison_line",
        "layout": "fleets.comparison_layout",
        "html": "html.fleet_pages.comparison_page",
        "plot_front": "plots.draw_fleets.plot_front",
    },
    "FleetPlan": {
        "rows": "fleet_plans.plan_rows",
        "columns": "fleet_plans.COLUMNS",
        "line": "fleet_plans.plan_line",
        "layout": "fleet_plans.plan_layout",
        "html": "html.fleet_pages.plan_page",
    },
    "FleetChanges": {
        "rows": "fleet_changes.changes_rows",
        "columns": "fleet_changes.COLUMNS",
        "line": "fleet_changes.changes_line",
        "layout": "fleet_changes.changes_layout",
        "markdown": "fleet_changes.changes_markdown",
    },
    "LiveHistory": {
        "dict": "live_history.history_document",
        "rows": "live_history.history_rows",
        "columns": "live_history.COLUMNS",
        "layout": "live_text.history_layout",
        "view": "live_text.history_view",
        "html": "html.live_page.history_page",
    },
    "MonitorReport": {
        "rows": "monitor_report.report_rows",
        "columns": "monitor_report.COLUMNS",
        "findings": "monitor_report.findings",
        "line": "monitor_report.report_line",
        "layout": "monitor_report.report_layout",
        "html": "html.monitor_report_page.report_page",
    },
    "Advice": {
        "rows": "advice.advice_rows",
        "columns": "advice.COLUMNS",
        "line": "advice.advice_line",
        "layout": "advice.advice_layout",
        "markdown": "advice_markdown.advice_markdown",
        "html": "html.advice_page.advice_page",
    },
    "Sparsity": {
        "rows": "sparsity.sparsity_rows",
        "columns": "sparsity.COLUMNS",
        "layout": "sparsity.sparsity_layout",
    },
    "ActivationSparsity": {
        "layout": "sparsity.activation_layout",
    },
    "SparsitySpeedup": {
        "layout": "sparsity.speedup_layout",
    },
    "Tradeoff": {
        "layout": "tradeoff.tradeoff_layout",
    },
    "Sensitivity": {
        "layout": "sensitivity.sensitivity_layout",
    },
    "Allocation": {
        "layout": "sensitivity.allocation_layout",
    },
    "Sweep": {
        "dict": "documents.sweep_document",
        "rows": "sweeps.sweep_rows",
        "columns": "sweeps.sweep_names",
        "csv": "sweeps.sweep_csv",
        "layout": "sweeps.sweep_layout",
        "snippet": "sweeps.sweep_snippet",
        "pandas": "frames.sweep_to_pandas",
        "arrow": "frames.sweep_to_arrow",
        "polars": "frames.sweep_to_polars",
        "plot": "plots.draw_sweep.plot_sweep",
    },
    "StoredSweep": {
        "columns": "sweeps.sweep_names",
        "csv": "sweeps.stored_csv",
        "layout": "sweeps.stored_layout",
        _OTHERS: "sweeps.in_memory",
    },
}
"""Class -> form -> renderer, as `module.function` of this package."""


def render(result: object, form: str, **options: Any) -> Any:
    """Render a result in one form.

    Args:
        result: A result of this package.
        form: A form, such as `"text"`, `"dict"`, `"json"`, `"csv"`, `"markdown"`, `"html"`, `"snippet"`, `"rows"` or
            `"pandas"`; `forms(result)` lists the available ones.
        **options: Options of the form, which depend on the result: `depth` and `sort` of a profile's table, `width` of
            text.

    Returns:
        The form: text, a dict, pieces of text (`"csv"`), a rich renderable (`"view"`), axes (`"plot"`), a data frame.

    Raises:
        InputTypeError: The object is not a result.
        InputError: The result does not have the form.
    """
    own = _own(result)
    text(form, "form")
    if form not in own and _OTHERS in own and form not in _COMPOSED:
        return render(_found(own[_OTHERS])(result), form, **options)
    place = own.get(form) or _ANY.get(form)
    if place is None:
        raise InputError(f"a {type(result).__name__} has no form {form!r}; expected one of {', '.join(forms(result))}")
    found = _found(place)
    return found(result, **options) if callable(found) else found


def forms(result: object) -> tuple[str, ...]:
    """Return the names of the forms that a result has."""
    return tuple(sorted({*_own(result), *_ANY} - {_OTHERS}))


def _found(place: str) -> Any:
    module, _, name = place.rpartition(".")
    return getattr(import_module(f"{__package__}.{module}"), name)


def _own(result: object) -> dict[str, str]:
    for kind in type(result).__mro__:
        if kind.__name__ in _RENDERERS and kind.__module__.startswith("pyinfercost."):
            return _RENDERERS[kind.__name__]
    raise InputTypeError(
        f"got a {type(result).__name__}, which is not a result; expected one of {', '.join(_RENDERERS)}"
    )

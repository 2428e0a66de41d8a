"""The catalog of figures, from which every list of figures derives."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner
from support.toy_graphs import transformer

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.predict.limits import LIMITED
from pyinfercost.report.plots.breakdown import VALUES
from pyinfercost.report.plots.curves import MEASURES
from pyinfercost.report.rows import SORTS
from pyinfercost.results import figures
from pyinfercost.sweeps.selection import DIRECTIONS

SCOPES = {
    value for name, value in vars(figures).items() if name.isupper() and isinstance(value, str) and len(name) > 1
} - {figures.LESS, figures.MORE}
ENDINGS = {"s": "_s", "B": "_bytes", "FLOP": "flops", "J": "_j", "g": "_g", "per s": "_per_s", "USD": "_usd"}


@pytest.fixture(scope="module")
def profile() -> ic.results.Profile:
    return ic.profile(transformer(), hardware="l4", price="g6.4xlarge", batch=4)


@pytest.mark.parametrize("figure", figures.CATALOG, ids=lambda figure: figure.key)
def test_a_row_says_what_its_figure_is(figure: figures.Figure) -> None:
    assert re.fullmatch(r"[a-z0-9_]+", figure.key)
    assert figure.title
    assert figure.words
    assert figure.scopes <= SCOPES
    assert figure.needs <= SCOPES
    assert figure.better in (figures.LESS, figures.MORE, "")
    assert (figure.items == figures.MILLION) <= bool(figure.per)
    # The unit stands in the key; what is per a million or per a token has it before that.
    if figure.unit in ENDINGS and not figure.per and "_per_" not in figure.key.removesuffix("_per_s"):
        assert figure.key.endswith(ENDINGS[figure.unit]) or figure.key.startswith("bytes_")
    for scope, other in figure.after.items():
        assert scope in figure.scopes
        assert scope in figures.FIGURES[other].scopes


def test_keys_are_unique() -> None:
    assert len(figures.FIGURES) == len(figures.CATALOG)


def test_a_scope_may_have_another_order_than_the_catalog() -> None:
    sweep, grid = figures.keys(figures.SWEEP), figures.keys(figures.GRID)
    assert sweep[sweep.index("peak_memory_bytes") - 1] == "energy_per_item_j"
    assert grid[grid.index("peak_memory_bytes") - 1] == "throughput_per_s"
    assert set(sweep) == {figure.key for figure in figures.CATALOG if figures.SWEEP in figure.scopes}


def test_documents_have_the_figures_of_their_scopes(profile: ic.results.Profile) -> None:
    document = profile.to_dict()
    assert tuple(document["totals"]) == figures.keys(figures.TOTAL)
    assert set(figures.keys(figures.ESTIMATE)) <= document["estimate"].keys()
    for layer in document["layers"]:
        assert set(figures.keys(figures.LAYER)) <= layer.keys()
    assert tuple(profile.figures) == figures.MODEL_KEYS
    compared = ic.compare(before=profile, after=profile)
    assert tuple(compared.totals) == figures.keys(figures.CHANGE)
    assert all(tuple(row.figures) == figures.keys(figures.MODULE) for row in compared.modules)
    assert set(LIMITED) - set(figures.keys(figures.CHANGE)) == {"unmodelled_ops"}


def test_figures_are_attributes(profile: ic.results.Profile) -> None:
    assert profile.estimate is not None
    for key in figures.keys(figures.ESTIMATE):
        assert hasattr(profile.estimate, key)
    (row, *_) = ic.compare(before=profile, after=profile).modules
    assert row.latency_s is row.figures["latency_s"]
    assert "latency_s" in dir(row)
    with pytest.raises(AttributeError, match="'ModuleChange' object has no attribute 'latncy_s'"):
        row.latncy_s  # noqa: B018


def test_a_sweep_has_the_figures_whose_needs_are_given() -> None:
    graph = transformer()
    always = {key for key in figures.keys(figures.SWEEP) if not figures.FIGURES[key].needs & _GIVEN}
    identity = {"hardware", "precision", "execution", "batch", "sequence", "evidence", "emulated_by"}
    bare = ic.sweep(graph, hardware="l4", batch=[1, 2])
    assert set(bare.columns) - identity == always
    priced = ic.sweep(graph, hardware="l4", batch=[1, 2], price=1.0)
    assert set(priced.columns) - set(bare.columns) == {"cost_usd", "usd_per_h"}
    more_is_better = {key for key, more in DIRECTIONS.items() if more}
    assert more_is_better == {"throughput_per_s", "tokens_per_s", "machine_memory_bytes", "max_sequences"}
    assert set(MEASURES) == set(figures.keys(figures.SWEEP)) - {"fits_in_memory"}


_GIVEN = {figures.PRICE, figures.PLACE, figures.TOKENS, figures.CACHE, figures.PREFILL, figures.DECODE}


def test_rows_sort_and_break_down_by_their_figures(profile: ic.results.Profile) -> None:
    assert (*(figure.sort for figure in figures.of_scope(figures.SORT)), "share") == SORTS
    assert tuple(VALUES) == figures.keys(figures.PART)
    for sort in SORTS:
        assert profile.to_text(sort=sort)
    refused = CliRunner().invoke(main, ["profile", "toy.json", "--sort", "speed"])
    assert refused.exit_code == 2
    assert all(sort in refused.output for sort in SORTS)


def test_the_page_gets_the_rows_of_its_cards(profile: ic.results.Profile) -> None:
    page = profile.to_html()
    (text,) = re.findall(r'<script type="application/json" id="pyinfercost-figures">(.*?)</script>', page)
    cards = json.loads(text)["cards"]
    assert {card["key"] for card in cards} == set(figures.keys(figures.CARD))
    assert [card["machine"] for card in cards] == sorted((card["machine"] for card in cards), reverse=True)
    (cost,) = [card for card in cards if card["key"] == "cost_usd"]
    assert (cost["title"], cost["unit"], cost["items"], cost["per"]) == ("Cost", "USD", 10**6, "items of the batch")

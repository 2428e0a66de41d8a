"""The page for Prometheus: every figure of the catalog, exact, in both formats, whatever an observer does."""

from __future__ import annotations

import logging
import random
import shutil
import socket
import subprocess
import time
import urllib.request
from math import ldexp, nan
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as of_openmetrics
from prometheus_client.parser import text_string_to_metric_families as of_text
from support.scripted_observer import EDGES, ScriptedObserver, busy_observer

from pyinfercost import _core
from pyinfercost.errors import InputError
from pyinfercost.monitor.exporters import PrometheusExporter, PrometheusTextfileExporter, metrics_page
from pyinfercost.monitor.exporters.buckets import cumulative
from pyinfercost.monitor.metric_names import INFO_LABELS, otel_name, otel_unit, prometheus_name
from pyinfercost.results.live import Distribution, Series
from pyinfercost.results.live_figures import LIVE_FIGURES

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples_of(page: bytes, parse: Any = of_text) -> Samples:
    found: Samples = {}
    for family in parse(page.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, "a series stands on the page once"
            found[key] = sample.value
    return found


def sample(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


@pytest.mark.parametrize(("accept", "parse"), [("", of_text), (OPENMETRICS, of_openmetrics)])
def test_every_figure_is_on_the_page_with_its_exact_value(accept: str, parse: Any) -> None:
    observer = busy_observer()
    page, content_type = metrics_page([observer], accept)
    assert content_type.startswith("application/openmetrics-text" if accept else "text/plain")
    samples = samples_of(page, parse)
    for each, value in observer.values.items():
        name = prometheus_name(LIVE_FIGURES[each.figure])
        assert sample(samples, name, model="small", **dict(each.labels)) == value
    for each, distribution in observer.distributions.items():
        name = prometheus_name(LIVE_FIGURES[each.figure])
        assert sample(samples, f"{name}_sum", model="small") == distribution.total
        assert sample(samples, f"{name}_count", model="small") == distribution.count
        for bound in EDGES:
            below = sample(samples, f"{name}_bucket", model="small", le=str(bound))
            assert below == distribution.at_most(bound)
    types = {family.name: family.type for family in parse(page.decode())}
    for figure in LIVE_FIGURES.values():
        assert types[prometheus_name(figure).removesuffix("_total")] == figure.kind


def test_help_is_that_of_the_catalog() -> None:
    page = metrics_page([busy_observer()])[0].decode()
    for figure in LIVE_FIGURES.values():
        assert f"# HELP {prometheus_name(figure)} {figure.help}\n" in page


def test_names_have_base_units() -> None:
    names = {key: prometheus_name(figure) for key, figure in LIVE_FIGURES.items()}
    assert names["energy_j"] == "pyinfercost_energy_joules_total"
    assert names["power_w"] == "pyinfercost_power_watts"
    assert names["kv_cache_use_share"] == "pyinfercost_kv_cache_use_ratio"
    assert names["predicted_low_s"] == "pyinfercost_predicted_low_seconds_total"
    assert names["items"] == "pyinfercost_items_total"
    assert names["price_usd_per_h"] == "pyinfercost_price_usd_per_hour"
    assert names["ttft_s"] == "pyinfercost_ttft_seconds"
    assert len(set(names.values())) == len(names)
    assert otel_name(LIVE_FIGURES["ttft_s"]) == "gen_ai.server.time_to_first_token"
    assert (otel_name(LIVE_FIGURES["energy_j"]), otel_unit(LIVE_FIGURES["energy_j"])) == ("pyinfercost.energy", "J")
    assert (otel_name(LIVE_FIGURES["items"]), otel_unit(LIVE_FIGURES["items"])) == ("pyinfercost.items", "{item}")


@pytest.mark.server
@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool (Debian: prometheus)")
def test_promtool_finds_nothing_to_mend() -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics_page([busy_observer()])[0], capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_what_is_observed_is_one_series() -> None:
    samples = samples_of(metrics_page([busy_observer()])[0])
    (labels,) = [dict(found) for name, found in samples if name == "pyinfercost_info"]
    assert set(labels) == set(INFO_LABELS)
    assert (labels["hardware"], labels["engine"], labels["version"]) == ("l4", "vllm", _core.__version__)
    assert (labels["layout"], labels["model"]) == ("", "small")


def test_observers_of_one_page() -> None:
    first, second, third = busy_observer("a"), busy_observer("b"), busy_observer("a")
    third.set("energy_j", 9.0)
    samples = samples_of(metrics_page([first, second, third])[0])
    assert sample(samples, "pyinfercost_energy_joules_total", model="a (2)") == 9.0
    assert {dict(labels)["model"] for name, labels in samples if name == "pyinfercost_up"} == {"a", "b", "a (2)"}


def test_an_observer_that_fails_is_counted_and_the_others_are_exported(caplog: pytest.LogCaptureFixture) -> None:
    good, bad = busy_observer("good"), busy_observer("bad")
    assert sample(samples_of(metrics_page([bad, good])[0]), "pyinfercost_up", model="bad") == 1.0
    bad.fails = RuntimeError("no\x1b[2Janswer")
    for times in (1, 2):
        samples = samples_of(metrics_page([bad, good])[0])
        errors = "pyinfercost_exporter_errors_total"
        assert sample(samples, errors, model="bad", exporter="prometheus") == times
        assert sample(samples, errors, model="good", exporter="prometheus") == 0
        assert sample(samples, "pyinfercost_up", model="good") == 1.0
        assert ("pyinfercost_up", (("model", "bad"),)) not in samples
    assert len(caplog.records) == 1, "the first failure is logged, further ones are counted"
    assert r"\x1b" in caplog.text
    bad.fails = None
    samples = samples_of(metrics_page([bad, good])[0])
    assert sample(samples, errors, model="bad", exporter="prometheus") == 2
    assert sample(samples, "pyinfercost_up", model="bad") == 1.0


class Garbage:
    """An observer that returns what no observer should."""

    __slots__ = ("answer",)

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def snapshot(self) -> Any:
        return self.answer


@pytest.mark.parametrize("answer", [None, 7, "text", object()])
def test_no_answer_of_an_observer_breaks_the_page(answer: Any) -> None:
    samples = samples_of(metrics_page([Garbage(answer), busy_observer()])[0])
    assert sample(samples, "pyinfercost_exporter_errors_total", model="unknown", exporter="prometheus") == 1


def test_labels_and_values_that_a_page_cannot_hold() -> None:
    observer = ScriptedObserver('quote" back\\slash\nline \ud800 half')
    observer.set("up", nan)
    observer.add("requests", 3, outcome="\udfff")
    observer.values[Series("no_such_figure")] = 1.0
    other = busy_observer()
    samples = samples_of(metrics_page([observer, other])[0])
    model = 'quote" back\\slash\nline ? half'
    assert sample(samples, "pyinfercost_exporter_errors_total", model=model, exporter="prometheus") == 1
    del observer.values[Series("no_such_figure")]
    samples = samples_of(metrics_page([observer])[0])
    assert sample(samples, "pyinfercost_requests_total", model=model, outcome="?") == 3
    assert ("pyinfercost_up", (("model", model),)) not in samples, "not a number is no value"


@pytest.mark.parametrize(
    "accept", [None, "", ",;=", "application/openmetrics-text; version=x.y", "text/plain;version=."]
)
def test_any_header_gets_a_page(accept: str | None) -> None:
    page, content_type = metrics_page([busy_observer()], accept)
    assert b"pyinfercost_up" in page
    assert content_type.startswith("text/plain")


# ---- histograms ------------------------------------------------------------------------------------------------------


def sketch(values: list[float]) -> Distribution:
    """The distribution of a sketch: occupied intervals of 64 parts of an octave, with both edges."""
    edges = sorted(
        {0.0} | {ldexp(1 + part / 64, octave) for octave in range(-20, 30) for part in range(64)} | {ldexp(1.0, 30)}
    )
    counts: dict[tuple[float, float], int] = {}
    for value in values:
        place = max(place for place, edge in enumerate(edges) if edge <= value)
        cell = (edges[place], edges[place + 1])
        counts[cell] = counts.get(cell, 0) + 1
    bounds: list[float] = []
    inside: list[int] = []
    for (lower, upper), count in sorted(counts.items()):
        if lower and (not bounds or bounds[-1] < lower):
            bounds.append(lower)
            inside.append(0)
        bounds.append(upper)
        inside.append(count)
    return Distribution(tuple(bounds), (*inside, 0), sum(values))


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_a_sketch_is_exported_at_the_same_powers_of_two_with_exact_counts(count: int) -> None:
    rng = random.Random(count)
    values = [rng.lognormvariate(-2.0, 1.5) for _ in range(count)]
    bounds, counts = cumulative(sketch(values), seconds=True)
    assert bounds == tuple(2.0**power for power in range(-13, 11))
    assert counts == (*(sum(value <= bound for value in values) for bound in bounds), count)


def test_whole_numbers_at_the_edge_of_an_interval() -> None:
    values = [1.0, 2.0, 512.0, 512.0, 511.0, 513.0, 1024.0]
    bounds, counts = cumulative(sketch(values), seconds=False)
    assert bounds[:4] == (0.0, 1.0, 3.0, 7.0)
    assert counts == (*(sum(value <= bound for value in values) for bound in bounds), len(values))


def test_a_histogram_from_elsewhere_keeps_its_bounds() -> None:
    for own in (EDGES, (1.0, 2.0, 4.0, 8.0), (1.0, 2.0, 5.0, 10.0), ()):
        counts = tuple(range(1, len(own) + 2))
        distribution = Distribution(own, counts, 1.0)
        if own:
            assert cumulative(distribution, seconds=False).bounds == own


# ---- exporters -------------------------------------------------------------------------------------------------------


def read(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return bytes(answer.read())


def test_exporters_of_one_registry_share_its_names() -> None:
    registry = CollectorRegistry()
    exporters = [PrometheusExporter(registry=registry) for _ in range(2)]
    for exporter, model in zip(exporters, ("a", "b"), strict=True):
        exporter.start(busy_observer(model))
    assert registry.get_sample_value("pyinfercost_up", {"model": "a"}) == 1.0
    assert registry.get_sample_value("pyinfercost_up", {"model": "b"}) == 1.0
    exporters[0].close()
    exporters[0].close()
    assert registry.get_sample_value("pyinfercost_up", {"model": "a"}) is None
    assert registry.get_sample_value("pyinfercost_up", {"model": "b"}) == 1.0


def test_a_server_of_its_own() -> None:
    exporter = PrometheusExporter(0)
    observer = busy_observer()
    exporter.start(observer)
    assert exporter.port is not None
    assert sample(samples_of(read(exporter.port)), "pyinfercost_up", model="small") == 1.0
    observer.fails = OSError("gone")
    assert b"pyinfercost_exporter_errors_total" in read(exporter.port)
    assert exporter.errors == 1
    exporter.close()
    exporter.close()
    with pytest.raises(OSError, match="refused"):
        read(exporter.port)


def test_a_port_in_use_is_tried_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("pyinfercost.monitor.exporters.prometheus._RETRY_S", 0.01)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        exporter = PrometheusExporter(port)
        exporter.start(busy_observer())
        while exporter.errors < 3:
            time.sleep(0.002)
    while exporter.port is None:
        time.sleep(0.002)
    assert b"pyinfercost_up" in read(port)
    exporter.close()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert f"127.0.0.1:{port}" in caplog.text


def test_a_port_is_not_a_registry() -> None:
    with pytest.raises(InputError, match="port and registry"):
        PrometheusExporter(9400, registry=CollectorRegistry())
    with pytest.raises(InputError, match="port is 70000"):
        PrometheusExporter(70_000)


def test_a_file_for_the_node_exporter(tmp_path: Path) -> None:
    exporter = PrometheusTextfileExporter(tmp_path / "model.prom", interval_s=600)
    exporter.start(busy_observer())
    exporter.close()
    assert samples_of((tmp_path / "model.prom").read_bytes()) == samples_of(metrics_page([busy_observer()])[0])
    gone = PrometheusTextfileExporter(tmp_path / "gone" / "model.prom", interval_s=600)
    gone.start(busy_observer())
    gone.close()
    assert gone.errors == 1

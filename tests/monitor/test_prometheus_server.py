"""A real Prometheus beside real observers: its queries return what was counted, and its alerts are raised."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.engine_server import VllmProcess, serving_pages
from support.prometheus_server import MovingObserver, PrometheusServer, free_port, grown, wait_until
from support.toy_graphs import blocks

from pyinfercost import Deployment, Monitor
from pyinfercost.monitor.drift import Drift
from pyinfercost.monitor.exporters import PrometheusExporter, metrics_page
from pyinfercost.monitor.live_page import LivePage
from pyinfercost.monitor.provisioning import MonitorConfig
from pyinfercost.monitor.sidecar import Sidecar

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("prometheus"), reason="needs prometheus (Debian: prometheus)"),
]

ON = Deployment(hardware="l4", price=3.6)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Any]:
    """Make servers of Prometheus, which end with the test."""
    made: list[PrometheusServer] = []

    def make(**settings: Any) -> PrometheusServer:
        made.append(PrometheusServer(tmp_path / str(len(made)), MonitorConfig(**settings)))
        made[-1].start()
        return made[-1]

    yield make
    for server in made:
        server.kill()


# ---- the dashboard ---------------------------------------------------------------------------------------------------


def filled(expression: str, **variables: str) -> str:
    """Replace the variables of a dashboard as Grafana does for a scrape interval of one second."""
    known = {"__rate_interval": "4s", "__range": "30s", **variables}
    return re.sub(r"\$(\w+)", lambda found: known[found[1]], expression)


def values_of(server: PrometheusServer, definition: str, **variables: str) -> list[str]:
    """Return the choices of a variable."""
    found = re.fullmatch(r"label_values\((.*), (\w+)\)", filled(definition, **variables))
    assert found is not None
    return list(server.get(f"label/{found[2]}/values", **{"match[]": found[1]}))


def titles_without_series(server: PrometheusServer, model: str) -> set[str]:
    """Evaluate all queries of the dashboard for a model, and return titles of panels with a query without series."""
    board = json.loads((server.folder / "grafana/dashboards/pyinfercost.json").read_text())
    definitions = {each["name"]: each["definition"] for each in board["templating"]["list"] if "definition" in each}
    assert model in values_of(server, definitions["model"])
    parts = values_of(server, definitions["part"], model=model)
    now_s = time.time()
    empty = set()
    for panel in board["panels"]:
        for part in parts if "repeat" in panel else ["none"]:
            for target in panel.get("targets", ()):
                expression = filled(target["expr"], model=model, part=part)
                found = server.query(expression)
                if target["range"]:
                    found = server.get("query_range", query=expression, start=now_s - 30, end=now_s, step=1)["result"]
                if not found:
                    empty.add(panel["title"])
        if "repeat" in panel and not parts:
            empty.add(panel["title"])
    return empty


def test_every_query_of_the_dashboard_has_series(servers: Any) -> None:
    ports = [free_port() for _ in range(2)]
    engine = VllmProcess(time.time(), model="served")
    monitor = Monitor(blocks(), on=ON, name="in-process", exporters=f"prometheus:{ports[0]}", energy=None)
    moving = PrometheusExporter(ports[1])
    moving.start(MovingObserver("org/all.figures (8b)"))
    with (
        serving_pages(page=engine.page()) as pages,
        Sidecar(pages.url, engine="vllm", on=ON, interval_s=0.25) as sidecar,
        LivePage(sidecar, address="127.0.0.1:0", metrics=metrics_page) as page,
        monitor,
    ):
        monitor._drift = Drift(warm_up_s=0, first_s=0.5, lately_s=0.5)
        targets = tuple(f"127.0.0.1:{port}" for port in (*ports, page.port))
        server = servers(scrape_interval_s=1, plan_usd_per_million_tokens=1e-9, targets=targets)

        def is_alerted() -> bool:
            engine.answer(50, 20)
            engine.kv.set(0.5)
            pages.page = engine.page()
            with monitor.request(items=2, prompt_tokens=3, waiting=True) as request:
                request.start()
                request.first_token()
                request.output_tokens = 4
            return {"org/all.figures (8b)", "in-process", "served"} <= {
                each["metric"]["model"] for each in server.query('ALERTS{alertstate="firing"}')
            }

        wait_until(is_alerted, "alerts")
        groups = server.get("rules")["groups"]
        assert {group["name"] for group in groups} == {
            "pyinfercost_recorded",
            "pyinfercost_slowdown",
            "pyinfercost_alerts",
        }
        assert {(rule["health"], rule.get("lastError", "")) for group in groups for rule in group["rules"]} == {
            ("ok", "")
        }
        assert titles_without_series(server, "org/all.figures (8b)") == set()
        # What these two do not count: nothing measures energy here, and there is no plan.
        unmeasured = {"Power", "Energy in the time shown", "Energy of a generated token"}
        unplanned = {
            "Money for 10^6 generated tokens",
            "Money per hour and its plan",
            "Requests and their plan",
            "Replicas and their plan",
        }
        of_engine = {
            *("Server answers", "Readings of the server per second", "Restarts of the server in an hour"),
            *("Blocks of the KV cache in use", "Preemptions per second"),
        }
        assert titles_without_series(server, "in-process") == unmeasured | unplanned | of_engine
        of_predictions = {
            *("Measured / predicted: $part", "Measured and predicted seconds per second"),
            *("Measured / predicted, by replica", "Measured / predicted, compared with the start"),
            *("FLOP/s of the model", "Memory traffic of the model", "Share of the peak FLOP/s and of the bandwidth"),
        }
        assert titles_without_series(server, "served") == (
            unmeasured | unplanned | of_predictions | {"Tokens per second", "Items of a request"}
        )
    moving.close()


# ---- restarts --------------------------------------------------------------------------------------------------------


def agrees(increase: float | None, samples: list[tuple[float, float]], counted: float) -> None:
    """Compare what was scraped with what was counted: exactly, and `increase` up to its extrapolation.

    `increase` adds at most half of a mean interval at either end.
    """
    assert grown(samples) == counted
    assert increase is not None
    assert counted * (1 - 1e-9) <= increase <= counted * (1 + 1 / (len(samples) - 1))


def test_restarts_of_prometheus_and_of_the_exporter(servers: Any) -> None:
    port = free_port()
    requests = 'pyinfercost_requests_total{outcome="ok"}'
    tokens = "pyinfercost_output_tokens_total"
    server = None

    def scraped(name: str, value: float) -> None:
        wait_until(lambda: server.value(name) == value, f"{name} of {value:g}")
        wait_until(lambda: len(server.samples(name)) >= least, "a few scrapes")

    def serve(monitor: Monitor, times: int) -> None:
        for _ in range(times):
            with monitor.request(prompt_tokens=3) as request:
                request.output_tokens = 7

    least = 3
    with Monitor(name="small", on=ON, exporters=f"prometheus:{port}", energy=None) as monitor:
        server = servers(scrape_interval_s=1, targets=(f"127.0.0.1:{port}",))
        scraped(requests, 0)
        serve(monitor, 50)
        scraped(requests, 50)
        server.kill()
        serve(monitor, 30)  # nobody looks
        server.start()
        scraped(requests, 80)
        spent_usd = None
    spent_usd = monitor.snapshot().value("cost_usd")
    wait_until(lambda: server.value("up") == 0, "a scrape that fails")
    with Monitor(name="small", on=ON, exporters=f"prometheus:{port}", energy=None) as monitor:
        wait_until(lambda: server.value("up") == 1, "the new exporter")
        serve(monitor, 20)
        scraped(requests, 20)
        least = 12
        scraped(requests, 20)
        agrees(server.value(f"increase({requests}[10m])"), server.samples(requests), 100)
        agrees(server.value(f"increase({tokens}[10m])"), server.samples(tokens), 700)
        # Money, with what was spent before the first scrape: at most that of all seconds, at least of all scraped ones.
        uses = server.query("sum by (use) (increase(pyinfercost_cost_usd_total[10m]))")
        assert {each["metric"]["use"] for each in uses} == {"busy", "idle", "cold"}
        scraped_usd = sum(
            grown(server.samples(f'pyinfercost_cost_usd_total{{use="{use}"}}')) for use in ("busy", "idle")
        )
        now_usd = monitor.snapshot().value("cost_usd")
        assert spent_usd is not None
        assert now_usd is not None
        assert 0 < scraped_usd <= spent_usd + now_usd


def test_a_sidecar_that_is_killed(servers: Any, tmp_path: Path) -> None:
    port = free_port()
    engine = VllmProcess(time.time(), model="served")
    tokens = "pyinfercost_output_tokens_total"
    command = [sys.executable, "-m", "pyinfercost", "monitor", "--engine", "vllm", "--interval", "0.2"]
    server = servers(scrape_interval_s=0.5, targets=(f"127.0.0.1:{port}",))

    def answer(times: int) -> None:
        for _ in range(times):
            engine.answer(10, 5)
            pages.page = engine.page()

    def counts(value: float) -> None:
        wait_until(lambda: server.value(tokens) == value, f"{value:g} tokens")

    with serving_pages(page=engine.page()) as pages:
        answer(100)  # before anybody looks
        for round_number in range(2):
            with (tmp_path / "log").open("ab") as log:
                sidecar = subprocess.Popen(
                    [*command, "--scrape", pages.url, "--listen", f"127.0.0.1:{port}"],
                    stdout=log,
                    stderr=log,
                    cwd=tmp_path,
                )
            try:
                counts(0)
                answer(10 * (round_number + 1))
                counts(50 * (round_number + 1))
            finally:
                sidecar.send_signal(signal.SIGKILL)
                sidecar.wait()
            wait_until(lambda: server.value("up") == 0, "a scrape that fails")
    # 10 and 20 requests of 5 tokens; those of before are not of the time of a sidecar.
    agrees(server.value(f"increase({tokens}[10m])"), server.samples(tokens), 150)


# ---- alerts ----------------------------------------------------------------------------------------------------------


def test_a_slowdown_is_an_alert_after_two_scrapes(servers: Any) -> None:
    """A model that becomes 1.5 times as slow, with the observer's own ratio to its start."""
    port = free_port()
    ratio = "pyinfercost_measured_to_first"
    firing = 'ALERTS{alertname="PyinfercostSlowdown",alertstate="firing"}'
    pause_s = [0.02]
    with Monitor(blocks(), on=ON, name="toy", exporters=f"prometheus:{port}", energy=None) as monitor:
        monitor._drift = Drift(warm_up_s=0, first_s=3, lately_s=0.9, lately_number=5)
        model = monitor.instrument(lambda: time.sleep(pause_s[0]), count=lambda *_: 1)
        server = servers(scrape_interval_s=1, slowdown=1.3, targets=(f"127.0.0.1:{port}",))

        def worked(condition: Any) -> Any:
            def is_so() -> Any:
                for _ in range(5):
                    model()
                return condition()

            return is_so

        wait_until(worked(lambda: (server.value(ratio) or 9) < 1.15 and len(server.samples(ratio)) >= 3), "a ratio", 0)
        assert server.query(firing) == []
        began_s = time.time()
        pause_s[0] *= 1.6
        wait_until(worked(lambda: server.query(firing)), "an alert", 0)
        fired_s = server.samples(firing)[0][0]
        between = [at_s for at_s, _ in server.samples(ratio) if began_s < at_s <= fired_s]
        assert len(between) <= 2
        pause_s[0] = 0.02
        wait_until(worked(lambda: not server.query(firing)), "the end of the alert", 0)

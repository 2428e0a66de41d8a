"""Generated configuration: nothing in it is unknown to an exporter, and no figure is left out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families
from support.grafana_units import UNITS
from support.metric_table import PAGE, with_table
from support.scripted_observer import busy_observer

from pyinfercost.cli.deployment_options import deployment_of_options
from pyinfercost.cli.monitor_command import monitor
from pyinfercost.cli.monitor_config_command import config as command
from pyinfercost.errors import ExistingFileError, FileAccessError
from pyinfercost.monitor.exporters import metrics_page
from pyinfercost.monitor.metric_names import INFO_LABELS
from pyinfercost.monitor.provisioning import MonitorConfig, MonitorConfigError, config_files, write_config
from pyinfercost.monitor.provisioning import panels as panels_module
from pyinfercost.monitor.provisioning.dashboard import dashboard
from pyinfercost.monitor.provisioning.queries import keys_in
from pyinfercost.monitor.provisioning.rules import rules
from pyinfercost.results import live_figures
from pyinfercost.results.live_figures import COUNTER, GAUGE, HISTOGRAM, LIVE_FIGURES, LiveFigure

CONFIGS = [
    MonitorConfig(),
    MonitorConfig(
        scrape_interval_s=0.5,
        plan_usd_per_million_tokens=1e-5,
        band=(0.7, 1.4),
        power_limit_w=300,
        job="cost-of_models.2",
        targets=("[::1]:9400", "host.example:80"),
        engine="sglang",
        hardware="h100-sxm-80gb",
        price="aws/p5.48xlarge:spot",
        layout="tensor=4",
        precision="fp8",
    ),
    MonitorConfig(engine="triton", hardware="xeon-8480+", price="2.5/h"),
    MonitorConfig(engine="tgi"),
]


def files_of(config: MonitorConfig) -> dict[str, str]:
    return {each.name: each.content for each in config_files(config)}


def panels_of(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (panel for panel in board["panels"] if panel["type"] != "row")


def expressions(config: MonitorConfig) -> list[str]:
    """Every expression that Prometheus is to evaluate."""
    board = dashboard(config)
    found = [rule["expr"] for group in rules(config)["groups"] for rule in group["rules"]]
    found += [target["expr"] for panel in panels_of(board) for target in panel["targets"]]
    found += [each["expr"] for each in board["annotations"]["list"]]
    return found + [each["definition"] for each in board["templating"]["list"] if each["type"] == "query"]


def exported() -> dict[str, set[str]]:
    """Names of samples of an exporter's page -> their labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics_page([busy_observer()])[0].decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {"job", "instance"}).update(sample.labels)
    return found


SELECTOR = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)\{(?P<labels>[^}]*)\}")
WORDS = re.compile(r"(?<![\w.])[a-zA-Z_:][\w:]*")
FUNCTIONS = {
    *("sum", "max", "count", "rate", "irate", "increase", "histogram_quantile", "clamp_max", "last_over_time"),
    *("max_over_time", "absent", "label_values", "by", "on", "and", "or", "unless", "offset", "bool"),
}


def series_in(expression: str) -> set[str]:
    """Names of series in an expression: its words, but for functions, labels, durations and texts."""
    plain = re.sub(r'"[^"]*"', "", expression)
    plain = re.sub(r"\[[^\]]*\]|offset \w+", "", plain)
    plain = re.sub(r"\b(by|on) \([^)]*\)", "", plain)
    plain = re.sub(r"\{[^}]*\}", "", plain)
    plain = re.sub(r"label_values\((.*), \w+\)", r"\1", plain, flags=re.DOTALL)
    return {word for word in WORDS.findall(plain) if word not in FUNCTIONS}


@pytest.mark.parametrize("config", CONFIGS)
def test_every_series_is_exported_or_recorded(config: MonitorConfig) -> None:
    recorded = {rule["record"] for group in rules(config)["groups"] for rule in group["rules"] if "record" in rule}
    known = exported()
    for expression in expressions(config):
        names = series_in(expression)
        assert names, expression
        assert names <= {*known, *recorded, "up", "ALERTS"}, expression
        for selector in SELECTOR.finditer(expression):
            labels = set(re.findall(r"(\w+)=", selector["labels"]))
            if selector["name"] in known:
                assert labels <= known[selector["name"]], expression


@pytest.mark.parametrize("config", CONFIGS)
def test_every_figure_is_shown(config: MonitorConfig) -> None:
    shown = {
        key for panel in panels_of(dashboard(config)) for each in panel["targets"] for key in keys_in(each["expr"])
    }
    assert shown == set(LIVE_FIGURES)


def test_an_unknown_series_is_found() -> None:
    with pytest.raises(KeyError):
        keys_in("rate(pyinfercost_no_such_thing_total[1m])")
    assert keys_in("model:pyinfercost_cost_usd_per_hour:rate") == ["cost_usd"]
    assert keys_in("pyinfercost_ttft_seconds_bucket / pyinfercost_up") == ["ttft_s", "up"]


@pytest.mark.parametrize(
    ("figure", "unit", "expression"),
    [
        (LiveFigure("spare_w", GAUGE, "Power that is left.", ()), "watt", 'pyinfercost_spare_watts{model="$model"}'),
        (
            LiveFigure("moved_bytes", COUNTER, "Bytes on links.", ("kind",)),
            "short",
            'sum by (kind) (rate(pyinfercost_moved_bytes_total{model="$model"}[$__rate_interval]))',
        ),
        (LiveFigure("load_s", HISTOGRAM, "Time to load."), "s", None),
    ],
)
def test_a_new_figure_is_shown(
    monkeypatch: pytest.MonkeyPatch, figure: LiveFigure, unit: str, expression: str | None
) -> None:
    catalog = {**live_figures.LIVE_FIGURES, figure.key: figure}
    monkeypatch.setattr(panels_module, "LIVE_FIGURES", catalog)
    monkeypatch.setattr("pyinfercost.monitor.provisioning.queries.LIVE_FIGURES", catalog)
    row = panels_module.rows()[-1]
    (panel,) = row.panels
    assert (row.title, panel.title, panel.unit) == ("More", figure.help.rstrip("."), unit)
    assert len(panel.queries) == (3 if figure.kind == HISTOGRAM else 1)
    assert expression in (None, panel.queries[0].expression)


# ---- Grafana ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", CONFIGS)
def test_panels_have_a_place_and_an_identity(config: MonitorConfig) -> None:
    board = json.loads(files_of(config)["dashboard"])
    panels = board["panels"]
    assert max(Counter(panel["id"] for panel in panels).values()) == 1
    assert max(Counter(panel["title"] for panel in panels).values()) == 1
    places = [panel["gridPos"] for panel in panels]
    for place in places:
        assert place["x"] >= 0
        assert place["y"] >= 0
        assert 1 <= place["w"] <= 24 - place["x"]
        assert place["h"] >= 1
    for a, b in combinations(places, 2):
        assert (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        ), (a, b)
    # A repeated panel pushes what lies below it, so nothing lies beside it.
    for panel in panels:
        if "repeat" in panel:
            beside = [each for each in panels if each is not panel and each["gridPos"]["y"] == panel["gridPos"]["y"]]
            assert beside == []


@pytest.mark.parametrize("config", CONFIGS)
def test_the_form_of_the_dashboard(config: MonitorConfig) -> None:
    board = json.loads(files_of(config)["dashboard"])
    assert board["schemaVersion"] == 41
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", board["uid"])
    assert "id" not in board, "Grafana gives one"
    variables = {each["name"]: each for each in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    source = {"type": "prometheus", "uid": "${datasource}"}
    for each in variables.values():
        assert each.get("datasource", source) == source
    known = {f"${name}" for name in variables} | {"$__rate_interval", "$__range"}
    for panel in panels_of(board):
        assert panel["type"] in ("stat", "timeseries", "table")
        assert panel["datasource"] == source
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["title"]
        assert [target["refId"] for target in panel["targets"]] == [chr(65 + n) for n in range(len(panel["targets"]))]
        assert panel.get("repeat", "part") in variables
        for target in panel["targets"]:
            assert target["datasource"] == source
            used = set(re.findall(r"\$\w+", target["expr"]))
            assert used <= known, target["expr"]
            assert target["instant"] != target["range"]
            # A label in a legend is a label of the series.
            kept = re.findall(r"sum by \(([^)]*)\)", target["expr"])
            labels = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            figures = [LIVE_FIGURES[key] for key in keys_in(target["expr"])]
            of_series = {"job", "instance", "model", *(label for figure in figures for label in figure.labels)}
            assert labels <= (set(kept[-1].replace(" ", "").split(",")) if kept else of_series)
    for override in (each for panel in panels_of(board) for each in panel["fieldConfig"]["overrides"]):
        assert override["matcher"]["options"] in ("low", "high")


def test_the_band_is_drawn_between_its_series() -> None:
    panel = next(panel for panel in panels_of(dashboard(MonitorConfig())) if panel["fieldConfig"]["overrides"])
    assert [target["legendFormat"] for target in panel["targets"]] == ["high", "low", "measured"]


def test_colors_follow_the_theme() -> None:
    assert not re.search(r"#[0-9a-f]{6}", files_of(MonitorConfig())["dashboard"], re.IGNORECASE)


# ---- Prometheus ------------------------------------------------------------------------------------------------------


@pytest.mark.server
@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool (Debian: prometheus)")
@pytest.mark.parametrize("config", CONFIGS)
def test_promtool_finds_nothing_to_mend(config: MonitorConfig, tmp_path: Path) -> None:
    write_config(tmp_path, config)
    stack = yaml.safe_load((tmp_path / "helm/stack-values.yml").read_text())
    (tmp_path / "map.yml").write_text(yaml.safe_dump(stack["additionalPrometheusRulesMap"]["pyinfercost"]))
    for words in (
        ("check", "config", "--lint=all", "--lint-fatal", "prometheus/prometheus.yml"),
        ("check", "rules", "--lint=all", "--lint-fatal", "prometheus/rules.yml", "map.yml"),
    ):
        ran = subprocess.run(["promtool", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_windows_follow_the_scrape_interval() -> None:
    for interval_s, window, quarter in ((15, "[60s]", "3750ms"), (1, "[4s]", "250ms"), (0.5, "[2s]", "125ms")):
        found = rules(MonitorConfig(scrape_interval_s=interval_s))
        text = json.dumps(found)
        assert set(re.findall(r"irate\([^[]*(\[\w+\])", text)) == {window}
        assert set(re.findall(r"(?<!i)rate\([^[]*(\[\w+\])", text)) == {window}
        assert [group["interval"] for group in found["groups"]][1] == quarter
        document = yaml.safe_load(files_of(MonitorConfig(scrape_interval_s=interval_s))["prometheus"])
        assert document["global"]["scrape_interval"] == document["global"]["evaluation_interval"]


def test_names_of_labels_of_info() -> None:
    assert set(INFO_LABELS) <= exported()["pyinfercost_info"]


# ---- containers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", CONFIGS)
def test_containers_find_their_files_and_each_other(config: MonitorConfig) -> None:
    files = {each.path: each.content for each in config_files(config)}
    compose = yaml.safe_load(files["docker-compose.yml"])
    services = compose["services"]
    assert set(services) == {"engine", "sidecar", "prometheus", "grafana"}
    for service in services.values():
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:"), "ports are open on this machine alone"
        for volume in service.get("volumes", ()):
            host = re.sub(r"\$\{.*?\}", "X", volume).split(":")[0]
            if host.startswith("./"):
                assert any(path.startswith(f"{host[2:]}/") for path in files), volume
            else:
                assert host in ("X", *compose["volumes"])
    source = yaml.safe_load(files["grafana/provisioning/datasources/pyinfercost.yml"])
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    provider = yaml.safe_load(files["grafana/provisioning/dashboards/pyinfercost.yml"])
    folder = provider["providers"][0]["options"]["path"]
    assert any(volume.split(":")[1] == folder for volume in services["grafana"]["volumes"])
    target = yaml.safe_load(files["prometheus/prometheus.yml"])["scrape_configs"][0]
    if config.targets == MonitorConfig().targets:
        assert target["static_configs"][0]["targets"] == ["sidecar:9400"]
    words = services["sidecar"]["command"]
    assert words[words.index("--listen") + 1].endswith(":9400")
    (address,) = [word for word in words if word.startswith("http://engine:")]
    assert address.split(":")[2].removesuffix("/metrics") == services["engine"]["ports"][0].split(":")[1]
    assert ("deploy" in services["engine"]) == (config.hardware != "xeon-8480+")


@pytest.mark.parametrize("config", CONFIGS)
def test_the_sidecar_takes_its_command(config: MonitorConfig) -> None:
    """The command line reads the words of both containers, and makes the deployment of the settings of them."""
    files = files_of(config)
    (container,) = yaml.safe_load(files["engine-values"])["extraContainers"]
    for words in (yaml.safe_load(files["compose"])["services"]["sidecar"]["command"], container["command"]):
        assert words[:2] == ["pyinfercost", "monitor"]
        found = monitor.make_context("monitor", words[2:]).params
        assert (found["engine"], found["hardware"], found["price"]) == (config.engine, config.hardware, config.price)
        assert (found["layout"] or "", found["precision"] or "native") == (config.layout, config.precision)
        assert found["interval_s"] == config.scrape_interval_s / 4
        assert found["listen"] == "0.0.0.0:9400"
        assert (found["model"] is None) == (config.engine == "triton")
        deployment_of_options({**found, "engine": None})


def test_values_of_charts() -> None:
    files = files_of(MonitorConfig(job="cost"))
    stack, engine = yaml.safe_load(files["stack-values"]), yaml.safe_load(files["engine-values"])
    (monitor,) = stack["prometheus"]["additionalPodMonitors"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    (container,) = engine["extraContainers"]
    assert endpoint["port"] == container["ports"][0]["name"] == container["livenessProbe"]["httpGet"]["port"]
    assert len(endpoint["port"]) <= 15, "names of ports have at most 15 characters"
    assert endpoint["relabelings"] == [{"action": "replace", "targetLabel": "job", "replacement": "cost"}]
    assert 'up{job="cost"}' in files["rules"]
    assert "readinessProbe" not in container, "a sidecar takes no server out of service"
    assert stack["additionalPrometheusRulesMap"]["pyinfercost"] == yaml.safe_load(files["rules"])
    boards = stack["grafana"]["dashboards"]["pyinfercost"]
    assert json.loads(boards["pyinfercost"]["json"]) == json.loads(files["dashboard"])
    assert len(boards["pyinfercost"]["json"]) < 2**20, "a ConfigMap has at most 1 MiB"
    (provider,) = stack["grafana"]["dashboardProviders"]["pyinfercost.yaml"]["providers"]
    assert provider["options"]["path"] == f"/var/lib/grafana/dashboards/{provider['name']}"
    assert list(stack["grafana"]["dashboards"]) == [provider["name"]]


# ---- the documentation -----------------------------------------------------------------------------------------------


def test_the_page_has_every_metric_and_every_alert() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page), "python tests/support/metric_table.py writes the table"
    named = set(re.findall(r"`(Pyinfercost\w+)`", page))
    found = rules(MonitorConfig(power_limit_w=1))
    assert named == {rule["alert"] for group in found["groups"] for rule in group["rules"] if "alert" in rule}
    options = {option for each in command.params for option in each.opts if option.startswith("--")}
    assert set(re.findall(r"`(--[\w-]+)", page)) - {"--plan", "--exporter"} <= options
    files = {
        path for row in re.findall(r"^\| (`[^|]*)\|", page, re.MULTILINE) for path in re.findall(r"`([^`]+)`", row)
    }
    assert {path for path in files if "/" in path and " " not in path} <= {
        each.path for each in config_files(MonitorConfig())
    }


# ---- settings and the command ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scrape_interval_s": 0}, "scrape_interval_s is 0"),
        ({"scrape_interval_s": 600}, "scrape_interval_s is 600"),
        ({"scrape_interval_s": "15s"}, "scrape_interval_s is '15s'"),
        ({"slowdown": 0.9}, r"slowdown is 0\.9"),
        ({"idle_share": 1.5}, r"idle_share is 1\.5"),
        ({"plan_usd_per_million_tokens": -1}, "plan_usd_per_million_tokens is -1"),
        ({"plan_tolerance": float("nan")}, "plan_tolerance is nan"),
        ({"power_limit_w": 0}, "power_limit_w is 0"),
        ({"band": (1.2, 0.8)}, r"band is 1\.2 to 0\.8; expected a lower ratio before a higher one"),
        ({"band": (0.0, 0.8)}, "band is 0"),
        ({"job": 'x"} or vector(1) #'}, "job is"),
        ({"targets": ()}, "there are 0 targets"),
        ({"targets": ("sidecar",)}, "a target is 'sidecar'; expected HOST:PORT"),
        ({"targets": ("a b:1",)}, "a target is"),
        ({"engine": "llamacpp"}, "engine is 'llamacpp'; expected vllm, sglang, triton, tgi"),
        ({"hardware": "abacus"}, "the deployment of the examples is wrong"),
        ({"hardware": "$(reboot)"}, "hardware is"),
        ({"price": "free"}, "the deployment of the examples is wrong"),
        ({"layout": "tensor=3.5"}, "the deployment of the examples is wrong"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MonitorConfigError, match=message):
        MonitorConfig(**settings)


def run(*words: str) -> Any:
    return CliRunner().invoke(command, words, obj=False)


def test_the_command_writes_all_files(tmp_path: Path) -> None:
    ran = run(str(tmp_path / "new" / "ops"), "--scrape-interval", "500ms", "--band", "0.7,1.4", "--target", "a:1")
    assert ran.exit_code == 0, ran.output
    config = MonitorConfig(scrape_interval_s=0.5, band=(0.7, 1.4), targets=("a:1",))
    assert ran.stdout.splitlines() == [str(tmp_path / "new" / "ops" / each.path) for each in config_files(config)]
    for each in config_files(config):
        assert (tmp_path / "new" / "ops" / each.path).read_text() == each.content
    assert "docker compose up" in ran.stderr


def test_the_command_replaces_nothing_by_itself(tmp_path: Path) -> None:
    assert run(str(tmp_path)).exit_code == 0
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    rules_path = tmp_path / "prometheus" / "rules.yml"
    rules_path.write_text("mine")
    (tmp_path / "Dockerfile").unlink()
    again = run(str(tmp_path), "--slowdown", "1.5")
    assert again.exit_code == 1
    assert "prometheus.yml and 7 others exist already; name another folder, or replace them (--force)" in again.output
    assert rules_path.read_text() == "mine"
    assert not (tmp_path / "Dockerfile").exists(), "none was written"
    assert run(str(tmp_path), "--force").exit_code == 0
    assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--scrape-interval", "15q"), "--scrape-interval is '15q'; expected a duration such as 15s, 500ms or 1m"),
        (("--band", "1"), "--band is '1'; expected two ratios such as 0.8,1.25"),
        (("--slowdown", "0.5"), "slowdown is 0.5"),
        (("--hardware", "abacus"), "abacus"),
        (("--engine", "x"), "engine is 'x'"),
    ],
)
def test_options_that_are_wrong(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    ran = run(str(tmp_path), *words)
    assert ran.exit_code in (1, 2)
    assert message in ran.output
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "prometheus").write_text("a file")
    with pytest.raises(FileAccessError, match="prometheus"):
        write_config(tmp_path, MonitorConfig())
    (tmp_path / "prometheus").unlink()
    (tmp_path / "prometheus").mkdir()
    (tmp_path / "prometheus" / "rules.yml").touch()
    with pytest.raises(ExistingFileError, match=r"rules.yml exists already"):
        write_config(tmp_path, MonitorConfig())


def test_equal_settings_write_equal_files() -> None:
    assert config_files(MonitorConfig()) == config_files(MonitorConfig())

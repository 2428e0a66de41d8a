"""All files of the generated configuration."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from ... import _core
from ..._checks import errors_of_writing, exists, path_of, write_text
from ..._lazy import optional_library
from ...errors import ExistingFileError
from .containers import RELEASE, compose_file, dockerfile, engine_values, stack_values
from .dashboard import dashboard
from .queries import duration
from .rules import rules
from .settings import MonitorConfig

_MOST_TIMEOUT_S = 10.0  # the default of Prometheus
_RULES, _DASHBOARDS = "rules.yml", "/var/lib/grafana/dashboards"
_COMPOSE = """\
MODEL_DIR=/path/of/the/model docker compose up --build
Grafana: http://localhost:3000 (admin, admin), Prometheus: http://localhost:9090"""
_ENGINE = f"""\
A sidecar for each server: helm upgrade --install {RELEASE} CHART -f engine-values.yml
Build the image from the Dockerfile, push it to your registry and name it here."""
_STACK = """\
Scrapes, rules and the dashboard:
helm upgrade --install monitoring prometheus-community/kube-prometheus-stack -f stack-values.yml"""


class ConfigFile(NamedTuple):
    """A file of the configuration.

    Attributes:
        name: Name that selects it alone: `rules`.
        path: Its path below the folder: `prometheus/rules.yml`.
        content: Its text.
    """

    name: str
    path: str
    content: str


def config_files(config: MonitorConfig) -> list[ConfigFile]:
    """Return all files.

    YAML is written by PyYAML: rules and values are read and edited by people, for whom JSON, which is YAML too, would
    be hard to read, and quoting by hand is where such files go wrong.

    Raises:
        MissingLibraryError: PyYAML is not installed.
    """
    alerts, board = rules(config), dashboard(config)
    return [
        ConfigFile("prometheus", "prometheus/prometheus.yml", _yaml(_prometheus(config))),
        ConfigFile("rules", f"prometheus/{_RULES}", _yaml(alerts)),
        ConfigFile("dashboard", "grafana/dashboards/pyinfercost.json", json.dumps(board, indent=1) + "\n"),
        ConfigFile("datasource", "grafana/provisioning/datasources/pyinfercost.yml", _yaml(_datasource(config))),
        ConfigFile("provider", "grafana/provisioning/dashboards/pyinfercost.yml", _yaml(_provider())),
        ConfigFile("compose", "docker-compose.yml", _yaml(compose_file(config), _COMPOSE)),
        ConfigFile("dockerfile", "Dockerfile", dockerfile()),
        ConfigFile("engine-values", "helm/engine-values.yml", _yaml(engine_values(config), _ENGINE)),
        ConfigFile("stack-values", "helm/stack-values.yml", _yaml(stack_values(config, alerts, board), _STACK)),
    ]


def write_config(folder: str | PathLike[str], config: MonitorConfig, *, replace: bool = False) -> list[Path]:
    """Write all files into a folder, which is made if there is none.

    Args:
        folder: The folder.
        config: The settings.
        replace: Whether files that exist are replaced.

    Returns:
        The paths of the files.

    Raises:
        ExistingFileError: A file exists; none was written.
        FileAccessError: A file cannot be written.
        MissingLibraryError: PyYAML is not installed.
    """
    root = path_of(folder)
    files = {root / each.path: each.content for each in config_files(config)}
    found = [str(path) for path in files if exists(path)]
    if found and not replace:
        more = f" and {len(found) - 1} others" if len(found) > 1 else ""
        raise ExistingFileError(
            f"{found[0]}{more} exist{'' if more else 's'} already; name another folder, or replace them (--force)"
        )
    for path, content in files.items():
        with errors_of_writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, content)
    return list(files)


def _prometheus(config: MonitorConfig) -> dict[str, Any]:
    interval = duration(config.scrape_interval_s)
    return {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": duration(min(_MOST_TIMEOUT_S, config.scrape_interval_s)),
            "evaluation_interval": interval,
        },
        "rule_files": [_RULES],
        "scrape_configs": [{"job_name": config.job, "static_configs": [{"targets": list(config.targets)}]}],
    }


def _datasource(config: MonitorConfig) -> dict[str, Any]:
    source = {
        "name": "Prometheus",
        "uid": "prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": "http://prometheus:9090",
        "isDefault": True,
        "jsonData": {"timeInterval": duration(config.scrape_interval_s), "httpMethod": "POST"},
    }
    return {"apiVersion": 1, "datasources": [source]}


def _provider() -> dict[str, Any]:
    provider = {"name": "pyinfercost", "type": "file", "allowUiUpdates": False, "options": {"path": _DASHBOARDS}}
    return {"apiVersion": 1, "providers": [provider]}


def _yaml(document: dict[str, Any], note: str = "") -> str:
    """Return a document as YAML, with texts of several lines as blocks, below a note."""
    yaml = optional_library("yaml", "the configuration of Prometheus and Grafana", "monitor")

    class Dumper(yaml.SafeDumper):  # type: ignore[misc,name-defined]
        def ignore_aliases(self, data: Any) -> bool:
            return True

        def text(self, data: str) -> Any:
            return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)

    Dumper.add_representer(str, Dumper.text)
    text = yaml.dump(document, Dumper=Dumper, sort_keys=False, width=120, allow_unicode=True)
    heading = f"Written by `pyinfercost monitor config`, version {_core.__version__}.\n{note}".rstrip()
    return "".join(f"# {line}\n" for line in heading.splitlines()) + str(text)

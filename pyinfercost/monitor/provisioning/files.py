"""All files of the generated configuration."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ... import _core
from ..._lazy import optional_library
from .containers import compose_file, dockerfile, helm_values
from .dashboard import dashboard
from .queries import duration
from .rules import rules
from .settings import MonitorConfig

_MOST_TIMEOUT_S = 10.0  # the default of Prometheus
_RULES, _DASHBOARDS = "rules.yml", "/var/lib/grafana/dashboards"


class ConfigFile(NamedTuple):
    """A file of the configuration.

    Attributes:
        name: What selects it alone: `rules`.
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
    return [
        ConfigFile("prometheus", "prometheus/prometheus.yml", _yaml(_prometheus(config))),
        ConfigFile("rules", f"prometheus/{_RULES}", _yaml(rules(config))),
        ConfigFile("dashboard", "grafana/dashboards/pyinfercost.json", json.dumps(dashboard(config), indent=1) + "\n"),
        ConfigFile("datasource", "grafana/provisioning/datasources/pyinfercost.yml", _yaml(_datasource(config))),
        ConfigFile("provider", "grafana/provisioning/dashboards/pyinfercost.yml", _yaml(_provider())),
        ConfigFile("compose", "docker-compose.yml", _yaml(compose_file(config))),
        ConfigFile("dockerfile", "Dockerfile", dockerfile()),
        ConfigFile("helm", "helm/values.yml", _yaml(helm_values(config))),
    ]


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


def _yaml(document: dict[str, Any]) -> str:
    """Return a document as YAML, with texts of several lines as blocks."""
    yaml = optional_library("yaml", "the configuration of Prometheus and Grafana", "monitor")

    class Dumper(yaml.SafeDumper):  # type: ignore[misc,name-defined]
        def ignore_aliases(self, data: Any) -> bool:
            return True

        def text(self, data: str) -> Any:
            return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)

    Dumper.add_representer(str, Dumper.text)
    text = yaml.dump(document, Dumper=Dumper, sort_keys=False, width=120, allow_unicode=True)
    return f"# Written by `pyinfercost monitor config`, version {_core.__version__}.\n{text}"

"""Examples of deployments: containers of docker compose, values of a Helm chart."""

from __future__ import annotations

from typing import Any

from .queries import duration
from .settings import ENGINES, MonitorConfig

_PORT = 9400
_PROMETHEUS = "prom/prometheus:v2.53.3"
_GRAFANA = "grafana/grafana:12.0.0"
_ENGINE_IMAGES = {
    "vllm": "vllm/vllm-openai:latest",
    "sglang": "lmsysorg/sglang:latest",
    "triton": "nvcr.io/nvidia/tritonserver:latest",
    "tgi": "ghcr.io/huggingface/text-generation-inference:latest",
}
_IMAGE = "pyinfercost:latest"


def sidecar_command(config: MonitorConfig, host: str, model: str) -> list[str]:
    """Return the command of a sidecar that reads an engine on a host."""
    return [
        *("pyinfercost", "monitor", model, "--scrape", f"http://{host}:{ENGINES[config.engine]}/metrics"),
        *("--engine", config.engine, "--hardware", config.hardware, "--price", config.price),
        *("--listen", f"0.0.0.0:{_PORT}"),
    ]


def compose_file(config: MonitorConfig) -> dict[str, Any]:
    """Return the services: an engine, which is yours to set, its sidecar, Prometheus and Grafana.

    Ports are published on localhost only.
    """
    return {
        "services": {
            "engine": {
                "image": f"${{ENGINE_IMAGE:-{_ENGINE_IMAGES[config.engine]}}}",
                "command": "${ENGINE_COMMAND:?set ENGINE_COMMAND to the arguments of the engine, such as its model}",
                "ports": [f"127.0.0.1:{ENGINES[config.engine]}:{ENGINES[config.engine]}"],
            },
            "sidecar": {
                "image": _IMAGE,
                "build": {"context": "."},
                "command": sidecar_command(
                    config, "engine", "${MODEL:?set MODEL to what is served, such as hf:config.json}"
                ),
                "restart": "unless-stopped",
            },
            "prometheus": {
                "image": _PROMETHEUS,
                "volumes": ["./prometheus:/etc/prometheus:ro", "prometheus:/prometheus"],
                "ports": ["127.0.0.1:9090:9090"],
                "restart": "unless-stopped",
            },
            "grafana": {
                "image": _GRAFANA,
                "volumes": [
                    "./grafana/provisioning:/etc/grafana/provisioning:ro",
                    "./grafana/dashboards:/var/lib/grafana/dashboards:ro",
                ],
                "ports": ["127.0.0.1:3000:3000"],
                "restart": "unless-stopped",
            },
        },
        "volumes": {"prometheus": {}},
    }


def dockerfile() -> str:
    """Return the image of the sidecar."""
    return (
        "# Written by `pyinfercost monitor config`: the image of the sidecar.\n"
        "FROM python:3.12-slim\n"
        "RUN pip install --no-cache-dir 'pyinfercost[monitor]'\n"
        "USER 65534\n"
    )


def helm_values(config: MonitorConfig) -> dict[str, Any]:
    """Return values for the chart of an engine: a sidecar in its pod, and both ways to have it scraped.

    Charts that take `extraContainers` and `podAnnotations` merge them as they are. The ServiceMonitor is for the
    operator of Prometheus, which reads no annotations.
    """
    return {
        "podAnnotations": {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(_PORT),
            "prometheus.io/path": "/metrics",
        },
        "extraContainers": [
            {
                "name": "pyinfercost",
                "image": _IMAGE,
                "command": sidecar_command(config, "127.0.0.1", "$(MODEL)"),
                "env": [{"name": "MODEL", "value": "hf:/models/config.json"}],
                "ports": [{"name": "cost-metrics", "containerPort": _PORT}],
                "readinessProbe": {"httpGet": {"path": "/metrics", "port": "cost-metrics"}},
                "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
                "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
            }
        ],
        "extraObjects": [
            {
                "apiVersion": "monitoring.coreos.com/v1",
                "kind": "PodMonitor",
                "metadata": {"name": "pyinfercost"},
                "spec": {
                    "selector": {"matchLabels": {"app": "engine"}},
                    "podMetricsEndpoints": [
                        {"port": "cost-metrics", "interval": duration(config.scrape_interval_s), "path": "/metrics"}
                    ],
                },
            }
        ],
    }

"""Examples of deployments: containers of docker compose, values of Helm charts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ...hardware import load
from ..metric_names import PREFIX
from .queries import duration
from .settings import MonitorConfig

_PORT = 9400
_PORT_NAME = "cost-metrics"
_PROMETHEUS = "prom/prometheus:v2.53.3"
_GRAFANA = "grafana/grafana:12.0.0"
_IMAGE = "pyinfercost:latest"
_MODEL = "/model"
_READINGS = 4  # by the sidecar in a scrape interval
RELEASE = "vllm"
"""Name of the release of the engine's chart: the volume of vLLM's chart with the model has it in its name."""


class Server(NamedTuple):
    """How the container of an engine is started in the example.

    Attributes:
        image: Its image.
        port: The port of its metrics.
        command: Its arguments; the model is in the folder `/model`.
        has_predictions: Whether its steps are predicted from the model.
    """

    image: str
    port: int
    command: tuple[str, ...]
    has_predictions: bool = True


SERVERS: Mapping[str, Server] = MappingProxyType(
    {
        "vllm": Server("vllm/vllm-openai:latest", 8000, ("--model", _MODEL)),
        "sglang": Server(
            "lmsysorg/sglang:latest",
            30000,
            (
                *("python3", "-m", "sglang.launch_server", "--model-path", _MODEL),
                *("--host", "0.0.0.0", "--port", "30000", "--enable-metrics"),
            ),
        ),
        "triton": Server(
            "nvcr.io/nvidia/tritonserver:24.12-py3",
            8002,
            ("tritonserver", f"--model-repository={_MODEL}"),
            has_predictions=False,
        ),
        "tgi": Server("ghcr.io/huggingface/text-generation-inference:latest", 80, ("--model-id", _MODEL)),
    }
)
"""Engine -> its container."""


def sidecar_command(config: MonitorConfig, host: str, model: str = _MODEL) -> list[str]:
    """Return the command of a sidecar that reads an engine on a host.

    The model is the folder with its `config.json`. The sidecar reads four times in a scrape interval, so that scraped
    figures are at most a quarter of it old.
    """
    server = SERVERS[config.engine]
    command = [
        *("pyinfercost", "monitor", "--scrape", f"http://{host}:{server.port}/metrics", "--engine", config.engine),
        *("--hardware", config.hardware, "--price", config.price),
    ]
    if config.layout:
        command += ["--layout", config.layout]
    if config.precision != "native":
        command += ["--precision", config.precision]
    if server.has_predictions:
        command += ["--model", f"hf:{model}"]
    return [*command, "--interval", f"{config.scrape_interval_s / _READINGS:g}", "--listen", f"0.0.0.0:{_PORT}"]


def compose_file(config: MonitorConfig) -> dict[str, Any]:
    """Return the services: an engine, its sidecar, Prometheus and Grafana. Ports are published on localhost only."""
    server = SERVERS[config.engine]
    model = f"${{MODEL_DIR:?set MODEL_DIR to the folder of the model}}:{_MODEL}:ro"
    engine: dict[str, Any] = {
        "image": f"${{ENGINE_IMAGE:-{server.image}}}",
        "command": list(server.command),
        "volumes": [model],
        "ports": [f"127.0.0.1:{server.port}:{server.port}"],
        "restart": "unless-stopped",
    }
    if load(config.hardware).kind == "gpu":
        device = {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
        engine |= {"ipc": "host", "deploy": {"resources": {"reservations": {"devices": [device]}}}}
    return {
        "services": {
            "engine": engine,
            "sidecar": {
                "image": _IMAGE,
                "build": {"context": "."},
                "command": sidecar_command(config, "engine"),
                "volumes": [model],
                "ports": [f"127.0.0.1:{_PORT}:{_PORT}"],
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
    """Return the image of the sidecar. Predictions of a Hugging Face folder need torch, which runs on the CPU here."""
    return (
        "# Written by `pyinfercost monitor config`: the image of the sidecar.\n"
        "FROM python:3.12-slim\n"
        "ARG PACKAGE='pyinfercost[monitor,torch]'\n"
        "RUN pip install --no-cache-dir torch --index-url https://download.pytorch.org/whl/cpu \\\n"
        ' && pip install --no-cache-dir "$PACKAGE" transformers\n'
        "ENV HF_HUB_OFFLINE=1 HOME=/tmp\n"
        "USER 65534\n"
    )


def engine_values(config: MonitorConfig) -> dict[str, Any]:
    """Return values for the chart of an engine: a sidecar in its pods.

    They are for vLLM's chart (`examples/online_serving/chart-helm`), whose pods have the model at `/data`. A
    sidecar that does not answer is started again; it does not make the pod unready, so it takes no server out of
    service.
    """
    folder = "/data"
    alive = {"httpGet": {"path": "/health", "port": _PORT_NAME}, "periodSeconds": 30, "failureThreshold": 10}
    return {
        "extraContainers": [
            {
                "name": PREFIX,
                "image": _IMAGE,
                "command": sidecar_command(config, "127.0.0.1", folder),
                "ports": [{"name": _PORT_NAME, "containerPort": _PORT}],
                "livenessProbe": alive,
                "resources": {"requests": {"cpu": "50m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "runAsNonRoot": True,
                },
                "volumeMounts": [{"name": f"{RELEASE}-storage", "mountPath": folder, "readOnly": True}],
            }
        ],
    }


def stack_values(config: MonitorConfig, rules: Mapping[str, Any], dashboard: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for the chart kube-prometheus-stack: the scrapes, the rules and the dashboard.

    A PodMonitor finds the pods by the name of the sidecar's port. A ServiceMonitor would need a Service with that port,
    which the charts of engines do not have.
    """
    endpoint = {
        "port": _PORT_NAME,
        "path": "/metrics",
        "interval": duration(config.scrape_interval_s),
        "scrapeTimeout": duration(min(10.0, config.scrape_interval_s)),
        "relabelings": [{"action": "replace", "targetLabel": "job", "replacement": config.job}],
    }
    monitor = {
        "name": PREFIX,
        "namespaceSelector": {"any": True},
        "selector": {},
        "podMetricsEndpoints": [endpoint],
    }
    folder = "/var/lib/grafana/dashboards/pyinfercost"
    provider = {"name": PREFIX, "type": "file", "allowUiUpdates": False, "options": {"path": folder}}
    return {
        "prometheus": {"additionalPodMonitors": [monitor]},
        "additionalPrometheusRulesMap": {PREFIX: dict(rules)},
        "grafana": {
            "dashboardProviders": {"pyinfercost.yaml": {"apiVersion": 1, "providers": [provider]}},
            "dashboards": {PREFIX: {PREFIX: {"json": json.dumps(dashboard)}}},
        },
    }

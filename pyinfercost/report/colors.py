"""Colors of all plots and reports.

The five colors of `BOUND` are distinguishable with all three color blindnesses (at least 17 CIE76 units between any
two, by the matrices of Machado, Oliveira and Fernandes, 2009), and each has a contrast of at least 3:1 with both white
and black, so that they suit light and dark pages; a test computes the contrasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

BOUND: Mapping[str, str] = MappingProxyType(
    {
        "compute": "#1b9a5a",
        "dram": "#c96a00",
        "cache": "#1f5fbf",
        "link": "#7a5c00",
        "launch": "#a8327f",
        "fused": "#8a8a8a",
    }
)
"""Colors of bounds; `fused` is for layers that run in another layer's kernel."""

MEMORY: Mapping[str, str] = MappingProxyType({"weights": "#8a8a8a", "inputs": "#c96a00", "activations": "#1f5fbf"})
"""Colors of memory: weights with buffers, inputs of the forward, and results of its nodes."""

FLEET: Mapping[str, str] = MappingProxyType(
    {
        "busy": "#1f5fbf",
        "idle": "#8a8a8a",
        "cold": "#c96a00",
        "draining": "#a8327f",
        "egress": "#1b9a5a",
        "electricity": "#7a5c00",
        "storage": "#6a6ad0",
        "staff": "#b5484a",
        "requests": "#2a8f8f",
        "memory": "#8a5fc0",
        "provisioned": "#5c7f2a",
    }
)
"""Colors of the costs of a fleet: the use of machines, then lines of its bill."""

LIVE: Mapping[str, str] = MappingProxyType({"low": "#1f5fbf", "middle": "#c96a00", "high": "#a8327f"})
"""Colors of monitoring: low, middle and high percentiles."""

RISK: Mapping[str, str] = MappingProxyType(
    {"none": "#1b9a5a", "rounding": "#1f5fbf", "small": "#c96a00", "retrain": "#a8327f"}
)
"""Colors of how far a change may alter results, as in `results.advice.RISKS`."""

PLAIN = "#1f5fbf"
"""Color of plots with a single category."""

ALARM = "#d22f27"
"""Color of limits, such as the memory of a machine."""

_LIGHTER = 0.35  # of the way to white


def color_variables(colors: Mapping[str, str]) -> str:
    """Return colors as variables of CSS by their names, lighter on dark pages."""
    plain = "".join(f"--{name}: {color}; " for name, color in colors.items())
    light = "".join(f"--{name}: {_lighter(color)}; " for name, color in colors.items())
    return f":root {{ {plain}}}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {light}}} }}\n"


def _lighter(color: str) -> str:
    parts = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
    return "#" + "".join(f"{round(part + _LIGHTER * (255 - part)):02x}" for part in parts)

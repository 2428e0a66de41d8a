"""The colours of everything that is drawn, in one place.

The five of `BOUND` stay apart for people with any of the three colour blindnesses (at least 17 CIE76 units between any
two, by the matrices of Machado, Oliveira and Fernandes, 2009), and each has a contrast of 3:1 and more both with white
and with black, so that light and dark pages may use them alike; a test computes the contrasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

BOUND: Mapping[str, str] = MappingProxyType(
    {
        "compute": "#1b9a5a",
        "dram": "#c96a00",
        "cache": "#1f5fbf",
        "launch": "#a8327f",
        "fused": "#8a8a8a",
    }
)
"""What binds a layer; `fused` is work that the kernel of another layer does."""

MEMORY: Mapping[str, str] = MappingProxyType({"weights": "#8a8a8a", "inputs": "#c96a00", "activations": "#1f5fbf"})
"""What lies in memory: weights with buffers, inputs of the forward, and what its nodes make."""

PLAIN = "#1f5fbf"
"""Where there is nothing to tell apart."""

ALARM = "#d22f27"
"""A limit, such as the memory of a machine."""

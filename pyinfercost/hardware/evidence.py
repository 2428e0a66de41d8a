"""Evidence of the error bands of kernels."""

from __future__ import annotations

from collections.abc import Mapping

EVIDENCE: Mapping[str, str] = {
    "measured": "measured here",
    "family": "family fitted",
    "sibling": "sibling family fitted",
    "datasheet": "datasheet only",
}
"""Kinds of evidence, strongest first: key in files of bands -> words of reports."""

OTHER = "other"
"""The class of all kernels without a band of their own."""


def by_strength(shares: Mapping[str, float]) -> dict[str, float]:
    """Return evidence -> share of the latency, strongest first."""
    return {word: shares[word] for word in EVIDENCE.values() if word in shares}

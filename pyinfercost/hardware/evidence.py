"""Evidence of the error bands of kernels."""

from __future__ import annotations

from collections.abc import Mapping

from .. import _core

EVIDENCE: Mapping[str, str] = dict(
    zip(("measured", "family", "sibling", "datasheet"), _core.evidence_words(), strict=True)
)
"""Kinds of evidence, strongest first: key in files of bands -> words of reports."""

OTHER = "other"
"""The class of all kernels without a band of their own."""

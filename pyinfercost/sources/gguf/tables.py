"""The tables of types and names of GGUF files as plain data, for a reader in a page."""

from __future__ import annotations

from typing import Any

from ...formats.ggml import GGML_TYPES, GgmlType
from .architectures import ARCHITECTURES
from .names import BUILT_IN, EXPERTS, LAYER, WHOLE


def gguf_tables() -> dict[str, Any]:
    """Return the tables with which `assets/gguf_header.js` reads files.

    Returns:
        `types`: number -> `name`, `weights` and `bytes` of a block, and `stored`, which is an entry of `types` of a
        decoder's document (docs/interface.md). `whole`, `layer`, `experts`: names of tensors by module of a model of
        `transformers`, in alternatives. `own`: architecture -> names of its own that replace names of `layer`.
        `built_in`: pattern of tensors that a model computes when it is built.
    """
    return {
        "types": {str(kind.number): _type(kind) for kind in GGML_TYPES.values()},
        "whole": dict(WHOLE),
        "layer": {module: list(names) for module, names in LAYER.items()},
        "experts": {name: list(names) for name, names in EXPERTS.items()},
        "own": {row.name: dict(row.own_names) for row in ARCHITECTURES.values()},
        "built_in": BUILT_IN,
    }


def _type(kind: GgmlType) -> dict[str, Any]:
    found = {"name": kind.name, "weights": kind.weights, "bytes": kind.nbytes}
    if kind.form is None:
        return {**found, "stored": {"dtype": kind.dtype}}
    form = kind.form
    stored = {"dtype": form.dtype, "format": form.name, "values": form.values, "group": form.group}
    others = {"block_bytes": form.block, "bits": form.bits, "scale": form.scale}
    return {**found, "stored": {**stored, **{key: value for key, value in others.items() if value}}}

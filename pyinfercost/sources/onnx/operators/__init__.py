"""Handlers of operators, one file per family. Importing this package fills the table."""

from __future__ import annotations

from ..op import HANDLERS
from . import (
    attention,
    contractions,
    contrib,
    control,
    creation,
    elementwise,
    indexing,
    learning,
    losses,
    movement,
    normalization,
    pooling,
    quantized,
    recurrent,
    reductions,
    sequences,
    signals,
)

__all__ = [
    "HANDLERS",
    "attention",
    "contractions",
    "contrib",
    "control",
    "creation",
    "elementwise",
    "indexing",
    "learning",
    "losses",
    "movement",
    "normalization",
    "pooling",
    "quantized",
    "recurrent",
    "reductions",
    "sequences",
    "signals",
]

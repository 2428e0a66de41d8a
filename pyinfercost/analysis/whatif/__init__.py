"""What a graph would be if its weights, activations or caches had other formats; the model itself is not touched."""

from __future__ import annotations

from .change import whatif
from .formats import FORMATS, Format, WhatIfError, format_of

__all__ = ["FORMATS", "Format", "WhatIfError", "format_of", "whatif"]

"""Tables of the metrics of serving engines, one file for each, with its name here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from .sglang import SGLANG
from .tgi import TGI
from .triton import TRITON
from .vllm import VLLM

if TYPE_CHECKING:
    from .metric import Engine

ENGINES: Mapping[str, Engine] = MappingProxyType({each.name: each for each in (VLLM, SGLANG, TRITON, TGI)})
"""Name -> table."""

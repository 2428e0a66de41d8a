"""Names of dtypes: names of torch and of graphs, and the short names of data sheets and command lines."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .. import _core

_SHORT_NAMES = {row.name: row.short_name for row in _core.dtypes() if row.short_name}


def _by_short_name() -> dict[str, _core.DType]:
    found: dict[str, _core.DType] = {}
    for row in _core.dtypes():
        if row.short_name:
            found.setdefault(row.short_name, row)  # two kinds of fp8 share a name; it means the first
    return found


CORE_DTYPES: Mapping[str, str] = MappingProxyType({short: row.name for short, row in _by_short_name().items()})
"""Short name -> name in graphs and machines, for the dtypes that an engine may have a rate for."""

VALUE_BITS: Mapping[str, int] = MappingProxyType({short: row.value_bits for short, row in _by_short_name().items()})
"""Short name -> bits of one value."""


def short_dtype(dtype: str) -> str:
    """Return the short name of a dtype, `fp16` for `float16`; the name itself if there is none."""
    return _SHORT_NAMES.get(dtype, dtype)

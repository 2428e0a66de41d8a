"""Settings of torchao: the class of a configuration, with its values, or one for each layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..._checks import Fields, shown
from ...formats.table import FORMATS, Format
from ..loaded_model import SpecError
from . import schemes
from .module_lists import by_name

if TYPE_CHECKING:
    from .weights import Weight

_BY_LAYER = ("FqnToConfig", "ModuleFqnToConfig")
_DEFAULT = "_default"


def _int4(values: Fields) -> Format:
    return replace(FORMATS["int4_wo"], group=schemes.group_of(values, "group_size", 128))


def _fp8(values: Fields) -> Format:
    """Return fp8 with a scale per row or, by default, per tensor."""
    granularity = dict(values.items()).get("granularity")
    first = granularity[0] if isinstance(granularity, list) and granularity else granularity
    kind = first.get("_type") if isinstance(first, Mapping) else None
    return FORMATS["fp8_dynamic"] if kind == "PerRow" else schemes.fp8_of_tensors("dynamic")


def _plain(form: str) -> Callable[[Fields], Format]:
    return lambda _: FORMATS[form]


TYPES: Mapping[str, Callable[[Fields], Format]] = MappingProxyType(
    {
        "Int4WeightOnlyConfig": _int4,
        "Int8WeightOnlyConfig": _plain("int8_wo"),
        "Int8DynamicActivationInt8WeightConfig": _plain("int8_dynamic"),
        "Int8StaticActivationInt8WeightConfig": _plain("int8_static"),
        "Float8WeightOnlyConfig": _plain("fp8_wo"),
        "Float8DynamicActivationFloat8WeightConfig": _fp8,
        "NVFP4WeightOnlyConfig": _plain("nvfp4_wo"),
        "NVFP4DynamicActivationNVFP4WeightConfig": _plain("nvfp4_dynamic"),
    }
)
"""Formats by class."""

_LEGACY = MappingProxyType(
    {
        "int4_weight_only": "Int4WeightOnlyConfig",
        "int8_weight_only": "Int8WeightOnlyConfig",
        "int8_dynamic_activation_int8_weight": "Int8DynamicActivationInt8WeightConfig",
        "float8_weight_only": "Float8WeightOnlyConfig",
        "float8_dynamic_activation_float8_weight": "Float8DynamicActivationFloat8WeightConfig",
    }
)
"""Classes by the names of older versions, whose values are in `quant_type_kwargs`."""


def by_type(settings: Fields) -> Callable[[Weight], Format | None]:
    """Return the format of each weight.

    Raises:
        SpecError: The class is unknown, or embeddings are quantized too.
    """
    if settings.flag("include_input_output_embeddings"):
        raise SpecError(
            f"{settings.name('include_input_output_embeddings')} is True; expected False: narrow embeddings are not "
            "supported"
        )
    given = dict(settings.items()).get("quant_type")
    if isinstance(given, str):
        if given not in _LEGACY:
            raise _unknown(settings, given)
        form = TYPES[_LEGACY[given]](settings.inner("quant_type_kwargs"))
        return lambda _: form
    config = settings.inner("quant_type").inner("default")
    if config.text("_type") not in _BY_LAYER:
        form = _format(config)
        return lambda _: form
    layers = config.inner("_data")
    layers = layers.inner("fqn_to_config" if layers.has("fqn_to_config") else "module_fqn_to_config")
    forms: list[tuple[Callable[[Weight], bool], Format | None]] = []
    for name, value in layers.items():
        if name != _DEFAULT:
            own = name.removesuffix(".weight")
            forms.append((by_name(layers.name(name), [own]), None if value is None else _format(layers.inner(name))))
    otherwise = _format(layers.inner(_DEFAULT)) if layers.has(_DEFAULT) else None
    return lambda weight: next((form for matches, form in forms if matches(weight)), otherwise)


def _format(config: Fields) -> Format:
    kind = config.text("_type")
    read = TYPES.get(kind or "")
    if read is None:
        raise _unknown(config, kind)
    return read(config.inner("_data"))


def _unknown(config: Fields, kind: Any) -> SpecError:
    return SpecError(f"the class of {config.name('quant_type')} is {shown(kind)}; expected {', '.join(TYPES)}")

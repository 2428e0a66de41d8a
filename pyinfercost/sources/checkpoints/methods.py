"""The table of quantization methods: formats of the weights of a model from its `quantization_config`.

One row per method. The default exclusions of a method follow its own library: transformers' quantizers for
fp8, mxfp4, AWQ, bitsandbytes and torchao; GPTQModel and optimum for GPTQ, which quantizes blocks of layers only; the
settings alone for compressed-tensors and Model Optimizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..._checks import Fields, shown
from ...formats.checkpoints import Checkpoint
from ...formats.table import FORMATS, Format
from ..loaded_model import SpecError
from . import schemes
from .compressed_tensors import by_groups
from .modelopt import by_algorithm
from .module_lists import Matches, by_name, by_path, by_wildcard, expression
from .torchao import by_type

if TYPE_CHECKING:
    from .weights import Weight

ByWeight = Callable[["Weight"], Format | None]
"""The format of a weight; None for one that the settings leave out."""


@dataclass(frozen=True)
class Method:
    """One quantization method.

    Attributes:
        name: `quant_method` in configs.
        formats: Reads the settings.
        dtype: Dtype of all other weights for a config that names none.
        left_out: Keys of the settings with lists of modules to leave out.
        match: Reads such a list.
        keeps: When weights that are usually kept (the output embedding, tied weights) are left out: `"always"`,
            `"unless listed"` if the settings have no list, `"never"`.
        of: Weights that it quantizes: `"all"`, or `"experts"`.
    """

    name: str
    formats: Callable[[Fields], ByWeight]
    dtype: str = "bfloat16"
    left_out: tuple[str, ...] = ("modules_to_not_convert",)
    match: Callable[[str, list[str]], Matches] = by_path
    keeps: str = "unless listed"
    of: str = "all"


def _same(read: Callable[[Fields], Format]) -> Callable[[Fields], ByWeight]:
    """Give all weights one format."""

    def formats(settings: Fields) -> ByWeight:
        form = read(settings)
        return lambda _: form

    return formats


def _fp8(settings: Fields) -> ByWeight:
    """Give weights fp8, and experts mxfp4 if the settings state it."""
    form, experts = schemes.fp8(settings), settings.text("expert_dtype") or "fp8"
    if experts not in ("fp8", "fp4"):
        raise SpecError(f"{settings.name('expert_dtype')} is {shown(experts)}; expected fp8 or fp4")
    narrow = FORMATS["mxfp4_wo"] if experts == "fp4" else form
    return lambda weight: narrow if weight.of_experts else form


def _gptq(settings: Fields) -> ByWeight:
    """Give weights in blocks integers; `dynamic` has exceptions, `modules_in_block_to_quantize` the only modules."""
    form = schemes.gptq(settings)
    bits = settings.whole("bits", schemes.BLOCK) or 4
    only = _listed(settings, "modules_in_block_to_quantize")
    exceptions: list[tuple[Matches, Format | None]] = []
    dynamic = settings.inner("dynamic")
    for pattern, _ in dynamic.items():
        other = None if pattern.startswith("-:") else schemes.gptq(dynamic.inner(pattern), bits, form.group)
        exceptions.append((expression(settings.name("dynamic"), pattern.removeprefix("-:").removeprefix("+:")), other))
    head = settings.flag("lm_head") or False

    def formats(weight: Weight) -> Format | None:
        if only and not any(name.endswith(only) for name in weight.names):
            return None
        if not weight.in_block and not (head and weight.is_kept):
            return None
        return next((other for matches, other in exceptions if matches(weight)), form)

    return formats


def _listed(settings: Fields, key: str) -> tuple[str, ...]:
    """Return the texts of a list, or of a list of lists."""
    value = dict(settings.items()).get(key) or ()
    if isinstance(value, list) and all(isinstance(part, str | list) for part in value):
        names = [name for part in value for name in ([part] if isinstance(part, str) else part)]
        if all(isinstance(name, str) for name in names):
            return tuple(names)
    if value:
        raise SpecError(f"{settings.name(key)} is {shown(value)}; expected lists of names of modules")
    return ()


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method("fp8", _fp8, left_out=("modules_to_not_convert", "ignored_layers")),
            Method("fbgemm_fp8", _same(lambda _: FORMATS["fp8_dynamic"])),
            Method("mxfp8", _same(schemes.mxfp8), left_out=("modules_to_not_convert", "ignored_layers")),
            Method("mxfp4", _same(lambda _: FORMATS["mxfp4_wo"]), of="experts"),
            Method("gptq", _gptq, dtype="float16", keeps="never"),
            Method("awq", _same(schemes.awq), dtype="float16", keeps="always"),
            Method("bitsandbytes", _same(schemes.bitsandbytes), "float16", ("llm_int8_skip_modules",)),
            Method("compressed-tensors", by_groups, left_out=("ignore",), match=by_name, keeps="never"),
            Method("torchao", by_type),
            Method("modelopt", by_algorithm, left_out=("ignore", "exclude_modules"), match=by_wildcard, keeps="never"),
        )
    }
)
"""Methods by name."""


def method_of(spec: str, settings: Mapping[str, Any]) -> tuple[Method, Fields]:
    """Return the method of a `quantization_config`, and its settings.

    Args:
        spec: Name of the model in errors.
        settings: The value of the key, or of a `hf_quant_config.json`.

    Raises:
        SpecError: The method is missing or unknown.
    """
    where = f"quantization_config of {spec}"
    fields = Fields(settings, where, SpecError)
    name = fields.text("quant_method")
    if name is None and any(fields.flag(key) for key in ("load_in_8bit", "load_in_4bit")):
        name = "bitsandbytes"
    method = METHODS.get(name or "")
    if method is None:
        raise SpecError(
            f"quant_method of the {where} is {shown(name)}; expected {', '.join(METHODS)}. Without its "
            "quantization_config, the config describes the same model with all weights in its dtype"
        )
    return method, fields


def checkpoint_of(method: Method, settings: Fields, weights: Iterable[Weight]) -> Checkpoint:
    """Return the format of each weight of a model.

    Args:
        method: The method.
        settings: Its settings.
        weights: The weights that methods quantize.

    Raises:
        SpecError: A setting is not valid.
    """
    formats = method.formats(settings)
    lists = {key: listed for key in method.left_out if (listed := settings.texts(key)) is not None}
    left_out = [method.match(settings.name(key), listed) for key, listed in lists.items()]
    keeps = method.keeps == "always" or (method.keeps == "unless listed" and not lists)
    found: dict[str, Format] = {}
    for weight in weights:
        if (keeps and weight.is_kept) or (method.of == "experts" and not weight.of_experts):
            continue
        if any(matches(weight) for matches in left_out):
            continue
        form = formats(weight)
        if form is not None:
            found[weight.parameter] = form
    return Checkpoint(method.name, found)

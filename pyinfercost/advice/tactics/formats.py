"""Formats of weights: 8 and 4 bits, alone or with narrow activations, for all layers or for those that gain."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING

from ...hardware.dtypes import CORE_DTYPES
from ...results.units import percent
from ...transform.torchao_kernels import is_convertible, torchao_kernels
from ..facts import generates, has_convolutions, products
from ..reasons import matrix_share
from ..tactic import Option, Options, Refusal, Tactic
from .engine import in_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..._core import Graph, Hardware
    from ..case import Case
    from ..setups import Setup
    from ..tactic import Tried

_NUMBER = re.compile(r"\d+")
_TORCHAO = {
    "int8_wo": "Int8WeightOnlyConfig()",
    "int4_wo": "Int4WeightOnlyConfig(group_size=128)",
    "fp8_wo": "Float8WeightOnlyConfig()",
    "int8_dynamic": "Int8DynamicActivationInt8WeightConfig()",
    "fp8_dynamic": "Float8DynamicActivationFloat8WeightConfig()",
}
_SMALL = 0.2
"""Share of the time below which linear layers are the reason that their formats do not help."""

_NEEDS = {"int8_dynamic": "int8", "fp8_dynamic": "fp8", "fp8_wo": "fp8"}
"""Format -> dtype for which the machine needs an engine. Other formats are multiplied in 16 bits; kernels that read
weights of fp8 exist where there is an engine for it."""

_ENGINES = {
    "vllm": {"int4_wo": "awq", "fp8_dynamic": "fp8", "int8_dynamic": "compressed-tensors"},
    "sglang": {"int4_wo": "awq", "fp8_dynamic": "fp8", "int8_dynamic": "w8a8_int8"},
    "trtllm": {"int4_wo": "W4A16_AWQ", "fp8_dynamic": "FP8", "int8_wo": "W8A16"},
}
"""Engine -> format -> name of its kernels' method."""


def applied_to_linear(graph: Graph, form: str, setup: Setup) -> str:
    """Return a format for the linear layers of a graph, in the notation of `--quantize`; empty if it has none.

    In torch, torchao converts them, by its own kernels.
    """
    found = products(graph)
    if in_torch(setup):
        return kernels_of(setup) + form if any(is_convertible(each) for each in found) else ""
    linear = list(dict.fromkeys(each.node.module for each in found if not each.spatial_dims))
    others = list(dict.fromkeys(each.node.module for each in found if each.spatial_dims))
    if not linear:
        return ""
    if not others or not form.endswith(("_dynamic", "_static")):
        return form  # formats of weights alone leave convolutions as they are
    excluded = ",".join([*(f"{name}=none" for name in _patterns(others, linear)), f"*={form}"])
    named = ",".join(f"{name}={form}" for name in _patterns(linear, others))
    return min(named, excluded, key=len)


def form_words(form: str) -> str:
    """Return the name of a format for people: `int8 weights+activations`."""
    return form.replace("_wo", " weights").replace("_dynamic", " weights+activations")


def kind_of(module: str) -> str:
    """Return the path of a module with `*` for numbers: layers of a stack are of one kind."""
    return _NUMBER.sub("*", module)


def _patterns(modules: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return patterns that match some modules and none of the others: as few numbers as that takes."""
    matches: dict[str, bool] = {}
    patterns: dict[str, None] = {}
    for module in modules:
        if any(fnmatch.fnmatchcase(module, pattern) for pattern in patterns):
            continue
        for pattern in _wider(module):
            if pattern not in matches:
                matches[pattern] = any(fnmatch.fnmatchcase(each, pattern) for each in others)
            if not matches[pattern]:
                patterns[pattern] = None
                break
        else:
            patterns[module] = None
    return list(patterns)


def _wider(module: str) -> Iterator[str]:
    """Yield a path with `*` for all numbers, for all but the last one, ..., and for none."""
    places = [match.span() for match in _NUMBER.finditer(module)]
    for kept in range(len(places) + 1):
        cut = places[len(places) - kept][0] if kept else len(module)
        yield kind_of(module[:cut]) + module[cut:]


def kernels_of(setup: Setup) -> str:
    """Return the prefix of formats in the notation of `--quantize`: the kernels of torchao in torch."""
    return f"{torchao_kernels(setup.placed.machine)}:" if in_torch(setup) else ""


class _Formats(Tactic):
    """Formats of a list, as torchao and serving engines have them."""

    group = "formats"
    risk = "small"
    effort = "build"
    forms: Sequence[str] = ()

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer the formats whose kernels the engine has for linear layers, and the machine an engine for."""
        graph, machine = case.graphs.open(setup.variant), setup.placed.machine
        if setup.variant.quantize or setup.variant.prune:
            has = setup.variant.quantize or setup.variant.prune
            return Options((), [Refusal(text=self.title, why=f"weights are in {has} already")])
        if setup.on.precision in ("int8", "fp8"):
            return Options((), [Refusal(text=self.title, why=f"products run in {setup.on.precision} already")])
        found, refused = [], []
        for form in self.forms:
            text = form_words(form)
            why = _why_not(form, graph, machine, setup)
            if not why and not (policy := applied_to_linear(graph, form, setup)):
                why = "it is for linear layers, and the model has none"
            if why:
                refused.append(Refusal(text=text, why=why))
                continue
            code = (
                f"torchao.quantization.quantize_(model, {_TORCHAO[form]})"
                if in_torch(setup)
                else f"a checkpoint in {_ENGINES.get(setup.on.engine, {}).get(form, form)}"
            )
            note = "linear layers only" if has_convolutions(graph) else ""
            found.append(Option(text=text, change={"quantize": policy}, published=form, apply=code, note=note))
        return Options(found, refused)

    def why_not(self, tried: Tried, case: Case) -> str:
        """Return the share of the time that linear layers take."""
        return _of_convolutions(case)


def _of_convolutions(case: Case) -> str:
    """Return why formats of linear layers do not help a model of convolutions; empty for another one."""
    if case.estimate is None or not has_convolutions(case.graph):
        return ""
    share = matrix_share(case.estimate)
    return f"it is for linear layers, which take {percent(share)} % of the time" if share < _SMALL else ""


def _why_not(form: str, graph: Graph, machine: Hardware, setup: Setup) -> str:
    engine = setup.on.engine
    if engine in ("tensorrt", "onnxruntime"):
        return f"it is for torch and serving engines, and the engine is {engine}"
    if not in_torch(setup) and form not in _ENGINES.get(engine, {}):
        return f"engine {engine} has no kernels for it"
    dtype = _NEEDS.get(form)
    if dtype and CORE_DTYPES[dtype] not in (*machine.matrix_flop_per_s, *machine.vector_flop_per_s):
        return f"{machine.id} has no engine for {dtype}"
    if form == "int4_wo" and machine.kind != "gpu":
        return f"its kernels are for GPUs, and {machine.id} is none"
    return ""


class WeightFormats(_Formats):
    """Narrow weights that kernels read and multiply in 16 bits."""

    name = "weight_formats"
    title = "8-bit and 4-bit weights"
    forms = ("int8_wo", "fp8_wo", "int4_wo")


class ActivationFormats(_Formats):
    """Narrow weights and activations, quantized in each forward."""

    name = "activation_formats"
    title = "8-bit weights and activations"
    forms = ("int8_dynamic", "fp8_dynamic")


class CacheFormat(Tactic):
    """Narrow keys and values of attention."""

    name = "kv_cache"
    title = "an 8-bit KV cache"
    risk = "small"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer fp8 and int8 for the caches of language models."""
        graph, machine = case.graphs.open(setup.variant), setup.placed.machine
        if not generates(graph):
            return Options()
        if setup.variant.kv_cache:
            return Options((), [Refusal(text=self.title, why=f"it is in {setup.variant.kv_cache} already")])
        found, refused = [], []
        for form in ("fp8", "int8"):
            text = f"a KV cache in {form}"
            if in_torch(setup):
                refused.append(Refusal(text=text, why="torch's own attention has no kernels for it; use an engine"))
                continue
            if form == "int8" and setup.on.engine != "trtllm":
                refused.append(Refusal(text=text, why=f"engine {setup.on.engine} has fp8 instead"))
                continue
            if form == "fp8" and CORE_DTYPES["fp8"] not in machine.matrix_flop_per_s:
                refused.append(Refusal(text=text, why=f"{machine.id} has no engine for fp8"))
                continue
            code = "--kv-cache-dtype fp8" if form == "fp8" else "kv_cache_quant_algo: INT8"
            found.append(Option(text=text, change={"kv_cache": form}, published=f"kv:{form}", apply=code))
        return Options(found, refused)


class TwoFour(Tactic):
    """Two of four weights are zero, which sparse matrix units skip."""

    name = "two_four"
    title = "2:4 pruning"
    group = "formats"
    risk = "retrain"
    effort = "training"
    published = "2:4"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer it for linear layers on machines with a unit for it."""
        graph, machine = case.graphs.open(setup.variant), setup.placed.machine
        if setup.variant.quantize or setup.variant.prune:
            has = setup.variant.quantize or setup.variant.prune
            return Options((), [Refusal(text=self.title, why=f"weights are in {has} already")])
        if not machine.sparsity_2_4 or machine.sparsity_2_4 <= 1:
            why = f"{machine.id} has no unit that skips zeros, and multiplies them"
            return Options((), [Refusal(text=self.title, why=why)])
        if not any(not each.spatial_dims for each in products(graph)):
            why = "kernels for it are of linear layers, and the model has none"
            return Options((), [Refusal(text=self.title, why=why)])
        code = "torchao.sparsity.sparsify_(model, torchao.sparsity.semi_sparse_weight())  # after pruning and training"
        return Options([Option(text="2:4 weights", change={"prune": "2:4"}, apply=code)])

    def why_not(self, tried: Tried, case: Case) -> str:
        """Return the share of the time that linear layers take."""
        return _of_convolutions(case)

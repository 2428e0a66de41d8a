"""Names of models as people type them, and the specs that they stand for."""

from __future__ import annotations

import json
from typing import NamedTuple

from .. import _cache
from .._checks import excerpt, shown
from .huggingface.local_cache import snapshot_of
from .loaded_model import UnknownModelError
from .memory_formats import CHANNELS_LAST, marked, split_format
from .model_names import LISTING, libraries_with, similar, versions
from .registry import MODEL_FORMS, SCHEMES, source_of
from .spec_keys import place_of

_LONGEST = 200


def resolved(text: str) -> str:
    """Return the spec that a text stands for.

    A spec and a path are themselves, with schemes in any case. A bare name is the model of that name of torchvision or
    timm; if both have it, torchvision's, unless the two differ. An id is one of the local Hugging Face cache.

    Args:
        text: A spec, a path, or a name.

    Raises:
        UnknownModelError: There is no such model, or there are several that differ; the message has the candidates.
    """
    text, channels_last = split_format(text)
    return marked(_resolved(text), CHANNELS_LAST if channels_last else "")


def _resolved(text: str) -> str:
    scheme, colon, rest = text.partition(":")
    if colon and scheme not in SCHEMES and scheme.lower() in SCHEMES:
        text = f"{scheme.lower()}:{rest}"
    if source_of(text) is not None:
        return text
    if not colon and 0 < len(text) <= _LONGEST:
        for name in dict.fromkeys((text, text.lower().replace("-", "_"))):
            libraries = libraries_with(name)
            if libraries:
                return _same(name, libraries)
        if snapshot_of(text.partition("#")[0]) is not None:
            return f"hf:{text}"
    near = similar(rest or text) if len(text) <= _LONGEST else []
    meant = f"did you mean {' or '.join(near)}? Otherwise " if near else ""
    if not near and "/" in text and not colon:
        meant = f"a model of Hugging Face is hf:{excerpt(text)}; otherwise "
    if not near and text.isidentifier() and not any(map(place_of, LISTING)):
        meant = "names of models need torchvision or timm: pip install 'pyinfercost[models]'; otherwise "
    raise UnknownModelError(f"model {shown(text)} is not known; {meant}expected {MODEL_FORMS}")


class _Figures(NamedTuple):
    """By what two models of the same name are told apart."""

    contraction_flops: int
    parameters: int


def _same(name: str, libraries: tuple[str, ...]) -> str:
    """Return the spec of a model that several libraries have, if theirs are equal.

    Raises:
        UnknownModelError: They differ.
    """
    specs = [f"{library}:{name}" for library in libraries]
    if len(specs) == 1:
        return specs[0]
    key = _cache.digest(name, *map(versions, libraries), _cache.of_package("sources", "formats"))
    stored = _cache.read("figures", key)
    if stored is not None:
        figures = [_Figures(*each) for each in json.loads(stored)]
    else:
        figures = [_figures(spec) for spec in specs]
        _cache.write("figures", key, json.dumps(figures).encode())
    if len(set(figures)) == 1:
        return specs[0]
    listed = " and ".join(
        f"{spec} ({each.contraction_flops / 2e9:.4g} GMAC, {each.parameters / 1e6:.4g} M parameters)"
        for spec, each in zip(specs, figures, strict=True)
    )
    raise UnknownModelError(f"model {shown(name)} is {listed}, which differ; give one of them")


def _figures(spec: str) -> _Figures:
    from .._core import count
    from .spec_graphs import spec_graph

    graph = spec_graph(spec, {}).graph
    total = count(graph, graph.size_values({})).total
    return _Figures(int(total.contraction_flops), int(total.parameters))

"""Names of models as people type them, and the specs that they stand for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from .. import _cache
from .._checks import excerpt, is_file, is_folder, shown, why_no_file
from .huggingface.local_cache import snapshot_of
from .loaded_model import SpecError, UnknownModelError, unknown_name
from .memory_formats import CHANNELS_LAST, marked, split_format
from .model_names import LISTING, libraries_with, names_of, similar, versions
from .registry import MODEL_FORMS, SCHEMES, Source, source_of
from .spec_keys import place_of

_LONGEST = 200
_PATHS = ("/", "./", "../", "~")


def resolved(text: str) -> str:
    """Return the spec that a text stands for.

    A spec and a path are themselves, with schemes in any case. A bare name is the model of that name of torchvision or
    timm; if both have it, torchvision's, unless the two differ. An id is one of the local Hugging Face cache.

    Args:
        text: A spec, a path, or a name.

    Raises:
        UnknownModelError: There is no such model, or there are several that differ; the message has the candidates.
        SpecError: There is no such file.
    """
    text, channels_last = split_format(text)
    return marked(_resolved(text), CHANNELS_LAST if channels_last else "")


def named(text: str) -> str:
    """Return the spec that a text stands for, as `resolved` does, and look up names of torchvision and timm as well.

    Raises:
        UnknownModelError: There is no such model, or there are several that differ; the message has the candidates.
        SpecError: There is no such file.
    """
    spec = resolved(text)
    source = source_of(split_format(spec)[0])
    if source is not None and source.name in LISTING and place_of(source.name) is not None:
        name = source.rest_of(split_format(spec)[0])
        if name not in names_of(source.name):
            raise unknown_name(source.name, name, names_of(source.name))
    return spec


def missing_file(spec: str) -> bool:
    """Return whether a spec is the path of a file that does not exist."""
    spec = split_format(spec)[0]
    source = source_of(spec)
    path = Path(spec.rpartition("#")[0] if source is not None and source.has_phases and "#" in spec else spec)
    return source is not None and bool(source.suffixes) and not source.scheme and not is_file(path)


def _resolved(text: str) -> str:
    scheme, colon, rest = text.partition(":")
    if colon and scheme not in SCHEMES and scheme.lower() in SCHEMES:
        text = f"{scheme.lower()}:{rest}"
    if "://" in text:
        raise UnknownModelError(
            f"model {shown(text)} is an address, and nothing is downloaded; download the file and give its path, or "
            "give hf:ID for a model of the local Hugging Face cache"
        )
    if (source := source_of(text)) is not None:
        _check_place(source, text)
        return text
    if is_file(Path(text)):  # other files are refused where they are opened
        return text
    if not colon and 0 < len(text) <= _LONGEST:
        for name in dict.fromkeys((text, text.lower().replace("-", "_"))):
            libraries = libraries_with(name)
            if libraries:
                return _same(name, libraries)
        name, mark, _ = text.partition("#")
        if snapshot_of(name) is not None:
            return f"hf:{text}"
        if mark and (source_of(name) is not None or libraries_with(name)):
            raise UnknownModelError(
                f"model {shown(text)} is not known: {excerpt(name)} has no phases, which only language models have, "
                f"of hf: or of a GGUF file; give {excerpt(name)}"
            )
    near = similar(rest or text) if len(text) <= _LONGEST else []
    if text.startswith(_PATHS):
        meant = "there is no such file or folder; "
    elif near:
        raise UnknownModelError(f"model {shown(text)} is not known; did you mean {' or '.join(near)}?")
    elif text.isidentifier() and not any(map(place_of, LISTING)):
        meant = "names of models need torchvision or timm: pip install 'pyinfercost[models]'; otherwise "
    else:
        meant = f"a model of Hugging Face is hf:{excerpt(text)}; otherwise " if "/" in text and not colon else ""
    raise UnknownModelError(f"model {shown(text)} is not known; {meant}expected {MODEL_FORMS}")


def _check_place(source: Source, spec: str) -> None:
    """Reject a config that is nowhere, before its library is imported, which takes seconds."""
    rest = source.rest_of(spec)
    if source.name not in ("huggingface", "folder") or not rest:
        return
    name = rest.partition("#")[0]
    path = Path(name)
    if is_folder(path):
        if not is_file(path / "config.json"):
            raise SpecError(f"{spec}: the folder has no config.json; expected a folder with one")
    elif name.endswith(".json") and not is_file(path):
        raise SpecError(f"{spec}: {why_no_file(path)}; expected a config.json")
    elif not is_file(path) and snapshot_of(name) is None:
        raise UnknownModelError(
            f"{spec} is not a config.json, not a folder with one, and not in the local Hugging Face cache. "
            f"Nothing is downloaded: run `hf download {name} config.json`, or give the path of its config.json"
        )


class _Figures(NamedTuple):
    """Figures that tell two models of the same name apart."""

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

"""Registry of model sources: one row for each form of the text that names a model.

A row has the form of the text (a scheme before a colon, or a suffix) and the name of the function that opens it.
Functions are imported on use, so that lookups import no library.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._checks import is_folder
from .._records import dataclass
from .other_formats import HINTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from .._core import Graph
    from .loaded_model import LoadedModel


@dataclass(frozen=True)
class Source:
    """One form of the names of models.

    Attributes:
        name: Name of the source.
        form: Notation for users; empty for files that are refused with a hint.
        opens: `"module"`: builds a module without weights at given sizes. `"graph"`: reads a captured graph, whose
            sizes stay symbolic. `"weights"`: has weights only.
        opener: `module:function` in this package: `(rest, sizes) -> LoadedModel` for modules, `(path, *, dynamic)
            -> Graph` for graphs, where `rest` is the text after the scheme.
        scheme: Text before the colon.
        suffixes: File name suffixes, in lower case.
        libraries: For sources whose graphs are kept in the cache: the libraries that define the models, in addition to
            torch if it opens modules.
        has_files: Whether the text after the scheme names a config or a file, which decide the model, too.
        config: For language models with phases: `module:function` that returns the config of `transformers` for the
            text after the scheme. `#prefill` or `#decode` may follow the text.
        engine: The serving engine that runs such files; empty for files of any engine.
    """

    name: str
    form: str
    opens: Literal["module", "graph", "weights"]
    opener: str = ""
    scheme: str = ""
    suffixes: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    has_files: bool = False
    config: str = ""
    engine: str = ""

    @property
    def has_phases(self) -> bool:
        """Whether its models may read prompts and generate."""
        return bool(self.config)

    def rest_of(self, spec: str) -> str:
        """Return the text of a spec after the scheme."""
        return spec.removeprefix(f"{self.scheme}:") if self.scheme else spec

    def config_of(self, spec: str) -> Any:
        """Return the config of a spec; for sources with phases."""
        return _function(self.config)(self.rest_of(spec))

    def load(self, rest: str, sizes: Mapping[str, int]) -> LoadedModel:
        """Build the module; for sources that open modules."""
        loaded: LoadedModel = _function(self.opener)(rest, sizes)
        return loaded

    def read(self, path: str, dynamic: Any = None) -> Graph:
        """Read the graph; for sources that open graphs. `dynamic` names symbolic sizes, as in `capture`."""
        graph: Graph = _function(self.opener)(path, dynamic=dynamic)
        return graph


def _function(path: str) -> Any:
    module, _, function = path.partition(":")
    return getattr(import_module(f".{module}", __package__), function)


SOURCES = (
    Source(
        "torchvision",
        "torchvision:NAME",
        "module",
        "torchvision_models:load_torchvision",
        scheme="torchvision",
        libraries=("torchvision",),
    ),
    Source("timm", "timm:NAME", "module", "timm_models:load_timm", scheme="timm", libraries=("timm",)),
    Source(
        "huggingface",
        "hf:CONFIG.json (or a folder, or a cached id; #prefill or #decode may follow)",
        "module",
        "huggingface.loading:load_spec",
        scheme="hf",
        libraries=("transformers",),
        has_files=True,
        config="huggingface.classes:load_config",
    ),
    Source(
        "folder",
        "FOLDER with config.json and safetensors files (#prefill or #decode may follow)",
        "module",
        "huggingface.loading:load_spec",
        libraries=("transformers",),
        has_files=True,
        config="huggingface.classes:load_config",
    ),
    Source(
        "diffusers",
        "diffusers:CONFIG.json (or a folder)",
        "module",
        "diffusion.loading:load_diffusers",
        scheme="diffusers",
        libraries=("diffusers",),
        has_files=True,
    ),
    Source(
        "gguf",
        "FILE.gguf (#prefill or #decode may follow)",
        "module",
        "gguf.loading:load_gguf",
        suffixes=(".gguf",),
        libraries=("transformers",),
        has_files=True,
        config="gguf.loading:load_config",
        engine="llamacpp",
    ),
    Source("archive", "FILE.pt2", "graph", "exported.archive:graph_from_archive", suffixes=(".pt2",)),
    Source(
        "onnx",
        "FILE.onnx",
        "graph",
        "onnx.model_files:graph_from_onnx",
        suffixes=(".onnx",),
        libraries=("onnx",),
        has_files=True,
    ),
    Source("other runtimes", "", "graph", "other_formats:refuse", suffixes=tuple(HINTS)),
    Source("graph", "FILE.json", "graph", "graph_file:read_graph", suffixes=(".json",)),
    Source("safetensors", "FILE.safetensors", "weights", suffixes=(".safetensors", ".safetensors.index.json")),
)
SCHEMES = frozenset(source.scheme for source in SOURCES if source.scheme)
"""Texts before the colon of specs."""

LIBRARIES = tuple(dict.fromkeys(library for source in SOURCES for library in source.libraries))
"""Libraries that define or read models."""

FOLDER = next(source for source in SOURCES if source.name == "folder")
"""A folder of a checkpoint, by the text alone: no scheme and no suffix."""
CALLABLE = Source("callable", "package.module:callable", "module", "callables:load_callable")
"""The user's own function; the text before the colon is a module that is not a scheme."""

MODEL_FORMS = ", ".join(source.form for source in (*SOURCES, CALLABLE) if source.form and source.opens != "weights")
"""All forms of a model, for error messages."""


def source_of(spec: str) -> Source | None:
    """Return the source of a spec or a path, or None if there is none.

    Schemes take precedence over suffixes, and these over folders.

    Args:
        spec: A model spec or a path. A file need not exist; a folder is one that does.

    Returns:
        The source, or None.
    """
    scheme, colon, rest = spec.partition(":")
    if scheme and colon:
        for source in SOURCES:
            if source.scheme == scheme:
                return source
    file = spec.rpartition("#")[0]
    lower, lower_file = spec.lower(), file.lower()
    matches = [
        (len(end), source)
        for source in SOURCES
        for end in source.suffixes
        if lower.endswith(end) or (source.has_phases and lower_file.endswith(end))
    ]
    if matches:
        return max(matches, key=lambda match: match[0])[1]
    if is_folder(Path(spec)) or (file and is_folder(Path(file))):
        return FOLDER
    if colon and rest and all(part.isidentifier() for part in scheme.split(".")):
        return CALLABLE
    return None


def is_graph(spec: str) -> bool:
    """Return whether a text names a stored graph, whose sizes stay symbolic."""
    source = source_of(spec)
    return source is not None and source.opens == "graph"


def is_library_model(spec: str) -> bool:
    """Return whether a text names a library's model, whose batch is 1 by default."""
    source = source_of(spec)
    return source is not None and (bool(source.scheme) or source.has_phases)


def engine_of(spec: object) -> str | None:
    """Return the engine that runs a model by default, where its files belong to one engine; else None."""
    source = source_of(spec) if isinstance(spec, str) else None
    return None if source is None else source.engine or None

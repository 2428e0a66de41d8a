"""Model sources: one row for each way to name a model as text.

A row says how the text looks (a scheme before a colon, or a suffix) and which function opens it. Functions are named,
not imported, so that looking up a row imports no library.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from .._core import Graph
    from .loaded_model import LoadedModel


@dataclass(frozen=True)
class Source:
    """One way to name a model.

    Attributes:
        name: Its name in code.
        form: How a user writes it.
        opens: `"module"`: builds a module without weights, at given sizes. `"graph"`: reads a captured graph, whose
            sizes stay open. `"weights"`: has weights alone.
        opener: `module:function` below this package: `(rest, sizes) -> LoadedModel` for modules, `(path, *, dynamic)
            -> Graph` for graphs, where `rest` follows the scheme.
        scheme: The word before the colon.
        suffixes: Ends of file names.
    """

    name: str
    form: str
    opens: Literal["module", "graph", "weights"]
    opener: str = ""
    scheme: str = ""
    suffixes: tuple[str, ...] = ()

    def load(self, rest: str, sizes: Mapping[str, int]) -> LoadedModel:
        """Build the module; for sources that open modules."""
        loaded: LoadedModel = self._function()(rest, sizes)
        return loaded

    def read(self, path: str, dynamic: Any = None) -> Graph:
        """Read the graph; for sources that open graphs. `dynamic` names open sizes, as in `capture`."""
        graph: Graph = self._function()(path, dynamic=dynamic)
        return graph

    def _function(self) -> Any:
        module, _, function = self.opener.partition(":")
        return getattr(import_module(f".{module}", __package__), function)


SOURCES = (
    Source("torchvision", "torchvision:NAME", "module", "torchvision_models:load_torchvision", scheme="torchvision"),
    Source("timm", "timm:NAME", "module", "timm_models:load_timm", scheme="timm"),
    Source(
        "huggingface",
        "hf:CONFIG.json (or a folder, or a cached id; #prefill or #decode may follow)",
        "module",
        "huggingface.loading:load_spec",
        scheme="hf",
    ),
    Source(
        "diffusers",
        "diffusers:CONFIG.json (or a folder)",
        "module",
        "diffusion.loading:load_diffusers",
        scheme="diffusers",
    ),
    Source("archive", "FILE.pt2", "graph", "exported.archive:graph_from_archive", suffixes=(".pt2",)),
    Source("graph", "FILE.json", "graph", "graph_file:read_graph", suffixes=(".json",)),
    Source("safetensors", "FILE.safetensors", "weights", suffixes=(".safetensors", ".safetensors.index.json")),
)
CALLABLE = Source("callable", "package.module:callable", "module", "callables:load_callable")
"""The user's own function; every other word before a colon is a module's name."""

MODEL_FORMS = ", ".join(source.form for source in (*SOURCES, CALLABLE) if source.opens != "weights")
"""All forms of a model, for error messages."""


def source_of(spec: str) -> Source | None:
    """Return the source that a text names, or None if none does. Schemes take precedence over suffixes.

    Args:
        spec: A model spec or a path; the file need not exist.
    """
    scheme, colon, rest = spec.partition(":")
    if colon:
        for source in SOURCES:
            if source.scheme == scheme:
                return source
    matches = [(len(end), source) for source in SOURCES for end in source.suffixes if spec.endswith(end)]
    if matches:
        return max(matches, key=lambda match: match[0])[1]
    if colon and rest and all(part.isidentifier() for part in scheme.split(".")):
        return CALLABLE
    return None


def is_graph(spec: str) -> bool:
    """Whether a text names a stored graph, whose sizes stay open."""
    source = source_of(spec)
    return source is not None and source.opens == "graph"


def is_library_model(spec: str) -> bool:
    """Whether a text names a model of a library; such a model runs at batch 1 unless told otherwise."""
    source = source_of(spec)
    return source is not None and bool(source.scheme)

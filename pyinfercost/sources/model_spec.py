"""Models that are asked for in words: `torchvision:resnet50`, `hf:config.json#decode`, `model.pt2`, `package.module:f`.

Models are built without weights on the meta device, in evaluation mode, as their published weights would have them.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyinfercost._core import Graph
from pyinfercost.sources.build_device import build_device
from pyinfercost.sources.huggingface import LoadedModel, SpecError, checked_sizes, load_hf

if TYPE_CHECKING:
    import torch

__all__ = ["LoadedModel", "SpecError", "load_graph", "load_model", "load_training_graph"]

_FORMS = (
    "torchvision:NAME, timm:NAME, hf:CONFIG.json (or a folder, or a cached id; #prefill or #decode may follow), "
    "diffusers:CONFIG.json (or a folder), FILE.pt2, FILE.json, or package.module:callable"
)
_EXTRAS = frozenset({"torch", "torchvision", "timm", "transformers", "diffusers"})
_DEFAULT_SIDE = 224
_VIDEO_FRAMES = 16
_PUBLISHED_SIDE = 512  # what torchvision counted its figures for detection and optical flow at
# Builders whose model is made for one image size, and the argument that says which.
_SIZE_ARGUMENTS = {"vit_": "image_size", "maxvit_": "input_size"}


def load_graph(spec: str, sizes: Mapping[str, int]) -> Graph:
    """The graph of a model at the given sizes.

    Args:
        spec: one of the forms that this module's docstring lists.
        sizes: size name -> value, in images, tokens or pixels. A `.pt2` or `.json` keeps its own sizes open; the given
            ones are only checked against them, bind them when counting. Every other form is traced at the given sizes,
            and what is not given has a default: `batch` 1, `image_size` what the model was published for, `sequence`
            128, `context` 2048. A size that depends on data (`roi_heads.nms`) is given to the trace.

    Raises:
        SpecError: when the spec is not understood, there is no such model, or it has no such size.
        ArchiveError: when a `.pt2` cannot be read.
    """
    if spec.endswith(".pt2") and not _has_scheme(spec):
        from pyinfercost.sources.exported.archive import graph_from_archive

        return _with_sizes(spec, graph_from_archive(_file(spec)), sizes)
    if spec.endswith(".json") and not _has_scheme(spec):
        try:
            graph = Graph.from_json(_file(spec).read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise SpecError(f"{spec} is not UTF-8 text: {error}; expected a graph written by Graph.to_json") from error
        return _with_sizes(spec, graph, sizes)
    loaded = load_model(spec, {name: value for name, value in sizes.items() if "." not in name})
    from pyinfercost.sources.trace.trace import trace_graph

    of_data = {name: value for name, value in sizes.items() if "." in name}
    return trace_graph(loaded.module, loaded.args, loaded.kwargs, model=spec, sizes=of_data)


def load_training_graph(spec: str, sizes: Mapping[str, int], loss: Callable[[Any], Any] | None = None) -> Graph:
    """The graph of one training step of a model, as `load_graph`, which says what is raised; `loss` as in `capture`."""
    if spec.endswith((".pt2", ".json")) and not _has_scheme(spec):
        raise SpecError(f"{spec} holds what was captured before; expected a model, to capture a training step of")
    loaded = load_model(spec, sizes)
    from pyinfercost.sources.trace.trace import trace_graph

    return trace_graph(loaded.module.train(), loaded.args, loaded.kwargs, model=spec, training=True, loss=loss)


def load_model(spec: str, sizes: Mapping[str, int]) -> LoadedModel:
    """The module that a spec names, with inputs at the given sizes.

    Args:
        spec: as for `load_graph`, without the two file forms.
        sizes: as for `load_graph`.

    Returns:
        `(module, args, kwargs, dynamic)`; `dynamic` names the input dimensions that a capture may keep open.

    Raises:
        SpecError: as for `load_graph`.
        ImportError: when the library that the spec names is not installed; the message says which extra brings it.
    """
    try:
        return _load(spec, sizes)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRAS:
            raise
        raise ImportError(
            f"{spec} needs {error.name}, which is not installed: pip install 'pyinfercost[models]'", name=error.name
        ) from error


def _load(spec: str, sizes: Mapping[str, int]) -> LoadedModel:
    scheme, separator, name = spec.partition(":")
    if not separator or not name:
        raise SpecError(f"model {spec!r} is not understood, expected {_FORMS}")
    if scheme == "torchvision":
        return _load_torchvision(name, sizes)
    if scheme == "timm":
        return _load_timm(name, sizes)
    if scheme == "hf":
        path, _, phase = name.partition("#")
        return load_hf(path, phase, sizes)
    if scheme == "diffusers":
        from pyinfercost.sources.diffusion.loading import load_diffusers

        return load_diffusers(name, sizes)
    if all(part.isidentifier() for part in scheme.split(".")):
        return _load_callable(spec, scheme, name, sizes)
    raise SpecError(f"model {spec!r} is not understood, expected {_FORMS}")


def _has_scheme(spec: str) -> bool:
    return spec.partition(":")[0] in {"torchvision", "timm", "hf", "diffusers"}


def _file(spec: str) -> Path:
    path = Path(spec)
    if not path.is_file():
        raise SpecError(f"{spec}: there is no such file")
    return path


def _with_sizes(spec: str, graph: Graph, sizes: Mapping[str, int]) -> Graph:
    unknown = sorted(set(sizes) - set(graph.sizes))
    if unknown:
        known = " or ".join(graph.sizes) or "none: all its sizes are fixed"
        raise SpecError(f"{spec} has no size {unknown[0]!r}, expected {known}")
    return graph


def _unknown(library: str, name: str, names: Iterable[str]) -> SpecError:
    names = list(names)
    nearest = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
    meant = f"did you mean {', '.join(nearest)}?" if nearest else "no name is near it"
    return SpecError(f"{library} has no model {name!r} among its {len(names)}; {meant}")


def _images(batch: int, *shape: int) -> torch.Tensor:
    import torch

    return torch.empty((batch, *shape), device="meta")


def _on_meta(build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    import torch
    from torch.overrides import TorchFunctionMode

    class WeightsOnMeta(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            del types
            kwargs = dict(kwargs or {})
            if func is torch.empty:
                kwargs["device"] = build_device()
            return func(*args, **kwargs)

    try:
        with torch.device(build_device()):
            return build().eval()
    except (RuntimeError, NotImplementedError):
        # Some models compute their own widths with tensors, which meta tensors cannot; weights alone are made with
        # `torch.empty`.
        with WeightsOnMeta():
            return build().to(build_device()).eval()


def _load_torchvision(name: str, sizes: Mapping[str, int]) -> LoadedModel:
    from torchvision import models

    if name not in models.list_models():
        raise _unknown("torchvision", name, models.list_models())
    weights = models.get_model_weights(name).DEFAULT
    transforms = getattr(weights.transforms, "keywords", {})
    builder = models.get_model_builder(name)
    spec, family = f"torchvision:{name}", builder.__module__.split(".")[2]
    side = _side(transforms.get("crop_size", transforms.get("resize_size")))
    if family in {"detection", "optical_flow"}:
        side = _PUBLISHED_SIDE
    known = checked_sizes(
        spec, sizes, {"batch": 1, "image_size": side} | ({"frames": _VIDEO_FRAMES} if family == "video" else {})
    )
    side = known["image_size"]
    parameters = inspect.signature(builder).parameters
    options: dict[str, Any] = {"weights": None}
    if "weights_backbone" in parameters:
        options["weights_backbone"] = None  # it would be downloaded
    if "aux_loss" in parameters:
        options["aux_loss"] = True  # the published weights keep the auxiliary head, and it runs
    if name == "googlenet":
        options |= {"aux_logits": False, "init_weights": False}  # the published weights drop the auxiliary heads
    elif name == "inception_v3":
        options["init_weights"] = False  # it warns that the default will change; no weight is initialised here anyway
    for prefix, argument in _SIZE_ARGUMENTS.items():
        if name.startswith(prefix):
            options[argument] = side if argument == "image_size" else (side, side)
    module = _on_meta(lambda: models.get_model(name, **options))
    if family == "detection":
        _freeze_as_published(module, weights)
    if family == "optical_flow":
        pair = (_images(known["batch"], 3, side, side), _images(known["batch"], 3, side, side))
        return LoadedModel(module, pair, {}, {0: {0: "batch"}, 1: {0: "batch"}})
    if family == "detection":  # takes a list of images, and resizes them itself
        return LoadedModel(module, ([_images(1, 3, side, side)[0] for _ in range(known["batch"])],), {}, {})
    shape = (3, known["frames"], side, side) if family == "video" else (3, side, side)
    return LoadedModel(module, (_images(known["batch"], *shape),), {}, {0: {0: "batch"}})


def _freeze_as_published(module: torch.nn.Module, weights: Any) -> None:
    """Freezes the batch norms of a backbone, as torchvision does where it loads weights."""
    import torch
    from torchvision.ops.misc import FrozenBatchNorm2d

    if sum(p.numel() for p in module.parameters()) == weights.meta["num_params"]:
        return
    backbone = module.get_submodule("backbone")
    norms = [name for name, part in backbone.named_modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for name in norms:
        norm = backbone.get_submodule(name)
        path, _, attribute = name.rpartition(".")
        with torch.device(build_device()):
            setattr(backbone.get_submodule(path), attribute, FrozenBatchNorm2d(norm.num_features, eps=norm.eps))


def _side(size: Any) -> int:
    if isinstance(size, int):
        return size
    return int(size[0]) if size else _DEFAULT_SIDE


def _load_timm(name: str, sizes: Mapping[str, int]) -> LoadedModel:
    import timm

    if not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models())
    published = timm.get_pretrained_cfg(name)
    channels, height, width = (published.input_size if published else None) or (3, _DEFAULT_SIDE, _DEFAULT_SIDE)
    known = checked_sizes(f"timm:{name}", sizes, {"batch": 1, "image_size": height})
    options: dict[str, Any] = {}
    if "image_size" in sizes:
        height = width = known["image_size"]
        if published and published.fixed_input_size:
            options["img_size"] = height
    module = _on_meta(lambda: timm.create_model(name, pretrained=False, **options))
    return LoadedModel(module, (_images(known["batch"], channels, height, width),), {}, {0: {0: "batch"}})


def _load_callable(spec: str, module_name: str, attribute: str, sizes: Mapping[str, int]) -> LoadedModel:
    make = _imported(spec, module_name, attribute)
    accepted = inspect.signature(make).parameters
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values())
    given = {name: value for name, value in sizes.items() if open_ended or name in accepted}
    try:
        inspect.signature(make).bind(**given)
    except TypeError as error:
        raise SpecError(f"{spec} cannot be called with the sizes {given}: {error}") from error
    made = make(**given)
    left = [name for name in sizes if not open_ended and name not in accepted]
    if isinstance(made, tuple) and made and hasattr(made[0], "named_parameters"):
        if left:
            raise SpecError(
                f"{spec} takes no size {left[0]!r}, expected {' or '.join(accepted) or 'none'}: "
                "sizes are passed as its arguments"
            )
        args, kwargs = made[1] if len(made) > 1 else (), made[2] if len(made) > 2 else {}  # noqa: PLR2004
        if not isinstance(args, tuple) or not isinstance(kwargs, Mapping):
            raise SpecError(
                f"{spec} returned inputs as {type(args).__name__} and {type(kwargs).__name__}, "
                "expected (module, tuple of args, dict of kwargs)"
            )
        return LoadedModel(made[0].eval(), args, dict(kwargs), {})
    if not hasattr(made, "named_parameters"):
        raise SpecError(
            f"{spec} returned a {type(made).__name__}, expected an nn.Module, (module, args) or (module, args, kwargs)"
        )
    needed = [
        p
        for p in inspect.signature(made.forward).parameters.values()
        if p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD
    ]
    if len(needed) != 1:
        raise SpecError(
            f"{spec} returned a module whose forward takes {len(needed)} inputs, "
            "expected (module, args) with the inputs to use"
        )
    # A module alone says nothing about its input: take it for an image model.
    remaining = {name: sizes[name] for name in left}
    known = checked_sizes(spec, remaining, {"batch": 1, "image_size": _DEFAULT_SIDE})
    return LoadedModel(
        made.eval(), (_images(known["batch"], 3, known["image_size"], known["image_size"]),), {}, {0: {0: "batch"}}
    )


def _imported(spec: str, module_name: str, attribute: str) -> Any:
    # A console script does not have the current folder on its path, where a user's own module lies.
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        if error.name and not (module_name + ".").startswith(error.name + "."):
            raise  # the module is there, and something that it needs is not
        raise SpecError(f"{spec}: there is no module {module_name!r}; expected {_FORMS}") from error
    except AttributeError as error:
        raise SpecError(f"{spec}: {error}") from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    if not callable(found):
        raise SpecError(f"{spec} is a {type(found).__name__}, expected something to call that returns a module")
    return found

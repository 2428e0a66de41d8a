"""Keys of the cache for the graph of a spec or a file: texts, files, libraries. Imports no library.

A spec has a key only if all that decides its graph is known: the model is from an installed library, which this program
has not imported itself and may have changed, and its files are in one folder. Functions of users may read anything, and
have none.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _cache
from .._checks import is_file, is_folder, read_bytes
from .huggingface.local_cache import snapshot_of

if TYPE_CHECKING:
    from types import ModuleType

    from .registry import Source

# Variables that change the behavior of libraries; HF_TOKEN and its like do not.
_SETTINGS = re.compile(r"(TORCH|PYTORCH|HF_|HUGGINGFACE|TRANSFORMERS|TIMM|DIFFUSERS|ACCELERATE|USE_|CUDA_VISIBLE).*")
_NO_SETTINGS = re.compile(r".*(TOKEN|SECRET|PASSWORD|OFFLINE|_HOME|_CACHE).*")
_DRIVERS = ("/dev/nvidia0", "/dev/kfd", "/dev/accel0")
_INSTALLED = (".dist-info", ".egg-info")
_MOST_FILES = 2_000  # in the folder of a config
_MOST_CONFIG_BYTES = 4_000_000
_OTHER_CONFIG = re.compile(rb'"(backbone|[a-z_]*name_or_path|backbone_config_name)"\s*:\s*"[^"]*/')
_KEYED_FILES = (".json", ".safetensors")
_WHOLE = ".gguf"  # of which several may be one model

_ours: set[str] = set()
"""Libraries of models that were imported for a capture, and not by the program."""


def key_of_spec(source: Source, rest: str) -> tuple[object, ...] | None:
    """Return all that decides the graph of a spec, apart from its sizes; None if it is not known.

    Args:
        source: The source of the spec.
        rest: The spec without its scheme.
    """
    places = _places_of(source, "torch")
    if places is None:
        return None
    files: object = ()
    if source.has_files:
        files = _files_of(rest)
        if files is None:
            return None
    state = _state_of_torch()
    if state is None:
        return None
    return (
        *_cache.of_package("sources", "formats"),
        source.name,
        rest,
        files,
        *places,
        _settings(),
        state,
        sys.platform,
        sys.version_info[:3],
        getattr(os, "uname", lambda: ("",))()[-1],
        tuple(os.path.exists(driver) for driver in _DRIVERS),
    )


def key_of_file(source: Source, path: str) -> tuple[object, ...] | None:
    """Return all that decides the graph of a file, apart from files that it refers to; None if it is not known.

    Args:
        source: The source of the file, which reads it without torch.
        path: The file.
    """
    places = _places_of(source)
    stamp = _cache.of_file(path)
    if places is None or stamp is None:
        return None
    return (*_cache.of_package("sources", "formats"), source.name, os.path.abspath(path), stamp, *places, sys.platform)


def _places_of(source: Source, *others: str) -> tuple[object, ...] | None:
    """Return the places of the libraries of a source, and a key of their versions; None if it is not known."""
    if not source.libraries or any(_is_foreign(library) for library in source.libraries):
        return None
    places: list[str] = []
    for library in (*others, *source.libraries):
        place = place_of(library)
        if place is None:
            return None
        places.append(place)
    return (tuple(places), _cache.digest(*map(metadata_in, sorted(set(places)))))


def _settings() -> tuple[tuple[str, str], ...]:
    """Return the variables that change the behavior of libraries."""
    return tuple(
        sorted(
            (name, value)
            for name, value in os.environ.items()
            if _SETTINGS.fullmatch(name) and not _NO_SETTINGS.fullmatch(name)
        )
    )


@contextmanager
def importing() -> Iterator[None]:
    """Remember the libraries of models that are first imported within the context: no program has changed them."""
    from .registry import LIBRARIES

    before = {library for library in LIBRARIES if library in sys.modules}
    try:
        yield
    finally:
        _ours.update(library for library in LIBRARIES if library in sys.modules and library not in before)


def is_of_libraries(module: Any, libraries: Iterable[str]) -> bool:
    """Return whether all classes of a module and its parts are from libraries, and none is from a program.

    Args:
        module: The module.
        libraries: The libraries except torch.
    """
    known = {"torch", *libraries}
    return all(type(part).__module__.partition(".")[0] in known for part in module.modules())


def _is_foreign(library: str) -> bool:
    return library in sys.modules and library not in _ours


def place_of(library: str) -> str | None:
    """Return the folder on the path that a library is installed in; None if that cannot be told."""
    loaded: ModuleType | None = sys.modules.get(library)
    for entry in sys.path:
        base = entry or "."
        if os.path.isfile(os.path.join(base, library + ".py")):
            return None  # a file of the same name comes first
        if os.path.isdir(os.path.join(base, library)):
            place = os.path.abspath(base)
            if loaded is not None and os.path.dirname(os.path.dirname(loaded.__file__ or "")) != place:
                return None
            # Without metadata in its folder, it is a checkout, whose files may change at any time.
            return place if _version_in(place, library) else None
    return None


def _version_in(place: str, library: str) -> bool:
    return any(name.lower().startswith(f"{library}-") for name, *_ in metadata_in(place))


def metadata_in(place: str) -> tuple[tuple[str, int, int], ...]:
    """Return the folders with metadata of installed packages, whose names have their versions.

    All of them: libraries use others where they are installed.
    """
    return _metadata_at(place, _cache.of_file(place))


@lru_cache(maxsize=64)
def _metadata_at(place: str, _version: object) -> tuple[tuple[str, int, int], ...]:
    found = []
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name.endswith(_INSTALLED):
                    status = entry.stat()
                    found.append((entry.name, status.st_mtime_ns, status.st_ino))
    except OSError:
        return ()
    return tuple(sorted(found))


def _files_of(rest: str) -> tuple[object, ...] | None:
    """Return a key of a config or a file and the files in its folder; None if it is not known."""
    name = rest.partition("#")[0]
    path = Path(name)
    if name.endswith(_WHOLE):
        return _stamps(path.parent, _WHOLE) if is_file(path) else None
    config: Path | None
    if name.endswith(".json"):
        config = path
    elif is_folder(path):
        config = path / "config.json"
    else:
        snapshot = snapshot_of(name)
        config = None if snapshot is None else snapshot / "config.json"
    if config is None or not is_file(config):
        return None
    content = _content(config)
    if content is None or _OTHER_CONFIG.search(content):
        return None  # it names another model, which may be in the hub's cache
    if config.name != "config.json":
        return (content,)
    stamps = _stamps(config.parent, _KEYED_FILES)
    others = [_content(path) for path in sorted(config.parent.glob("*config.json")) if path != config]
    return None if stamps is None else (content, stamps, *others)


def _stamps(folder: Path, endings: str | tuple[str, ...]) -> tuple[object, ...] | None:
    """Return a key of the files of a folder; None if there are too many."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entry.name for entry in entries if entry.name.endswith(endings))
    except OSError:
        return None
    if len(found) > _MOST_FILES:
        return None
    return (os.path.abspath(folder), *((file, _cache.of_file(str(folder / file))) for file in found))


def _content(path: Path) -> bytes | None:
    try:
        return read_bytes(path, most=_MOST_CONFIG_BYTES)
    except OSError:
        return None


def _state_of_torch() -> tuple[object, ...] | None:
    """Return the settings of torch in this process that a forward depends on; None within a mode of the caller."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return ("torch.float32", False, False)
    # A module that is being imported in another thread lacks attributes.
    try:
        core = torch._C
        if core._len_torch_function_stack() or core._len_torch_dispatch_stack():
            return None
        autocast = any(torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda"))
        return (str(torch.get_default_dtype()), autocast, bool(torch.are_deterministic_algorithms_enabled()))
    except (AttributeError, TypeError, RuntimeError):
        return None

"""A model in one GGUF file, or in several that are numbered: `model-00001-of-00003.gguf`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ... import _core
from ..._checks import is_file, shown
from ..loaded_model import SpecError
from .reading import read_header, spec_errors

_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
_NUMBER, _TENSORS = "split.no", "split.tensors.count"


def read_model(path: Path, spec: str) -> _core.GgufModel:
    """Return the settings and the tensors of a model.

    Args:
        path: Its file, or the first of several.
        spec: Name of the model in errors.

    Raises:
        SpecError: A file is damaged, or one of several is missing.
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read.
    """
    first, model = read_header(path), _core.GgufModel(spec)
    settings = first.settings
    with spec_errors():
        model.add(first, file=path.name)
        parts = _other_parts(path, spec, settings, model.parts) if model.parts > 1 else []
        for part in parts:
            model.add(read_header(part), file=part.name)
    stated, found = settings.get(_TENSORS), len(model.tensors)
    if parts and stated not in (None, found):
        raise SpecError(f"{spec}: {_TENSORS} is {shown(stated)}, and its files have {found:,}; download them again")
    return model


def _other_parts(path: Path, spec: str, settings: Mapping[str, Any], count: int) -> list[Path]:
    named = _PART.fullmatch(path.name)
    if named is None or int(named[3]) != count:
        raise SpecError(f"{spec} is one of {count} files; expected a name such as NAME-00001-of-{count:05d}.gguf")
    number = settings.get(_NUMBER, int(named[2]) - 1)
    if int(named[2]) != 1 or number != 0:
        raise SpecError(f"{spec} is not the first of its {count} files; pass {named[1]}-00001-of-{count:05d}.gguf")
    parts = [path.with_name(f"{named[1]}-{part:05d}-of-{count:05d}.gguf") for part in range(2, count + 1)]
    missing = [part.name for part in parts if not is_file(part)]
    if missing:
        raise SpecError(
            f"{spec} has {count} files, and {len(missing)} are missing in its folder: {', '.join(missing[:3])}"
        )
    return parts

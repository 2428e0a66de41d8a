"""A model in one GGUF file, or in several that are numbered: `model-00001-of-00003.gguf`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..._checks import Range, is_file, shown, whole
from ..loaded_model import SpecError
from .reading import Header, Setting, Skipped, Tensor, read_header

if TYPE_CHECKING:
    from collections.abc import Mapping

_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
_COUNT, _NUMBER, _TENSORS = "split.count", "split.no", "split.tensors.count"
_MOST_FILES = 1_000


@dataclass(frozen=True)
class GgufModel:
    """A model in GGUF files.

    Attributes:
        spec: Name of the model in errors.
        settings: Values of the first file by key.
        tensors: The tensors of all files by name.
    """

    spec: str
    settings: Mapping[str, Setting | Skipped]
    tensors: Mapping[str, Tensor]

    @property
    def architecture(self) -> str:
        """Name of the architecture; empty if the file has none."""
        found = self.settings.get("general.architecture")
        return found if isinstance(found, str) else ""

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def has(self, key: str) -> bool:
        """Return whether the architecture has a setting."""
        return f"{self.architecture}.{key}" in self.settings

    def raw(self, key: str) -> Setting | Skipped | None:
        """Return a setting of the architecture; None if it is not there."""
        return self.settings.get(f"{self.architecture}.{key}")

    def count(self, key: str, default: int | None = None, *, within: Range | None = None) -> int:
        """Return a setting that is a whole number.

        Args:
            key: The key without the name of the architecture.
            default: Its value where it is not there.
            within: Its range; numbers from 1 to 2^31 by default.

        Raises:
            SpecError: It is missing, or out of range.
        """
        value = self.raw(key)
        if value is None:
            if default is None:
                raise SpecError(f"{self.spec} has no setting {self.architecture}.{key}; expected a complete GGUF file")
            return default
        return self._whole(value, key, within)

    def counts(self, key: str, layers: int, default: int | None = None) -> list[int]:
        """Return a setting that is a whole number or one per layer, as one per layer.

        Raises:
            SpecError: It is missing, out of range, or has another number of layers.
        """
        value = self.raw(key)
        if not isinstance(value, tuple):
            return [self.count(key, default)] * layers
        if len(value) != layers:
            raise SpecError(f"{self.spec}: {self.architecture}.{key} has {len(value)} values for {layers} layers")
        return [self._whole(each, key, None) for each in value]

    def number(self, key: str, default: float) -> float:
        """Return a setting that is a number.

        Raises:
            SpecError: It is something else.
        """
        value = self.raw(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SpecError(f"{self.spec}: {self.architecture}.{key} is {shown(value)}; expected a number")
        return float(value)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the dimensions of a tensor.

        Raises:
            SpecError: There is no such tensor.
        """
        if name not in self.tensors:
            raise SpecError(f"{self.spec} has no tensor {name}; expected a complete {self.architecture}")
        return self.tensors[name].shape

    def _whole(self, value: object, key: str, within: Range | None) -> int:
        limits = Range(1, 2**31) if within is None else within
        return whole(value, f"{self.architecture}.{key} of {self.spec}", limits, SpecError)


def read_model(path: Path, spec: str) -> GgufModel:
    """Return the settings and the tensors of a model.

    Args:
        path: Its file, or the first of several.
        spec: Name of the model in errors.

    Raises:
        SpecError: A file is damaged, or one of several is missing.
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read.
    """
    first = read_header(path)
    count = first.settings.get(_COUNT, 0)
    if not isinstance(count, int) or not 0 <= count <= _MOST_FILES:
        raise SpecError(f"{spec}: {_COUNT} is {shown(count)}; expected up to {_MOST_FILES:,} files")
    headers = [first, *(read_header(part) for part in _other_parts(path, spec, first, count))] if count > 1 else [first]
    tensors: dict[str, Tensor] = {}
    for header in headers:
        for tensor in header.tensors:
            if tensor.name in tensors:
                raise SpecError(f"{spec}: {header.path.name} has the tensor {shown(tensor.name)} of an earlier file")
            tensors[tensor.name] = tensor
    stated = first.settings.get(_TENSORS, len(tensors))
    if count > 1 and stated != len(tensors):
        raise SpecError(
            f"{spec}: {_TENSORS} is {shown(stated)}, and its files have {len(tensors):,}; download them again"
        )
    return GgufModel(spec, first.settings, tensors)


def _other_parts(path: Path, spec: str, first: Header, count: int) -> list[Path]:
    named = _PART.fullmatch(path.name)
    if named is None or int(named[3]) != count:
        raise SpecError(f"{spec} is one of {count} files; expected a name such as NAME-00001-of-{count:05d}.gguf")
    number = first.settings.get(_NUMBER, int(named[2]) - 1)
    if int(named[2]) != 1 or number != 0:
        raise SpecError(f"{spec} is not the first of its {count} files; pass {named[1]}-00001-of-{count:05d}.gguf")
    parts = [path.with_name(f"{named[1]}-{part:05d}-of-{count:05d}.gguf") for part in range(2, count + 1)]
    missing = [part.name for part in parts if not is_file(part)]
    if missing:
        raise SpecError(
            f"{spec} has {count} files, and {len(missing)} are missing in its folder: {', '.join(missing[:3])}"
        )
    return parts

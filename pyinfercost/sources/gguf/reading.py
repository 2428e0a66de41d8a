"""Headers of GGUF files, which the core reads (csrc/sources/gguf_header.cpp)."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ... import _core
from ..._checks import errors_of_reading, open_file
from ...errors import InputError
from ..loaded_model import SpecError


@contextmanager
def spec_errors() -> Iterator[None]:
    """Raise what the core refuses of a model as a `SpecError`."""
    try:
        yield
    except InputError as error:
        if type(error) is not InputError:
            raise
        raise SpecError(str(error)) from None


def read_header(path: Path) -> _core.GgufHeader:
    """Return the header of a file; the data of tensors is not read.

    Args:
        path: The file.

    Raises:
        SpecError: It is of another format or damaged.
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read.
    """
    with open_file(path) as file, errors_of_reading(path):
        if not file.read(1):
            raise SpecError(f"{path} is empty; expected a GGUF file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, spec_errors():
            return _core.GgufHeader(data, name=str(path))

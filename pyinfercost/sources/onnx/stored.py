"""Tensors that an ONNX file stores: dtype, shape and bytes from their descriptions, values only of small ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._checks import open_file
from ...errors import InputError
from ..files_read import reads

# onnx.TensorProto.DataType -> (the core's name, bits of an element). A string is counted as a reference; fp4 has the
# width of int4, since a torch element of fp4 has two values.
_DTYPES = {
    1: ("float32", 32),
    2: ("uint8", 8),
    3: ("int8", 8),
    4: ("uint16", 16),
    5: ("int16", 16),
    6: ("int32", 32),
    7: ("int64", 64),
    8: ("int64", 64),
    9: ("bool", 8),
    10: ("float16", 16),
    11: ("float64", 64),
    12: ("uint32", 32),
    13: ("uint64", 64),
    14: ("complex64", 64),
    15: ("complex128", 128),
    16: ("bfloat16", 16),
    17: ("float8_e4m3fn", 8),
    18: ("float8_e4m3fnuz", 8),
    19: ("float8_e5m2", 8),
    20: ("float8_e5m2fnuz", 8),
    21: ("uint4", 4),
    22: ("int4", 4),
    23: ("int4", 4),
    24: ("float8_e8m0fnu", 8),
    25: ("uint2", 2),
    26: ("int2", 2),
}
_CODES = {"float32": 1, **{name: code for code, (name, _) in reversed(_DTYPES.items()) if code not in (8, 23)}}
_STRING = 8
_EXTERNAL = 1  # onnx.TensorProto.DataLocation.EXTERNAL
_LONGEST = 2**48  # limit of lengths and offsets
_NUMPY = {  # dtypes whose raw bytes numpy reads
    1: "<f4",
    2: "u1",
    3: "i1",
    4: "<u2",
    5: "<i2",
    6: "<i4",
    7: "<i8",
    9: "?",
    10: "<f2",
    11: "<f8",
    12: "<u4",
    13: "<u8",
}


class OnnxError(InputError):
    """An ONNX model cannot be read; the message names the file or the node, and what is expected."""


def dtype_of(code: int) -> str:
    """Return the dtype of a code in `onnx.TensorProto.DataType`.

    Raises:
        OnnxError: The code is none of a tensor's element.
    """
    if code not in _DTYPES:
        raise OnnxError(f"element type {code!r} is unknown; expected one of {sorted(_DTYPES)}")
    return _DTYPES[code][0]


def code_of(dtype: str) -> int:
    """Return the code in `onnx.TensorProto.DataType` of a dtype; float32 for one that ONNX does not have."""
    return _CODES.get(dtype, 1)


def kinds_of(graph: Any) -> dict[str, str]:
    """Return initializer -> its origin, from the metadata of torch's exporter."""
    kinds = {}
    for info in (*graph.value_info, *graph.initializer):
        for entry in info.metadata_props:
            if entry.key.endswith("InputSpec.kind"):
                kinds[info.name] = str(entry.value).rpartition(".")[2].upper()
    return kinds


class StoredTensor:
    """An initializer or a constant, described by its `TensorProto`.

    Args:
        proto: The `TensorProto`.
        folder: Folder of the file, for external data; None where it is not known.
        kind: Origin that torch's exporter stored: `PARAMETER`, `BUFFER`, `CONSTANT_TENSOR`; empty for others.

    Raises:
        OnnxError: The dtype is unknown, or a length is out of range.
    """

    __slots__ = ("_folder", "_proto", "dtype", "is_string", "kind", "shape")

    def __init__(self, proto: Any, folder: Path | None, kind: str = "") -> None:
        self._proto = proto
        self.kind = kind
        self._folder = folder
        self.is_string = proto.data_type == _STRING
        try:
            self.dtype = dtype_of(proto.data_type)
        except OnnxError as error:
            raise OnnxError(f"tensor {proto.name!r}: {error}") from None
        self.shape = tuple(proto.dims)
        if any(not 0 <= length <= _LONGEST for length in self.shape) or math.prod(self.shape) > _LONGEST:
            raise OnnxError(f"tensor {proto.name!r} has the lengths {list(self.shape)}; expected 0 to 2^48 elements")

    @property
    def name(self) -> str:
        """Its name in the file."""
        name: str = self._proto.name
        return name

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def stored_bytes(self) -> int:
        """Bytes of the elements, two of four bits in a byte."""
        return (self.elements * _DTYPES[self._proto.data_type][1] + 7) // 8

    @property
    def is_external(self) -> bool:
        """Whether the elements lie in another file."""
        return bool(self._proto.data_location == _EXTERNAL)

    def place(self) -> tuple[Path, int]:
        """Return file and offset of external data.

        Raises:
            OnnxError: The description of the place is not valid, or leads out of the model's folder.
        """
        entries = {entry.key: entry.value for entry in self._proto.external_data}
        location = entries.get("location", "")
        offset = entries.get("offset", "0")
        if not offset.isdecimal() or len(offset) > len(str(_LONGEST)):
            raise OnnxError(f"tensor {self.name!r} has the offset {offset!r} in its external data; expected a number")
        parts = Path(location.replace("\\", "/")).parts
        if not parts or "\0" in location or Path(location).is_absolute() or ".." in parts:
            raise OnnxError(
                f"tensor {self.name!r} has its data in {location!r}; expected a file in the folder of the model"
            )
        if self._folder is None:
            raise OnnxError(f"tensor {self.name!r} has external data; pass the path of the model instead of its proto")
        return self._folder / location, int(offset)

    def array(self) -> NDArray[Any] | None:
        """Return the values; None for text, dtypes that numpy does not have, and external data that is not there.

        Raises:
            OnnxError: The data has another length than the shape.
        """
        proto = self._proto
        numpy_dtype = _NUMPY.get(proto.data_type)
        if numpy_dtype is None:
            return None
        if self.is_external:
            found = self._external()
            return None if found is None else np.frombuffer(found, dtype=numpy_dtype).reshape(self.shape)
        if proto.HasField("raw_data"):
            raw = proto.raw_data
        else:
            return self._of_fields(numpy_dtype)
        if len(raw) != self.stored_bytes:
            raise OnnxError(f"tensor {self.name!r} has {len(raw)} bytes; expected {self.stored_bytes}")
        return np.frombuffer(raw, dtype=numpy_dtype).reshape(self.shape)

    def raw(self) -> bytes | None:
        """Return the stored bytes of a tensor in the file itself; None if it is stored in another form."""
        if self.is_external or not self._proto.HasField("raw_data"):
            return None
        data: bytes = self._proto.raw_data
        return data

    def _of_fields(self, numpy_dtype: str) -> NDArray[Any] | None:
        from onnx import numpy_helper

        try:
            array: NDArray[Any] = numpy_helper.to_array(self._proto)
        except (ValueError, TypeError, OverflowError) as error:
            raise OnnxError(f"tensor {self.name!r} cannot be read: {error}") from error
        return array.astype(numpy_dtype, copy=False)

    def _external(self) -> bytes | None:
        if self._folder is None:
            return None
        path, offset = self.place()
        reads(path)
        try:
            with open_file(path) as file:
                file.seek(offset)
                data = file.read(self.stored_bytes)
        except OSError:
            return None
        return data if len(data) == self.stored_bytes else None

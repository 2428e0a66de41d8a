"""GGUF files byte by byte, by the description of the format (ggml/docs/gguf.md)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

KINDS = {"u8": 0, "i8": 1, "u16": 2, "i16": 3, "u32": 4, "i32": 5, "f32": 6, "bool": 7, "text": 8, "array": 9,
         "u64": 10, "i64": 11, "f64": 12}  # fmt: skip
CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
VERSION, ALIGNMENT = 3, 32


def text(value: str | bytes, order: str = "<") -> bytes:
    """Return a text with its length."""
    raw = value.encode(errors="surrogatepass") if isinstance(value, str) else value
    return struct.pack(f"{order}Q", len(raw)) + raw


def setting(key: str | bytes, kind: int, value: Any, order: str = "<") -> bytes:
    """Return a setting; the value of a text or an array is its bytes."""
    raw = value if isinstance(value, bytes) else struct.pack(f"{order}{CODES[kind]}", value)
    return text(key, order) + struct.pack(f"{order}I", kind) + raw


def array(kind: int, values: Sequence[Any], order: str = "<") -> bytes:
    """Return the value of an array."""
    is_text = kind == KINDS["text"]
    each = [text(value, order) if is_text else struct.pack(f"{order}{CODES[kind]}", value) for value in values]
    return struct.pack(f"{order}IQ", kind, len(values)) + b"".join(each)


def tensor(name: str, inward: Sequence[int], kind: int, offset: int, order: str = "<") -> bytes:
    """Return the entry of a tensor; dimensions are given from the innermost."""
    lengths = struct.pack(f"{order}I{len(inward)}Q", len(inward), *inward)
    return text(name, order) + lengths + struct.pack(f"{order}IQ", kind, offset)


def content(
    settings: Sequence[bytes],
    tensors: Sequence[bytes],
    data: int = 0,
    *,
    order: str = "<",
    version: int = VERSION,
    align: int = ALIGNMENT,
) -> bytes:
    """Return a file with so many bytes of data."""
    head = b"GGUF" + struct.pack(f"{order}IQQ", version, len(tensors), len(settings))
    body = head + b"".join(settings) + b"".join(tensors)
    return body + bytes(-len(body) % align + data)

"""Headers of GGUF files: what is read, and what is refused."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from support.gguf_bytes import KINDS, array, content, setting, tensor, text

from pyinfercost._core import GgufSkipped
from pyinfercost.errors import Error, FileAccessError, MissingFileError
from pyinfercost.formats.ggml import GGML_FORMATS, GGML_TYPES
from pyinfercost.formats.table import FORMATS
from pyinfercost.sources.gguf.files import read_model
from pyinfercost.sources.gguf.reading import read_header
from pyinfercost.sources.loaded_model import SpecError

gguf = pytest.importorskip("gguf")

GOOD = [tensor("a", (32, 2), 2, 0), tensor("b", (3,), 0, 64)]
GOOD_DATA = 64 + 12


def written(folder: Path, raw: bytes) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_type_of_setting_is_read(tmp_path: Path, order: str, version: int) -> None:
    values = {"u8": 250, "i8": -3, "u16": 60_000, "i16": -300, "u32": 4_000_000_000, "i32": -70_000, "f32": 0.5,
              "bool": True, "u64": 2**63, "i64": -(2**40), "f64": 1e300}  # fmt: skip
    settings = [setting(name, KINDS[name], value, order) for name, value in values.items()]
    settings.append(setting("text", KINDS["text"], text("né", order), order))
    settings.append(setting("list", KINDS["array"], array(KINDS["i32"], [5, -6], order), order))
    settings.append(setting("tokens", KINDS["array"], array(KINDS["text"], ["a", "bc", ""], order), order))
    settings.append(setting("many", KINDS["array"], array(KINDS["u8"], [1] * 5000, order), order))
    entries = [tensor("a", (32, 2), 2, 0, order), tensor("b", (3,), 0, 64, order)]
    header = read_header(written(tmp_path, content(settings, entries, GOOD_DATA, order=order, version=version)))
    assert header.version == version
    found = dict(header.settings)
    assert found == {**values, "text": "né", "list": (5, -6), "tokens": GgufSkipped(3), "many": GgufSkipped(5000)}
    assert [(t.name, t.shape, t.type.name, t.offset, t.nbytes) for t in header.tensors] == [
        ("a", (2, 32), "Q4_0", 0, 36), ("b", (3,), "F32", 64, 12)
    ]  # fmt: skip


def test_types_have_the_sizes_of_the_library() -> None:
    for kind, (weights, nbytes) in gguf.GGML_QUANT_SIZES.items():
        if kind.name == "Q8_1":  # of activations; the library has the size that it had before its sums were halves
            continue
        known = GGML_TYPES[kind.value]
        assert (known.name, known.weights, known.nbytes) == (kind.name, weights, nbytes)


def test_formats_store_the_bytes_of_a_block() -> None:
    widths = {"int2": 2, "int4": 4, "int8": 8, "uint8": 8, "float4_e2m1fn_x2": 8, "float16": 16, "float8_e4m3fn": 8}
    for kind in GGML_TYPES.values():
        if kind.form is None:
            continue
        form = kind.form
        assert form.group is not None
        groups = kind.weights // form.group
        scales = groups * (form.block * 8 + sum(widths[each] for each in (form.scale, form.zero) if each is not None))
        assert kind.weights * widths[form.dtype] / form.values + scales == 8 * kind.nbytes, kind.name
    assert set(GGML_FORMATS).isdisjoint(FORMATS)


def test_a_vocabulary_is_skipped(tmp_path: Path) -> None:
    tokens = setting("tokenizer.ggml.tokens", KINDS["array"], array(KINDS["text"], ["token"] * 100_000))
    after = setting("llama.block_count", KINDS["u32"], 3)
    header = read_header(written(tmp_path, content([tokens, after], GOOD, GOOD_DATA)))
    assert header.settings == {"tokenizer.ggml.tokens": GgufSkipped(100_000), "llama.block_count": 3}


NESTED = struct.pack("<IQ", KINDS["array"], 1)
WRONG: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty; expected a GGUF file"),
    "other format": (b"PK\x03\x04" + bytes(100), "does not start with GGUF; it is truncated or of another format"),
    "magic alone": (b"GGUF", "ends within its header"),
    "version 1": (content([], [], version=1), "version 1 of GGUF, expected 2 or 3"),
    "version 9": (content([], [], version=9), "version 9 of GGUF"),
    "more tensors than bytes": (b"GGUF" + struct.pack("<IQQ", 3, 2**40, 0), "states 1,099,511,627,776 tensors"),
    "more settings than bytes": (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63), "settings, which its 24 bytes"),
    "long key": (content([struct.pack("<Q", 2**60)], []), "has a key of 1,152,921,504,606,846,976 bytes"),
    "key is not text": (content([setting("a", 0, 1)], []).replace(b"\x01\x00\x00\x00\x00\x00\x00\x00a",
                                                                  b"\x01\x00\x00\x00\x00\x00\x00\x00\xff"),
                        "a key that is not UTF-8"),
    "repeated key": (content([setting("a", 0, 1)] * 2, []), "has the setting 'a' twice"),
    "unknown type of a value": (content([setting("a", 13, b"")], []), "has type 13 for the setting 'a'"),
    "long text": (content([setting("a", 8, struct.pack("<Q", 2**50))], []), "ends within its header"),
    "long array of numbers": (content([setting("a", 9, struct.pack("<IQ", 12, 2**61))], []), "ends within its header"),
    "long array of texts": (content([setting("a", 9, struct.pack("<IQ", 8, 2**61))], []), "expected those in the file"),
    "texts beyond the file": (content([setting("a", 9, struct.pack("<IQQ", 8, 1, 2**62))], []), "within the 1 texts"),
    "recursive arrays": (content([setting("a", 9, NESTED * 200)], []), "more than 4 deep"),
    "rank": (content([], [text("a") + struct.pack("<I", 2**31)]), "has 2147483648 dimensions"),
    "elements": (content([], [tensor("a", (2**40, 2**40), 0, 0)]), "above 2^48 elements"),
    "overflow": (content([], [tensor("a", (2**63, 2**63, 4), 0, 0)]), "above 2^48 elements"),
    "unknown type": (content([], [tensor("a", (32,), 77, 0)]), "has type 77 for tensor 'a'; known types are F32, F16"),
    "part of a block": (content([], [tensor("a", (33,), 2, 0)]), "rows of 33 for tensor 'a'; Q4_0 has blocks of 32"),
    "number in blocks": (content([], [tensor("a", (), 2, 0)]), "one number of type Q4_0"),
    "overlap": (content([], [tensor("a", (32,), 0, 0), tensor("b", (32,), 0, 64)], 256), "within tensor 'a'"),
    "same place": (content([], [tensor("a", (32,), 0, 0), tensor("b", (32,), 0, 0)], 256), "within tensor 'a'"),
    "not aligned": (content([], [tensor("a", (1,), 0, 4)], 64), "at 4, not aligned to 32"),
    "truncated": (content([], [tensor("a", (32,), 0, 0)], 127), "it is truncated: download it again"),
    "repeated tensor": (content([], [tensor("a", (8,), 0, 0), tensor("a", (8,), 0, 32)], 64), "the tensor 'a' twice"),
    "alignment": (content([setting("general.alignment", 4, 0)], GOOD, GOOD_DATA), "has general.alignment 0"),
    "alignment as text": (content([setting("general.alignment", 8, text("x"))], GOOD, 99), "has general.alignment 'x'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files_are_refused(tmp_path: Path, case: str) -> None:
    raw, message = WRONG[case]
    with pytest.raises(SpecError) as raised:
        read_header(written(tmp_path, raw))
    assert message in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_every_prefix_of_a_file_is_refused(tmp_path: Path) -> None:
    settings = [setting("a", 9, array(8, ["x", "y"])), setting("b", 8, text("z")), setting("c", 12, 1.0)]
    raw = content(settings, GOOD, GOOD_DATA)
    read_header(written(tmp_path, raw))
    for end in range(len(raw)):
        with pytest.raises(Error):
            read_header(written(tmp_path, raw[:end]))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        read_header(tmp_path / "absent.gguf")
    with pytest.raises(Error, match=r"is a folder|cannot be read"):
        read_header(tmp_path)


def split(folder: Path, number: int, count: int, tensors: list[bytes], *, stated: int = 2) -> Path:
    path = folder / f"m-{number + 1:05d}-of-{count:05d}.gguf"
    settings = [
        setting("split.no", 2, number),
        setting("split.count", 2, count),
        setting("split.tensors.count", 5, stated),
    ]
    path.write_bytes(content(settings, tensors, 256))
    return path


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(FileAccessError, match=r"pipe\.gguf is a pipe or a device; expected a file"):
        read_header(tmp_path / "pipe.gguf")


def test_a_long_value_is_described(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content([setting("a", 9, array(8, ["x", "y"]))], []))
    assert repr(read_header(path).settings["a"]) == "a text or an array of 2 elements"


def test_a_model_in_several_files(tmp_path: Path) -> None:
    first = split(tmp_path, 0, 2, [tensor("a", (32,), 0, 0)])
    second = split(tmp_path, 1, 2, [tensor("b", (8,), 1, 0)])
    model = read_model(first, "m")
    assert [(tensor.name, tensor.nbytes) for tensor in model.tensors] == [("a", 128), ("b", 16)]
    with pytest.raises(SpecError, match=r"is not the first of its 2 files; pass m-00001-of-00002\.gguf"):
        read_model(second, "m")
    second.unlink()
    with pytest.raises(SpecError, match=r"1 are missing in its folder: m-00002-of-00002\.gguf"):
        read_model(first, "m")
    split(tmp_path, 1, 2, [tensor("a", (8,), 1, 0)])
    with pytest.raises(SpecError, match="has the tensor 'a' of an earlier file"):
        read_model(first, "m")
    split(tmp_path, 1, 2, [])
    with pytest.raises(SpecError, match="its files have 1; download them again"):
        read_model(first, "m")
    renamed = first.rename(tmp_path / "model.gguf")
    with pytest.raises(SpecError, match="is one of 2 files; expected a name such as"):
        read_model(renamed, "m")

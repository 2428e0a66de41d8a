"""Weights in files: read in parts, with correct counts for any part, and errors for invalid and changing files."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support.sparsity_reference import reference, structured

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.cli import main
from pyinfercost.errors import FileAccessError, InputError, MissingFileError
from pyinfercost.scan import SparsityError, arrays
from pyinfercost.scan.weights_file import WeightsFile
from pyinfercost.sources.safetensors_headers import files_of

DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int8": "I8",
    "uint8": "U8",
    "int64": "I64",
    "bool": "BOOL",
}


def write(path: Path, tensors: dict[str, Any], **header: Any) -> Path:
    """A `.safetensors` file of numpy arrays; what else the header says is taken as it is."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, array in tensors.items():
        raw = np.ascontiguousarray(array).tobytes()
        offsets = [len(data), len(data) + len(raw)]
        entries[name] = {"dtype": DTYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": offsets}
        data += raw
    text = json.dumps(entries | header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def sparse(shape: tuple[int, ...], dtype: str = "float32", seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return np.where(structured(rng, shape, 0.4), rng.integers(1, 9, shape), 0).astype(dtype)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["sparsity", *arguments])


@pytest.fixture
def tensors() -> dict[str, Any]:
    return {
        "embedding": sparse((1000, 72)),
        "conv": sparse((40, 9, 3, 3), "float16"),
        "wide": sparse((3, 20_000), "int8"),
        "bias": sparse((1001,), "float64"),
        "scale": np.float32(0).reshape(()),
        "nothing": np.zeros((0, 4), dtype=np.float32),
    }


@pytest.mark.parametrize("threads", [1, 3])
def test_a_file_is_what_its_arrays_are(tmp_path: Path, tensors: dict[str, Any], threads: int) -> None:
    path = write(tmp_path / "model.safetensors", tensors)
    result = ic.sparsity(path, threads=threads)
    assert {weight.name for weight in result.weights} == tensors.keys()
    for name, array in tensors.items():
        assert result[name].figures == reference(array != 0, array.nbytes), name
        assert result[name].shape == array.shape
        assert result[name].magnitudes == ic.sparsity(array).weights[0].magnitudes
    assert result.total.elements == sum(array.size for array in tensors.values())
    assert result.total.zeros == sum(int((array == 0).sum()) for array in tensors.values())
    assert not result.skipped


SHAPES = [(1, 1), (3, 5), (64, 64), (65, 100), (200, 5_000), (64, 300_000), (130, 20_001), (1_000, 8), (3_000, 200)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.sample(12)
def test_a_region_of_a_file_is_that_of_memory(tmp_path: Path, shape: tuple[int, int], flat: bool, threads: int) -> None:
    """Some bands of rows at a time, one band, and parts of a band that is larger than a megabyte."""
    array = np.random.default_rng(0).integers(0, 3, size=shape).astype(np.float32)
    path = tmp_path / "bytes"
    path.write_bytes(b"before" + array.tobytes())
    rows, columns = (1, array.size) if flat else shape
    with path.open("rb") as file:
        sources = {0: memoryview(array).cast("B"), 6: _core.FileBytes(file.fileno(), str(path))}
        found = []
        for offset, source in sources.items():
            scan = _core.SparsityScan("float32", rows, columns, flat=flat)
            scan.add(source, offset=offset, threads=threads)
            found.append(scan.result())
    assert found[0] == found[1]


def scan_while_cut(path: Path) -> None:
    with WeightsFile(path) as file:
        os.truncate(path, file.size // 2)
        file.scan(arrays.Layout("float32", (4096, 64)), 100, 2)


def read_beyond(path: Path) -> None:
    with WeightsFile(path) as file:
        file.read(0, file.size + 1)


def test_a_file_that_is_cut_while_it_is_scanned_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", {"w": sparse((4096, 64))})
    with pytest.raises(InputError, match=r"model\.safetensors ends at byte .* it was cut"):
        scan_while_cut(path)
    with pytest.raises(SparsityError, match=r"ends at byte \d+; expected \d+"):
        read_beyond(path)


CUT_FOR_EVER = """
import os, sys, threading, numpy as np
import pyinfercost as ic
from pyinfercost.errors import Error
path, whole = sys.argv[1], open(sys.argv[1], "rb").read()
done = False
def cut():
    while not done:
        os.truncate(path, len(whole) // 3)
        with open(path, "r+b") as file:
            file.write(whole)
threading.Thread(target=cut, daemon=True).start()
refused = 0
for _ in range(200):
    try:
        ic.sparsity(path, threads=2)
    except Error:
        refused += 1
done = True
print(refused)
"""


def test_a_file_that_is_cut_again_and_again_never_ends_the_process(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", {"w": sparse((2048, 1024))})
    result = subprocess.run(
        [sys.executable, "-c", CUT_FOR_EVER, str(path)], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert int(result.stdout) > 0


def test_a_file_that_is_written_to_while_it_is_scanned_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", {"w": sparse((64, 64))})
    with pytest.raises(SparsityError, match="was written to while it was scanned"), WeightsFile(path):
        os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    ("name", "error"),
    [("absent", MissingFileError), (".", FileAccessError), ("\0", InputError), ("\ud800", InputError)],
)
def test_what_cannot_be_opened_is_an_error_of_the_package(tmp_path: Path, name: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"no such file|is a folder|cannot be read"):
        WeightsFile(tmp_path / name)


def raw(path: Path, header: dict[str, Any], data: bytes) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.mark.parametrize(
    ("offsets", "size", "message"),
    [
        (((0, 4), (2, 6)), 6, "'b' at byte .*; expected it at byte"),
        (((0, 4), (8, 12)), 12, "'b' at byte .*; expected it at byte"),
        (((0, 4), (4, 8)), 12, "4 bytes behind its last tensor"),
        (((4, 8), (8, 12)), 12, "'a' at byte .*; expected it at byte"),
    ],
)
def test_offsets_that_overlap_or_leave_gaps_are_refused(tmp_path: Path, offsets: Any, size: int, message: str) -> None:
    header = {
        name: {"dtype": "F32", "shape": [1], "data_offsets": list(place)}
        for name, place in zip("ab", offsets, strict=True)
    }
    with pytest.raises(SparsityError, match=message):
        ic.sparsity(raw(tmp_path / "model.safetensors", header, bytes(size)))


@pytest.mark.parametrize("shape", [(10**10, 0), (2**48, 0), (0, 10**10), (0, 2**48)])
def test_lengths_beside_a_length_of_zero_need_no_memory(tmp_path: Path, shape: tuple[int, int]) -> None:
    header = {"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}
    (weight,) = ic.sparsity(raw(tmp_path / "model.safetensors", header, b"")).weights
    assert (weight.figures.elements, weight.figures.zero_rows, weight.figures.zero_channels) == (0, *shape)


def test_lengths_beyond_reason_are_refused(tmp_path: Path) -> None:
    header = {"w": {"dtype": "F32", "shape": [2**62, 0], "data_offsets": [0, 0]}}
    with pytest.raises(SparsityError, match=r"'w'.*from 0 to 2\^48"):
        ic.sparsity(raw(tmp_path / "model.safetensors", header, b""))


def test_more_dimensions_than_tensors_have_are_refused(tmp_path: Path) -> None:
    for lengths in ([1] * 65, [2**48] * 100_000 + [0]):
        header = {"w": {"dtype": "F32", "shape": lengths, "data_offsets": [0, 0]}}
        with pytest.raises(SparsityError, match=r"'w'.*dimensions, at most 64 are possible"):
            ic.sparsity(raw(tmp_path / "model.safetensors", header, b""))


def test_a_huge_header_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes((2**25 + 1).to_bytes(8, "little"))
    os.truncate(path, 2**26)
    with pytest.raises(SparsityError, match="a header of 33,554,433 bytes; expected at most 33,554,432"):
        ic.sparsity(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ('{"a":[' + "[]," * 4_000_000 + "0]}", "the header of .* has more than 4,000,000 values"),
        ({f"w{number}": 0 for number in range(250_001)}, "has 250,001 tensors; expected at most 250,000 in a file"),
    ],
    ids=["values", "tensors"],
)
def test_a_header_of_too_much_is_refused(tmp_path: Path, header: Any, message: str) -> None:
    text = header if isinstance(header, str) else json.dumps(header)
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode())
    with pytest.raises(SparsityError, match=message):
        ic.sparsity(path)


def test_names_that_no_file_system_takes_are_missing_files(tmp_path: Path) -> None:
    for name in ("a" * 300, "a\0b"):
        with pytest.raises(MissingFileError):
            ic.sparsity(f"{tmp_path}/{name}.safetensors")


def test_an_index_of_many_files_is_read_in_linear_time(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    places = {f"w{number}": f"{number}.safetensors" for number in range(20_000)}
    index.write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    begun_s = time.process_time()
    assert len(files_of(index, SparsityError)) == 20_000
    assert time.process_time() - begun_s < 2.0  # each file against all names: 10 s


@pytest.mark.slow
def test_one_of_many_names_occurs_twice(tmp_path: Path) -> None:
    header = {f"w{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(100_000)}
    text = json.dumps(header)[:-1] + ', "w7": 1}'
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode())
    with pytest.raises(SparsityError, match="'w7' occurs twice"):
        ic.sparsity(path)


def test_a_mask_in_a_file_is_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch.nn.utils.prune leaves them in a state dict."""
    monkeypatch.setattr(arrays, "WINDOW_BYTES", 4096)
    weight = np.random.default_rng(1).standard_normal((300, 40)).astype(np.float32)
    mask = (sparse((300, 40)) != 0).astype(np.float32)
    mask[mask == 0] = -0.0
    result = ic.sparsity(write(tmp_path / "m.safetensors", {"fc.weight_orig": weight, "fc.weight_mask": mask}))
    (row,) = result.weights
    assert (row.name, row.form) == ("fc.weight", "mask")
    assert row.figures == reference(mask != 0, weight.nbytes + mask.nbytes)


def test_folders_and_indices(tmp_path: Path) -> None:
    parts = {"a": sparse((8, 8)), "b": sparse((16, 8), seed=1)}
    for name, array in parts.items():
        write(tmp_path / f"{name}.safetensors", {name: array})
    assert {weight.name for weight in ic.sparsity(tmp_path).weights} == {"a", "b"}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "a.safetensors"}}), encoding="utf-8")
    assert [weight.name for weight in ic.sparsity(index).weights] == ["a"]
    assert [weight.name for weight in ic.sparsity(str(tmp_path)).weights] == ["a"]
    index.write_text(json.dumps({"weight_map": {"c": "a.safetensors"}}), encoding="utf-8")
    with pytest.raises(SparsityError, match="has no tensor 'c', which the index lists"):
        ic.sparsity(index)
    index.write_text(json.dumps({"weight_map": {"a": "../a.safetensors"}}), encoding="utf-8")
    with pytest.raises(SparsityError, match=r"names the file '\.\./a\.safetensors'"):
        ic.sparsity(index)
    index.write_text(json.dumps({"nodes": []}), encoding="utf-8")
    with pytest.raises(SparsityError, match="has no weight_map"):
        ic.sparsity(index)
    index.unlink()
    write(tmp_path / "again.safetensors", {"a": parts["a"]})
    with pytest.raises(SparsityError, match="'a' is also in another file"):
        ic.sparsity(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SparsityError, match=r"has no \.safetensors files"):
        ic.sparsity(empty)


def test_an_unknown_dtype_is_listed_and_not_dropped(tmp_path: Path) -> None:
    header = {
        "w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "odd": {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [16, 19]},
    }
    path = raw(tmp_path / "m.safetensors", header, bytes(19))
    result = ic.sparsity(path)
    assert [weight.name for weight in result.weights] == ["w"]
    assert [item.name for item in result.skipped] == ["odd"]
    assert "F6_E2M3" in result.to_text()


def entry(**changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | changes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has 0 bytes, expected 8 of length"),
        (b"\x01\x02", "has 2 bytes"),
        (struct.pack("<Q", 2**40) + b"{}", "header of 1099511627776 bytes, but the file has 10"),
        (struct.pack("<Q", 50) + b"{}", "header of 50 bytes"),
        (struct.pack("<Q", 2) + b"xx", "header that is not JSON"),
        (struct.pack("<Q", 2) + b"\xff\xfe", "header that is not JSON"),
        (struct.pack("<Q", 2) + b"[]", "has a list as header"),
        (struct.pack("<Q", 15) + b'{"a":1,"a":2}  ', "'a' occurs twice"),
    ],
)
def test_wrong_files_say_what_is_wrong(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(SparsityError, match=message) as caught:
        ic.sparsity(path)
    assert str(path) in str(caught.value)
    assert "Expected a file written by safetensors" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_offsets": [0, 10**9]}, "should hold tensor 'w'.*truncated"),
        ({"data_offsets": [16, 0]}, "should hold tensor 'w'"),
        ({"data_offsets": [0, 12]}, r"has 12 bytes for tensor 'w', expected 16 for F32 of shape \[2, 2\]"),
        ({"data_offsets": [0]}, "expected its dtype, shape and data_offsets"),
        ({"data_offsets": [-16, 0]}, "not an integer from 0 to 2"),
        ({"shape": [2, -2]}, "not an integer from 0 to 2"),
        ({"shape": [2.0, 2]}, "not an integer from 0 to 2"),
        ({"shape": [True, 4]}, "not an integer from 0 to 2"),
        ({"shape": None}, "expected its dtype, shape"),
        ({"dtype": 3}, "not an integer from 0 to 2"),
        ({"shape": [10**12, 10**12]}, "expected 4000000000000000000000000 for F32"),
    ],
)
def test_wrong_entries_say_what_is_wrong(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    text = json.dumps({"w": entry(**changes)}).encode()
    path = tmp_path / "bad.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    with pytest.raises(SparsityError, match=message):
        ic.sparsity(path)


def test_every_cut_of_a_file_is_refused(tmp_path: Path, tensors: dict[str, Any]) -> None:
    whole = write(tmp_path / "m.safetensors", tensors).read_bytes()
    cut = tmp_path / "cut.safetensors"
    for length in [*range(0, 600, 7), len(whole) // 2, len(whole) - 1]:
        cut.write_bytes(whole[:length])
        with pytest.raises(SparsityError):
            ic.sparsity(cut)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.safetensors", "no such file"),
        ("torchvision:resnet50", "is built without weights"),
        ("hf:gpt2#decode", "is built without weights"),
    ],
)
def test_what_has_no_weights_is_refused(path: str, message: str) -> None:
    with pytest.raises((SparsityError, FileNotFoundError), match=message):
        ic.sparsity(path)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(SparsityError, match="may be a pickle, which can run arbitrary code"):
        ic.sparsity(path)


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_says_what_the_api_says(tmp_path: Path, tensors: dict[str, Any]) -> None:
    path = write(tmp_path / "model.safetensors", tensors)
    shown = invoke(str(path), "--format", "json", "--threads", "2")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert json.loads(shown.stdout) == ic.sparsity(path).to_dict()
    table = invoke(str(path))
    assert table.stdout == ic.sparsity(path).to_text()
    assert all(len(line) <= 100 for line in table.stdout.splitlines())
    lines = invoke(str(path), "--format", "csv").stdout.splitlines()
    assert len(lines) == 1 + len(tensors)
    assert len({line.count(",") for line in lines}) == 1


def test_the_command_writes_files(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", {"w": sparse((8, 8))})
    out = tmp_path / "out.json"
    done = invoke(str(path), "--format", "json", "-o", str(out))
    assert (done.exit_code, done.stdout) == (0, "")
    assert json.loads(out.read_text(encoding="utf-8"))["schema_version"] == 1
    failed = invoke(str(path), "-o", str(tmp_path / "absent" / "out.txt"))
    assert failed.exit_code == 1
    assert "does not exist" in failed.stderr


def test_exit_codes(tmp_path: Path) -> None:
    missing = invoke(str(tmp_path / "absent.safetensors"))
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "no such file; expected a .safetensors file" in missing.stderr
    path = write(tmp_path / "model.safetensors", {"w": sparse((8, 8))})
    assert invoke().exit_code == 2
    assert invoke(str(path), "--threads", "0").exit_code == 2
    assert invoke(str(path), "--format", "md").exit_code == 2
    assert invoke(str(path), "--threshold", "0").exit_code == 2
    wrong = invoke(str(path), "--format", "json", "--depth", "1")
    assert wrong.exit_code == 2
    assert "--depth and --threshold are for tables" in wrong.stderr


def test_depth_adds_up(tmp_path: Path) -> None:
    names = ("layers.0.fc.weight", "layers.0.out.weight", "layers.1.fc.weight", "head.weight")
    path = write(tmp_path / "m.safetensors", {name: sparse((8, 8), seed=i) for i, name in enumerate(names)})
    table = invoke(str(path), "--depth", "2", "--threshold", "0.5").stdout
    assert [line.split()[0] for line in table.splitlines() if line.startswith(("layers", "head"))] == [
        "layers.0",
        "layers.1",
        "head.weight",
    ]
    assert "<0.5 rms" in table
    assert "Weights below depth 2 are summed up" in table


def test_files_need_no_torch(tmp_path: Path) -> None:
    import subprocess

    path = write(tmp_path / "m.safetensors", {"w": sparse((8, 8))})
    code = f"import pyinfercost as ic, sys; print(ic.sparsity({str(path)!r}).total.elements, 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path(__file__).parent
    )
    assert done.stdout.split() == ["64", "False"]


@pytest.mark.parametrize("shape", [[0, 2] + [8] * 20, [0] + [2**40] * 2, [5, 0, 2**40, 2**40]])
def test_weights_without_elements_have_no_more_columns_than_the_core_counts(tmp_path: Path, shape: list[int]) -> None:
    header = {"weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}
    text = json.dumps(header).encode()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(SparsityError, match=r"is too large; expected lengths up to 2\^48, with a product up to 2\^60"):
        ic.sparsity(path)

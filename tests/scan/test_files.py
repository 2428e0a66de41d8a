"""Weights in files: mapped in windows, with correct counts for any window, and errors for invalid files."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support.sparsity_reference import reference, structured

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.scan import SparsityError, arrays, mapped
from pyinfercost.scan.mapped import MappedFile

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


@pytest.mark.parametrize("window", [1, 5_000, 2**26])
def test_a_file_is_what_its_arrays_are(
    tmp_path: Path, tensors: dict[str, Any], window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In windows smaller than a row, of some rows, and larger than the file."""
    monkeypatch.setattr(mapped, "WINDOW_BYTES", window)
    result = ic.sparsity(write(tmp_path / "model.safetensors", tensors))
    assert {weight.name for weight in result.weights} == tensors.keys()
    for name, array in tensors.items():
        assert result[name].figures == reference(array != 0, array.nbytes), name
        assert result[name].shape == array.shape
        assert result[name].magnitudes == ic.sparsity(array).weights[0].magnitudes
    assert result.total.elements == sum(array.size for array in tensors.values())
    assert result.total.zeros == sum(int((array == 0).sum()) for array in tensors.values())
    assert not result.skipped


def test_a_file_is_dropped_behind_the_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page is let go of, window by window, so that no more than one is held."""
    monkeypatch.setattr(mapped, "WINDOW_BYTES", 2**16)
    dropped: list[tuple[int, int]] = []
    real = mapped.drop_pages

    def drop(map_: Any, start: int, stop: int) -> None:
        dropped.append((start, stop))
        real(map_, start, stop)

    monkeypatch.setattr(mapped, "drop_pages", drop)
    array = sparse((4096, 64))
    path = write(tmp_path / "model.safetensors", {"w": array})
    assert ic.sparsity(path).weights[0].figures == reference(array != 0, array.nbytes)
    assert len(dropped) == array.nbytes // 2**16
    assert all(stop - start == 2**16 for start, stop in dropped)
    assert [stop for _, stop in dropped][:-1] == [start for start, _ in dropped][1:]
    assert dropped[-1][1] == path.stat().st_size


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="what is resident is read from /proc")
def test_dropped_pages_are_not_resident(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(bytes(2**22))
    with MappedFile(path) as file:
        assert sum(file.view) == 0
        before = resident(path)
        file.drop(0, file.size)
        assert before >= 2**22
        assert resident(path) == 0


def resident(path: Path) -> int:
    lines = Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines()
    at = next(number for number, line in enumerate(lines) if line.endswith(str(path)))
    return next(int(line.split()[1]) for line in lines[at:] if line.startswith("Rss:")) * 1024


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
    odd = {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}
    path = write(tmp_path / "m.safetensors", {"w": np.ones((2, 2), dtype=np.float32)}, odd=odd)
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
        ({"data_offsets": [0, 12]}, r"holds 12 bytes for tensor 'w', expected 16 for F32 of shape \[2, 2\]"),
        ({"data_offsets": [0]}, "expected its dtype, shape and data_offsets"),
        ({"data_offsets": [-16, 0]}, "not a non-negative integer"),
        ({"shape": [2, -2]}, "not a non-negative integer"),
        ({"shape": [2.0, 2]}, "not a non-negative integer"),
        ({"shape": [True, 4]}, "not a non-negative integer"),
        ({"shape": None}, "expected its dtype, shape"),
        ({"dtype": 3}, "not a non-negative integer"),
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

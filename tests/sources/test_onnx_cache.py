"""Graphs of ONNX files from the cache: equal to those that are read, and read again when a file has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.onnx_texts import model_of

import pyinfercost as ic
from pyinfercost import _cache
from pyinfercost.errors import InputError
from pyinfercost.sources import spec_keys
from pyinfercost.sources.registry import Source

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'pyinfercost[onnx]'")

RUN = """
import sys
from pyinfercost.cli import main
try:
    main(sys.argv[1:], prog_name="pyinfercost")
except SystemExit as end:
    print(end.code, [name for name in ("onnx", "torch", "numpy", "google") if name in sys.modules], file=sys.stderr)
"""


def command(cwd: Path, *words: str) -> tuple[str, str]:
    """Run a command with a cache in its folder; return its output, and its exit code with the imported libraries."""
    env = {**os.environ, "PYINFERCOST_CACHE_DIR": str(cwd / "cache")}
    env.pop("PYINFERCOST_NO_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], env=env, cwd=cwd, capture_output=True, text=True, check=True, timeout=590
    )
    return done.stdout, done.stderr.strip().splitlines()[-1]


@pytest.mark.slow
def test_the_second_command_does_not_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(model_of("convolution").SerializeToString())
    first, told = command(tmp_path, "profile", "net.onnx", "-H", "l4")
    assert told.startswith("0 ['onnx'")
    again, told = command(tmp_path, "profile", "net.onnx", "-H", "l4")
    assert (again, told) == (first, "0 []")
    _, told = command(tmp_path, "profile", "net.onnx", "-H", "t4", "--engine", "tensorrt", "--batch", "8")
    assert told == "0 []"
    path.write_bytes(model_of("linear").SerializeToString())
    changed, told = command(tmp_path, "profile", "net.onnx", "-H", "l4")
    assert "onnx" in told
    assert changed != first
    assert changed == command(tmp_path, "profile", "net.onnx", "-H", "l4", "--no-cache")[0]


class Kept:
    """A cache in a folder of the test, whose reads of models are counted."""

    def __init__(self, patch: pytest.MonkeyPatch, place: Path) -> None:
        self.place = place
        self.reads: list[str] = []
        patch.delenv("PYINFERCOST_NO_CACHE", raising=False)
        patch.setenv("PYINFERCOST_CACHE_DIR", str(place))
        patch.setattr(spec_keys, "_is_foreign", lambda library: False)  # these tests import onnx themselves
        read = Source.read

        def counted(source: Source, path: str, dynamic: Any = None) -> ic.Graph:
            self.reads.append(path)
            return read(source, path, dynamic)

        patch.setattr(Source, "read", counted)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kept:
    return Kept(monkeypatch, tmp_path / "cache")


def test_one_entry_serves_all_sizes(kept: Kept, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(model_of("convolution").SerializeToString())
    graph = ic.capture(path)
    for batch in (1, 7):
        assert ic.count(ic.capture(path), batch=batch).total.macs == ic.count(graph, batch=batch).total.macs
    assert ic.capture(path).to_json() == graph.to_json()
    assert len(kept.reads) == 1
    named = ic.capture(path, dynamic={"x": {0: "images"}})
    assert "images" in named.sizes
    ic.capture(path, cache=False)
    assert len(kept.reads) == 3
    copy = tmp_path / "other.onnx"
    copy.write_bytes(path.read_bytes())
    assert ic.capture(copy).model == "other.onnx"


def test_a_new_version_of_the_library_reads_again(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(model_of("linear").SerializeToString())
    ic.capture(path)
    monkeypatch.setattr(spec_keys, "metadata_in", lambda place: (("onnx-99.dist-info", 1, 1),))
    ic.capture(path)
    assert len(kept.reads) == 2
    monkeypatch.setattr(spec_keys, "place_of", lambda library: None)  # a checkout
    ic.capture(path)
    ic.capture(path)
    assert len(kept.reads) == 4


def of_external_shape(folder: Path, lengths: list[int]) -> Path:
    """Write a model that reshapes its input to lengths in another file."""
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 18]>
        g (float[batch, 8] x) => (float[a, b, c] y) <int64[3] lengths = {0, 2, 4}> { y = Reshape(x, lengths) }
    """)
    stored = model.graph.initializer[0]
    del stored.int64_data[:]
    stored.data_location = 1
    stored.external_data.add(key="location", value="lengths.bin")
    path = folder / "net.onnx"
    if not path.exists():
        path.write_bytes(model.SerializeToString())
    data = b"".join(length.to_bytes(8, "little") for length in lengths)
    (folder / "lengths.bin").write_bytes(data)
    return path


def test_external_data_that_decides_a_shape_is_part_of_the_key(kept: Kept, tmp_path: Path) -> None:
    def shape() -> str:
        return str(ic.capture(path).outputs[0].shape)

    path = of_external_shape(tmp_path, [0, 2, 4])
    assert shape() == shape() == "(Expr('batch'), 2, 4)"
    assert len(kept.reads) == 1
    of_external_shape(tmp_path, [0, 4, 2])
    os.utime(tmp_path / "lengths.bin", ns=(1, 1))
    assert shape() == shape() == "(Expr('batch'), 4, 2)"
    assert len(kept.reads) == 2


def test_a_file_that_is_written_meanwhile_is_not_kept(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(model_of("linear").SerializeToString())
    read = Source.read

    def slow(source: Source, name: str, dynamic: Any = None) -> ic.Graph:
        graph = read(source, name, dynamic)
        path.write_bytes(model_of("convolution").SerializeToString())
        return graph

    monkeypatch.setattr(Source, "read", slow)
    old = ic.capture(path).to_json()
    assert not list(kept.place.glob("graph-*"))
    assert ic.capture(path).to_json() != old


def test_damaged_entries_are_read_again(kept: Kept, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(model_of("linear").SerializeToString())
    reference = ic.capture(path).to_json()
    (entry,) = kept.place.glob("graph-*")
    content = entry.read_bytes()
    for wrong in (content[:-9], b""):
        entry.write_bytes(wrong)
        assert ic.capture(path).to_json() == reference
    name = entry.name.removeprefix("graph-").removesuffix(".entry")
    heads: tuple[Any, ...] = ({}, {"beside": 1}, {"beside": [1]}, {"beside": [["a"]]}, {"beside": []}, [])
    for head in heads:
        _cache.write("graph", name, f"{json.dumps(head)}\n{{}}".encode())
        assert ic.capture(path).to_json() == reference
    assert len(kept.reads) == 3 + len(heads)


def test_a_missing_file_is_an_error_although_its_graph_is_kept(kept: Kept, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(model_of("linear").SerializeToString())
    ic.capture(path)
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        ic.capture(path)
    path.mkdir()
    with pytest.raises(InputError, match=r"is a folder; expected a file of the form FILE\.onnx"):
        ic.capture(path)
    assert len(kept.reads) == 1

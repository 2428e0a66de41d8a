"""Archives: the same graph as the saved program, weights that are not read, and errors that name the entry."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim, ExportedProgram, export

from pyinfercost.sources.exported.archive import ArchiveError, graph_from_archive, weights
from pyinfercost.sources.exported.export import graph_from_exported

# torch.export warns about its own internals.
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings(
        "ignore::FutureWarning:torch", "ignore::FutureWarning:copyreg", "ignore::UserWarning:torch"
    ),
]


class Net(nn.Module):
    """As much of the schema as one small module can use."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(16, 8)
        self.norm = nn.LayerNorm(8)
        self.proj = nn.Linear(8, 8)
        self.head = nn.Linear(8, 16, bias=False)
        self.head.weight = self.embed.weight
        self.bias16 = nn.Parameter(torch.arange(8, dtype=torch.bfloat16))
        self.register_buffer("scale", torch.full((1,), 2.0))
        self.register_buffer("shift", torch.zeros(1), persistent=False)

    def forward(self, ids: torch.Tensor, image: torch.Tensor, times: int, flag: bool = True) -> dict[str, Any]:
        x = self.norm(self.embed(ids)) * self.scale + self.shift + self.bias16
        with torch.no_grad():
            x = self.proj(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = self.head(x)
        y = torch.cond(y.sum() > 0, lambda z: z + 1, lambda z: z - 1, (y,))
        top, index = y.topk(2)
        parts = x.chunk(2, -1)
        small = nn.functional.interpolate(image, scale_factor=0.5)
        constant = torch.tensor([1.0, -math.inf])
        found = (index > 3).nonzero()
        mask = x.masked_fill(x > 0, -math.inf).to(torch.float64).clone(memory_format=torch.contiguous_format)
        return {
            "top": top,
            "parts": [parts[1], small],
            "n": times,
            "none": None,
            "c": constant + 1,
            "f": found.float(),
            "m": mask,
        }


def make_program() -> ExportedProgram:
    side = Dim("half_side", min=2, max=64)
    shapes = {"ids": {0: Dim("n"), 1: Dim("t", max=512)}, "image": {0: Dim("n"), 2: 2 * side}, "times": None}
    args = (torch.zeros(2, 6, dtype=torch.int64), torch.zeros(2, 3, 8, 8), 3)
    with torch.enable_grad():
        return export(Net().eval(), args, dynamic_shapes=shapes, strict=False)


@pytest.fixture(scope="module")
def program() -> ExportedProgram:
    return make_program()


@pytest.fixture(scope="module")
def saved(program: ExportedProgram, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "net.pt2"
    torch.export.save(program, path)
    return path


@pytest.mark.slow
def test_same_graph_as_the_program(program: ExportedProgram, saved: Path) -> None:
    graph = graph_from_archive(saved)
    assert graph.model == "net.pt2"
    assert graph.to_dict() == graph_from_exported(program, model="net.pt2").to_dict()
    assert len(graph) > 20
    assert {"batch", "sequence"} < set(graph.sizes)


@pytest.mark.slow
def test_same_graph_as_the_decomposed_program(program: ExportedProgram, tmp_path: Path) -> None:
    parts = program.run_decompositions()
    torch.export.save(parts, tmp_path / "parts.pt2")
    assert graph_from_archive(tmp_path / "parts.pt2") == graph_from_exported(parts, model="parts.pt2")


@pytest.mark.slow
def test_same_names_on_request(program: ExportedProgram, saved: Path) -> None:
    dynamic = {"ids": {0: "users", 1: "tokens"}}
    graph = graph_from_archive(saved, dynamic=dynamic)
    assert graph == graph_from_exported(program, model="net.pt2", dynamic=dynamic)
    assert {"users", "tokens"} < set(graph.sizes)
    with pytest.raises(ValueError, match=r"dimension 3 of input 'image'"):
        graph_from_archive(saved, dynamic={1: {3: "width"}})


def test_the_file_may_be_renamed(saved: Path, tmp_path: Path) -> None:
    other = tmp_path / "other name.zip"
    other.write_bytes(saved.read_bytes())
    assert len(graph_from_archive(other)) == len(graph_from_archive(saved))


def test_weights_are_the_bytes_of_the_program(program: ExportedProgram, saved: Path) -> None:
    found = weights(saved)
    held = {**program.state_dict, **program.constants}
    assert set(found) == set(held)
    for name, weight in found.items():
        tensor = held[name]
        assert (weight.dtype, weight.shape) == (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        assert weight.read() == tensor.detach().contiguous().view(torch.uint8).numpy().tobytes()
        assert weight.is_parameter == isinstance(tensor, nn.Parameter)
    assert found["bias16"].dtype == "bfloat16"


def test_a_weight_that_is_a_view_starts_at_its_offset(tmp_path: Path) -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            whole = torch.arange(12, dtype=torch.float32)
            self.register_buffer("whole", whole)
            self.register_buffer("tail", whole[8:])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.whole.sum() + self.tail

    torch.export.save(export(Views(), (torch.zeros(4),), strict=False), tmp_path / "views.pt2")
    tail = weights(tmp_path / "views.pt2")["tail"]
    assert torch.frombuffer(bytearray(tail.read()), dtype=torch.float32).tolist() == [8, 9, 10, 11]


def rewritten(
    saved: Path, path: Path, change: Callable[[str, bytes], bytes | None], compression: int = zipfile.ZIP_STORED
) -> Path:
    """A copy of an archive with the content of each entry (named without its top folder) changed; None drops it."""
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w", compression) as target:
        for info in source.infolist():
            content = change(info.filename.partition("/")[2], source.read(info))
            if content is not None:
                target.writestr(info.filename, content)
    return path


def edited(entry: str, edit: Callable[[Any], None]) -> Callable[[str, bytes], bytes]:
    def change(name: str, content: bytes) -> bytes:
        if name != entry:
            return content
        value = json.loads(content)
        edit(value)
        return json.dumps(value).encode()

    return change


def test_pickles_are_never_opened(saved: Path, tmp_path: Path) -> None:
    path = rewritten(
        saved, tmp_path / "a.pt2", lambda n, c: b"\x80\x04not a pickle" if n.startswith("data/sample_inputs") else c
    )
    assert len(graph_from_archive(path)) == len(graph_from_archive(saved))
    assert weights(path)


MODEL = "models/model.json"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n, c: None if n == MODEL else c, r"has 0 programs \[\]; expected exactly one models/NAME\.json"),
        (lambda n, c: None if n == "archive_format" else c, "has no entry archive_format, so it is truncated"),
        (lambda n, c: b"onnx" if n == "archive_format" else c, "archive_format is 'onnx'; expected 'pt2'"),
        (lambda n, c: b"big" if n == "byteorder" else c, "byteorder is 'big'; expected 'little'"),
        (lambda n, c: c[:-100] if n == MODEL else c, "entry models/model.json is no JSON"),
        (lambda n, c: b"[1]" if n == MODEL else c, "entry models/model.json is a list; expected a JSON object"),
        (edited(MODEL, lambda v: v["schema_version"].update(major=9)), r"export schema 9 .*expected 8"),
        (
            edited(MODEL, lambda v: v.pop("graph_module")),
            r"does not follow torch's export schema: KeyError 'graph_module'",
        ),
        (
            edited(MODEL, lambda v: v["graph_module"]["graph"]["tensor_values"].clear()),
            "does not follow torch's export schema",
        ),
        (
            edited(MODEL, lambda v: v["graph_module"]["graph"]["tensor_values"]["ids"].update(dtype=99)),
            r"models/model\.json: dtype code 99 is unknown",
        ),
        (
            edited(
                MODEL,
                lambda v: v["graph_module"]["graph"]["tensor_values"]["ids"].update(
                    sizes=[{"as_expr": {"expr_str": "f(2"}}]
                ),
            ),
            r"models/model.json: size expression 'f\(2' cannot be read",
        ),
        (
            edited("data/weights/model_weights_config.json", lambda v: v.update(config=[])),
            "entry data/weights/model_weights_config.json does not map names to payloads",
        ),
    ],
)
def test_damage_is_named(
    saved: Path, tmp_path: Path, change: Callable[[str, bytes], bytes | None], message: str
) -> None:
    path = rewritten(saved, tmp_path / "damaged.pt2", change)
    with pytest.raises(ArchiveError, match=message) as error:
        graph_from_archive(path)
    assert str(error.value).startswith(str(path))


def test_a_compressed_entry_is_named(saved: Path, tmp_path: Path) -> None:
    path = rewritten(saved, tmp_path / "small.pt2", lambda _, content: content, zipfile.ZIP_DEFLATED)
    with pytest.raises(ArchiveError, match=r"entry archive_format is compressed \(method 8\); expected stored"):
        graph_from_archive(path)


def test_a_truncated_file_is_refused(saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    path = tmp_path / "cut.pt2"
    for kept in (0, 10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:kept])
        with pytest.raises(ArchiveError, match=r"not a complete zip archive|truncated"):
            graph_from_archive(path)


def test_a_flipped_bit_is_noticed(saved: Path, tmp_path: Path) -> None:
    whole = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as archive:
        info = next(i for i in archive.infolist() if i.filename.endswith(MODEL))
    whole[info.header_offset + 1000] ^= 1
    path = tmp_path / "flipped.pt2"
    path.write_bytes(whole)
    with pytest.raises(ArchiveError, match=r"entry models/model\.json is damaged"):
        graph_from_archive(path)


def test_a_length_that_the_file_does_not_have_is_not_reserved(saved: Path, tmp_path: Path) -> None:
    whole = bytearray(saved.read_bytes())
    name = whole.rfind(MODEL.encode())  # of the central directory, which is last
    header = whole.rfind(b"PK\x01\x02", 0, name)
    whole[header + 20 : header + 24] = (2**31 - 1).to_bytes(4, "little")
    path = tmp_path / "long.pt2"
    path.write_bytes(whole)
    with pytest.raises(ArchiveError, match=r"stored in 2,147,483,647; expected as many"):
        graph_from_archive(path)


def test_a_weight_that_reaches_too_far_is_refused(saved: Path, tmp_path: Path) -> None:
    config = "data/weights/model_weights_config.json"
    path = rewritten(
        saved,
        tmp_path / "long.pt2",
        edited(config, lambda v: v["config"]["bias16"]["tensor_meta"].update(sizes=[{"as_int": 1000}])),
    )
    with pytest.raises(ArchiveError, match=r"has 16 bytes; expected at least 2000"):
        weights(path)


def test_a_size_without_end_is_refused(saved: Path, tmp_path: Path) -> None:
    config = "data/weights/model_weights_config.json"
    path = rewritten(
        saved,
        tmp_path / "endless.pt2",
        edited(config, lambda v: v["config"]["bias16"]["tensor_meta"].update(sizes=[{"as_int": float("inf")}])),
    )
    with pytest.raises(ArchiveError, match=r"has metadata .*; expected a dtype, integer sizes"):
        weights(path)


def test_a_missing_file_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        graph_from_archive(tmp_path / "none.pt2")

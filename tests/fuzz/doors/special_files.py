"""What is no file with an end: pipes, devices, folders, links in a circle, in place of every file that is named."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

from click.testing import CliRunner
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.cli.configuration import read_configuration
from pyinfercost.monitor.log_reader import read_log
from pyinfercost.monitor.planned import read_plan
from pyinfercost.serving.step_cost_factors import StepCostFactors

from ..door import Door, Figure, require
from ..values import Value
from .figures import check_printable

_SUFFIXES = ("", ".json", ".toml", ".csv", ".jsonl", ".parquet", ".html", ".md")
_WEIGHTS = (".safetensors", ".safetensors.index.json", ".pt2", ".onnx", ".gguf")
_READERS: Mapping[str, tuple[Callable[[str], Any], tuple[str, ...]]] = {
    "capture": (ic.capture, (*_WEIGHTS, ".json")),
    "sparsity": (ic.sparsity, _WEIGHTS),
    "machine": (ic.hardware.load, (".toml", ".json")),
    "price": (lambda path: ic.Deployment(hardware="l4", price=path), (".toml",)),
    "trace": (ic.read_trace, (".csv", ".jsonl", ".json", ".parquet")),
    "log": (read_log, (".jsonl", "")),
    "plan": (read_plan, (".json",)),
    "correction": (StepCostFactors.read, (".json",)),
    "configuration": (lambda path: read_configuration(Path(path)), (".toml",)),
    "diff": (lambda path: ic.compare(before=path, after=path), (".json", ".html")),
}
_COMMANDS = (
    ("profile", "TOY", "--on", "FILE"),
    ("profile", "TOY", "--hardware", "FILE"),
    ("--config", "FILE", "info"),
    ("comment", "FILE"),
    ("compare", "FILE", "--hardware", "l4"),
    ("sparsity", "FILE"),
)
_KINDS = ("pipe", "zero", "random", "full", "null", "folder", "circle", "nowhere", "socket", "empty", "closed", "name")


class SpecialFiles(Door):
    """Every function and some commands that read a file, given one of no content or without an end."""

    share = 2_000

    def draw(self, random: Random) -> Value:
        """Return what is there, its suffix, and what reads it."""
        reader = random.choice((*_READERS, *(" ".join(words) for words in _COMMANDS)))
        own = _READERS[reader][1] if reader in _READERS else _WEIGHTS
        suffix = random.choice(own if random.random() < 0.8 else (*_SUFFIXES, *_WEIGHTS))
        return {"kind": random.choice(_KINDS), "suffix": suffix, "reader": reader}

    def run(self, value: Value) -> Iterator[Figure]:
        """Read it: there is an answer, without waiting."""
        path = self.folder / f"special{value['suffix']}"
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        named = _make(path, value["kind"])
        if value["reader"] in _READERS:
            _READERS[value["reader"]][0](named)
            return
        (self.folder / "toy.json").write_text(blocks().to_json(), encoding="utf-8")
        names = {"TOY": str(self.folder / "toy.json"), "FILE": named}
        result = CliRunner().invoke(main, [names.get(word, word) for word in value["reader"].split()])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        check_printable(result.output)
        require("Traceback" not in result.output, "no traceback is printed")
        if result.exit_code:
            raise ic.Error(result.output)
        yield from ()

    def label(self, value: Value) -> str:
        """Return the kind and the reader."""
        return f"{value['kind']} {value['reader']}"


def _make(path: Path, kind: str) -> str:
    """Make something of a kind at a path, and return its name."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind in ("zero", "random", "full", "null"):
        path.symlink_to(f"/dev/{kind}")
    elif kind == "folder":
        path.mkdir()
    elif kind == "circle":
        path.symlink_to(path)
    elif kind == "nowhere":
        path.symlink_to(path.parent / "nothing")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    elif kind in ("empty", "closed"):
        path.touch(0o644 if kind == "empty" else 0)
    return str(path) if kind != "name" else f"{path.parent}/{'a' * 300}{path.suffix}"

"""Stored sweeps: a folder with a damaged manifest or damaged parts is opened, read and resumed."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from support.stored_sweeps import run_of

import pyinfercost as ic
from pyinfercost.sweeps.storage import run_to_folder

from ..door import Door, Figure, require
from ..mutate import integer, mutate, mutated_bytes
from ..values import Value

_POINTS = 4000  # of `run_of`
_MANIFEST = "_sweep.json"


class StoredSweeps(Door):
    """`StoredSweep` of a folder, `where`, `best` and `pareto` of it; and the run that resumes it."""

    share = 8_000
    libraries = ("pyarrow.parquet", "pyarrow.dataset")
    _numbers = count()

    def seeds(self) -> Value:
        """Return the files of two whole sweeps."""
        with tempfile.TemporaryDirectory() as folder:
            found = []
            for number, where in enumerate((None, "batch < 500")):
                path = Path(folder) / str(number)
                run_to_folder(run_of(where, chunk_points=_POINTS // 2), path)
                found.append({file.name: file.read_bytes() for file in path.iterdir()})
        return found

    def draw(self, random: Random) -> Value:
        """Return a changed manifest, and for each changed part its bytes, or None for a missing one."""
        files = self.corpus[0]
        manifest = json.loads(files[_MANIFEST])
        parts: dict[str, Value] = {}
        drawn = random.random()
        if drawn < 0.4:
            manifest = mutate(random, manifest)
            if random.random() < 0.3 and isinstance(manifest, dict):
                manifest[random.choice(("parts", "points", "chunk_points"))] = integer(random)
        elif drawn < 0.95:
            name = random.choice([name for name in files if name != _MANIFEST])
            content = files[name]
            change = random.random()
            if change < 0.2:
                first = random.randrange(len(content))
                content = content[:first] + bytes(min(64, len(content) - first)) + content[first + 64 :]
            elif change < 0.3:
                content = random.choice([data for other in self.corpus for data in other.values()])
            elif change < 0.35:
                content = b""
            else:
                content = mutated_bytes(random, content)
            parts[name] = content if random.random() < 0.95 else None
        return {
            "manifest": manifest if drawn < 0.98 else mutated_bytes(random, files[_MANIFEST]),
            "parts": parts,
            "resume": random.random() < 0.5,
        }

    def run(self, value: Value) -> Iterator[Figure]:
        """Write the folder; open and read it, or resume it and compare with the undisturbed sweep."""
        path = self.folder / f"{next(self._numbers)}.sweep"
        path.mkdir()
        try:
            files: dict[str, Any] = {**self.corpus[0], **value["parts"]}
            manifest = value["manifest"]
            files[_MANIFEST] = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
            for name, content in files.items():
                if content is not None:
                    (path / name).write_bytes(content)
            if value["resume"]:
                stored = run_to_folder(run_of(chunk_points=_POINTS // 2), path)
                whole = np.concatenate([part["latency_s"] for part in stored])
                require(np.array_equal(whole, self._expected()), "a resumed sweep equals an undisturbed one")
                return
            stored = ic.StoredSweep(path)
            repr(stored)
            len(stored)
            yield "latency_s", stored.best("latency_s")["latency_s"]
            stored.pareto("latency_s", "peak_memory_bytes")
            for part in stored:
                column = part["latency_s"]
                yield "latency_s", float(np.min(column)) if len(column) else None
        finally:
            shutil.rmtree(path, ignore_errors=True)

    _latencies: Any = None

    def _expected(self) -> Any:
        if self._latencies is None:
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                stored = run_to_folder(run_of(chunk_points=_POINTS // 2), Path(folder) / "whole")
                self._latencies = np.concatenate([part["latency_s"] for part in stored])
        return self._latencies

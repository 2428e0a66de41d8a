"""Fixtures of the tests of `pyinfercost sweep`."""

from __future__ import annotations

import pytest
from cli_sweeps import MACHINES, PRICES
from toy_graphs import blocks

import pyinfercost as ic


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A graph file, which is a model that needs no torch."""
    path = tmp_path_factory.mktemp("graphs") / "toy.json"
    path.write_text(blocks().to_json(), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def grid() -> ic.Sweep:
    """What `TWO`, `BATCHES` and `PRICE` ask for."""
    return ic.sweep(blocks(), hardware=MACHINES, batch=range(1, 257), usd_per_h=PRICES)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps come in parts of 100 points."""
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("pyinfercost.sweeps.folder.CHUNK_POINTS", 100)

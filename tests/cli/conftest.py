"""Fixtures of the tests of `pyinfercost sweep`."""

from __future__ import annotations

import pytest
from support.cli_sweeps import MACHINES, PRICES
from support.toy_graphs import blocks

import pyinfercost as ic


@pytest.fixture(scope="module")
def grid() -> ic.results.Sweep:
    """What `TWO`, `BATCHES` and `PRICE` ask for."""
    return ic.sweep(blocks(), hardware=MACHINES, batch=range(1, 257), price=PRICES)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps come in parts of 100 points."""
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("pyinfercost.sweeps.storage.CHUNK_POINTS", 100)

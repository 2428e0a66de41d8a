"""The ranks of layouts of 4 and 8 devices together are the whole model: a part of what `nox -s layouts` checks.

Each model has one phase and a third of the layouts of 8 devices; the next one has the other phase and another third.
The slow suite checks all layouts, with 8 devices in the one and with 4 in the other phase.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from support import layout_laws

import pyinfercost as ic

pytestmark = pytest.mark.torch
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

PHASES = ("prefill", "decode")
CASES = [
    pytest.param(name, PHASES[(place + other) % 2], devices, every, marks=[pytest.mark.slow] if every else [])
    for place, name in enumerate(layout_laws.CONFIGS)
    for other, devices, every in ((0, 8, False), (0, 4, False), (0, 8, True), (1, 4, True))
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configs")


@cache
def captured(folder: Path, name: str, phase: str) -> ic.Graph:
    return layout_laws.captured(folder, name, phase)


@pytest.mark.parametrize(("name", "phase", "devices", "every"), CASES)
@pytest.mark.sample(1)
def test_ranks_together_are_the_whole_model(folder: Path, name: str, phase: str, devices: int, every: bool) -> None:
    whole = captured(folder, name, phase)
    fitting = [layout for layout in layout_laws.legal_layouts(devices) if not layout_laws.refusal(whole, layout)]
    assert len(fitting) >= 3
    if devices > 4 and not every:
        fitting = fitting[list(layout_laws.CONFIGS).index(name) % 3 :: 3]
    wrong = {str(layout): found for layout in fitting if (found := layout_laws.broken(name, phase, whole, layout))}
    assert wrong == {}

"""Archives that other releases of torch wrote: they count like those of the installed one.

`nox -s archives` installs the releases, lets each write its archives, and runs this file on the folders; without them
only the archives of the installed torch are read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.archive_models import models, write

import pyinfercost as ic

pytestmark = pytest.mark.torch

FOLDER = "PYINFERCOST_ARCHIVES"
RELEASES = sorted(path for path in Path(os.environ[FOLDER]).iterdir()) if FOLDER in os.environ else []


def figures(counts: ic.results.Counts) -> dict[str, Any]:
    total = counts.total
    assert counts.unmodelled == {}
    names = ("contraction_flops", "pointwise_flops", "parameters", "parameter_bytes", "bytes_read", "bytes_written")
    return {name: str(getattr(total, name)) for name in names}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    write(folder)
    return folder


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize("name", models())
@pytest.mark.sample(3)
def test_an_archive_is_its_module(installed: Path, name: str) -> None:
    model, inputs, _ = models()[name]
    of_archive = ic.count(ic.capture(str(installed / f"{name}.pt2")))
    of_module = ic.count(ic.capture(model.eval(), inputs))
    sizes = {"batch": inputs[0].shape[0]} if "batch" in ic.capture(str(installed / f"{name}.pt2")).sizes else {}
    if sizes:
        of_archive = ic.count(ic.capture(str(installed / f"{name}.pt2")), **sizes)
    assert of_archive.total.contraction_flops == of_module.total.contraction_flops
    assert of_archive.total.parameters == of_module.total.parameters


@pytest.mark.parametrize("name", models())
@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_archives_of_a_release(installed: Path, release: Path, name: str) -> None:
    other, own = (ic.count(ic.capture(str(folder / f"{name}.pt2"))) for folder in (release, installed))
    assert figures(other) == figures(own)

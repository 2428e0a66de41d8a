"""The fuzzer: doors that need torch or libraries of models."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from fuzz import doors
from fuzz.door import load_door
from fuzz.test_fuzz import check_doors

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(sys.platform != "linux", reason="the runner forks, and reads /proc"),
]


def libraries(door: str) -> tuple[str, ...]:
    """Return the modules that a door needs."""
    return load_door(doors.TABLE[door]).libraries


def needs(door: str, library: str) -> bool:
    """Whether a door needs a library."""
    return any(name.partition(".")[0] == library for name in libraries(door))


@pytest.mark.slow
def test_doors_of_torch(tmp_path: Path) -> None:
    check_doors(tmp_path, [name for name in doors.TABLE if libraries(name) == ("torch",)])


@pytest.mark.slow
@pytest.mark.parametrize("library", ["transformers", "diffusers"])
def test_doors_of_model_libraries(tmp_path: Path, library: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    check_doors(tmp_path, [name for name in doors.TABLE if needs(name, library)])

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


def test_doors_of_torch(tmp_path: Path) -> None:
    check_doors(tmp_path, [name for name, path in doors.TABLE.items() if load_door(path).libraries == ("torch",)])


@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="transformers is not installed")
def test_doors_of_model_libraries(tmp_path: Path) -> None:
    check_doors(tmp_path, [name for name, path in doors.TABLE.items() if "transformers" in load_door(path).libraries])

"""A sample of the zoo over all libraries and groups, compared with the stored counts of `tests/zoo/run.py`."""

from __future__ import annotations

from typing import Any

import pytest
from zoo import golden_file
from zoo.check import check
from zoo.families import FAMILIES, family

# The smallest case of every group, and of these so many per library.
CASES_PER_LIBRARY = 10
REWRITE = "if this change is meant, run `python tests/zoo/run.py --write` and review the diff"

# What the libraries say of their own models is no failure of a count.
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

VERSIONS, RECORDS = golden_file.read()
SAMPLE = golden_file.sample(RECORDS, CASES_PER_LIBRARY)
LONG = {"transformers:inkling_vision", "diffusers:AutoencoderKLAllegro"}
"""Models that take more than five seconds."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in SAMPLE]
)
@pytest.mark.sample(2)
def test_a_model_of_the_zoo(name: str) -> None:
    library = name.partition(":")[0]
    files = [family(file) for file, of in FAMILIES.items() if of == library]
    if all(file.missing for file in files):
        pytest.skip("; ".join(file.missing for file in files))
    if not golden_file.same_release(library, VERSIONS):
        pytest.skip(f"stored with {VERSIONS}, and here are {golden_file.versions()}")
    case = next((file.cases[name] for file in files if name in file.cases), None)
    assert case is not None, f"no file of the zoo lists {name} any more: {REWRITE}"
    outcome = check(case)
    assert not outcome.failures
    record: dict[str, Any] = {"group": outcome.group, **outcome.record}
    assert not golden_file.differences(name, record, RECORDS), REWRITE


def test_the_sample_is_of_all_libraries() -> None:
    assert {name.partition(":")[0] for name in SAMPLE} == {name.partition(":")[0] for name in RECORDS}

"""All doors give one answer at random points, and laws between points hold: 60 per run, and more by `run.py`."""

from __future__ import annotations

import os
import random
import time

import pytest
from agreement.doors import disagreements, served_alike
from agreement.points import point_of
from support.interface_cases import SERVED, Served

pytestmark = pytest.mark.torch

# The same for all workers of a run, and another one in each.
_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(time.time_ns())


@pytest.mark.parametrize("part", [0, 1])
def test_doors_agree_at_random_points(part: int) -> None:
    seeds = random.Random(f"{_RUN} {part}").sample(range(10**9), 30)
    found = {seed: list(disagreements(point_of(seed))) for seed in seeds}
    wrong = [f"seed {seed}, {point_of(seed)}: {'; '.join(texts)}" for seed, texts in found.items() if texts]
    assert not wrong, "\n".join([*wrong, "`python tests/agreement/run.py --seed SEED` repeats a point"])


@pytest.mark.parametrize("served", SERVED, ids=lambda served: f"{served.model}-{served.machine}-{served.way['engine']}")
@pytest.mark.sample(3)
def test_one_request_takes_the_steps_of_an_estimate(served: Served) -> None:
    assert not list(served_alike(served))

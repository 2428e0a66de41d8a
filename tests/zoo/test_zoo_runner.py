"""The runner of the zoo: its reports, and cases that must not end a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.left_alone import Snapshot
from torch import nn
from zoo import coverage_page, golden_file
from zoo.check import Outcome, agrees, check
from zoo.families import family
from zoo.workers import run

import pyinfercost as ic

pytestmark = pytest.mark.torch

LINEAR = {"macs": 32, "pointwise_flops": 8, "parameters": 20, "nodes": 1, "peak_activation_bytes": 32, "unmodelled": {}}


@pytest.mark.slow
def test_a_case_that_ends_badly_does_not_end_the_run() -> None:
    cases = family("hostile_models").cases
    jobs = [(("hostile_models", name), case.group) for name, case in cases.items()]
    hang = [job for job in jobs if job[0][1] == "hostile:hang"]
    others = [job for job in jobs if job not in hang]
    outcomes: dict[str, Outcome] = {
        outcome.case: outcome for outcome in (*run(others, workers=2, limit_s=120), *run(hang, workers=1, limit_s=0.5))
    }
    assert outcomes.keys() == cases.keys()
    for name in ("well", "well again"):
        assert not outcomes[f"hostile:{name}"].failures
        assert {**outcomes[f"hostile:{name}"].record, "differs": ""} == LINEAR | {"differs": ""}
    expected = {
        "crash": "the process ended with code -6",
        "hang": "not done after 0.5 s",
        "memory": "capture: CaptureError",
        "wrong figure": "64 contraction FLOPs, published are 65",
    }
    for name, text in expected.items():
        (failure,) = outcomes[f"hostile:{name}"].failures
        assert text in failure
    unbuildable = outcomes["hostile:unbuildable"]
    assert not unbuildable.failures
    assert unbuildable.record == {"not_built": "needs what nobody has"}


@pytest.mark.parametrize(
    ("counted", "published", "same"),
    [
        (4_089_184_256, 4_089_000_000, True),  # 4.089 * 10^9
        (4_089_600_000, 4_089_000_000, False),
        (4_089_184_256, 4_089_184_256, True),
        (4_089_184_257, 4_089_184_256, False),
        (4_100_200_000, 4_100_000_000, True),
        (0, 0, True),
        (1, 0, False),
        (32, 32.5, False),
    ],
)
def test_a_published_figure_is_compared_to_its_digits(counted: int, published: float, same: bool) -> None:
    assert agrees(counted, published) is same


def test_a_check_fails_where_a_forward_leaves_something_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that cannot fail would be useless."""
    case = family("hostile_models").cases["hostile:well"]
    capture = ic.capture

    def careless(module: nn.Module, inputs: object) -> ic.Graph:
        module.training = True
        torch.rand(1)
        return capture(module, inputs)

    monkeypatch.setattr(ic, "capture", careless)
    failures = check(case).failures
    assert "left changed: training changed: : False -> True" in failures
    assert "left changed: torch's random numbers moved on" in failures


def test_a_snapshot_sees_hooks_values_and_inputs() -> None:
    module, x = nn.Linear(2, 2), torch.zeros(1, 2)
    before = Snapshot(module, (x,))
    assert not before.differences()
    hook = module.register_forward_hook(lambda *_: None)
    x.add_(1)
    with torch.no_grad():
        module.weight.add_(1)
    assert len(before.differences()) == 4  # two values, versions, hooks
    hook.remove()
    assert len(before.differences()) == 3


def test_the_golden_file_is_one_line_per_case(tmp_path: Path) -> None:
    path = tmp_path / "zoo.json"
    records = {"timm:b": {"group": "g", **LINEAR}, "timm:a": {"group": "g", "not_built": "no reason"}}
    golden_file.write(records, path)
    versions, stored = golden_file.read(path)
    assert versions == golden_file.versions()
    assert stored == records
    assert [line.partition(":{")[0] for line in path.read_text(encoding="utf-8").split("\n")[2:4]] == [
        '"timm:a": {"group":"g","not_built":"no reason"},',
        '"timm:b": {"group":"g","macs":32,"pointwise_flops":8,"parameters":20,"nodes":1,"peak_activation_bytes":32,'
        '"unmodelled"',
    ]
    assert golden_file.differences("timm:b", records["timm:b"] | {"macs": 33}, stored) == ["macs was 32, is 33"]
    assert golden_file.differences("timm:c", records["timm:b"], stored) == ["is not in the golden file"]
    coverage_page.write(versions, records | {"timm:c": {**records["timm:b"], "unmodelled": {"aten.x": 2}}}, path)
    page = path.read_text(encoding="utf-8")
    assert "| timm | 3 | 2 |  | `aten.x` (1) | 2 | 3.2e-08 to 3.2e-08 |" in page
    assert "- `timm:a`: no reason" in page


def test_a_sample_has_the_smallest_of_each_group() -> None:
    records = {f"timm:{name}": {"group": name[0], "nodes": nodes} for name, nodes in [("a1", 5), ("a2", 3), ("b1", 9)]}
    records["torchvision:c"] = {"group": "c", "not_built": "no"}
    assert golden_file.sample(records, 10) == ["timm:a2", "timm:b1"]
    assert golden_file.sample(records, 1) == ["timm:a2"]

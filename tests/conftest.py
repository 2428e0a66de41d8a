"""What all tests share: where things lie, what is skipped when a library or data is absent."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
CAPTURE_TESTS = ROOT / "tests" / "capture"

# No test may depend on a model hub: a configuration is read from a file or built in the test.
os.environ["HF_HUB_OFFLINE"] = "1"

# Timing belongs to the benchmarks. In CI the same examples are drawn every time, so a red run can be repeated.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


class NeedsTorch(pytest.Module):
    """A test file that is reported as skipped instead of failing at its `import torch`."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Skips the file."""
        pytest.skip("needs torch: pip install 'pyinfercost[models]'", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Lets everything outside tests/capture run where torch is not installed."""
    if module_path.is_relative_to(CAPTURE_TESTS) and importlib.util.find_spec("torch") is None:
        return NeedsTorch.from_parent(parent, path=module_path)
    return None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of published measurements that lies beside the repository, where there is one."""
    if not SHARED.is_dir():
        pytest.skip(f"the measured data is not here: expected a folder {SHARED}")
    return SHARED

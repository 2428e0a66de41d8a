"""Shared fixtures, hypothesis profiles, and markers for requirements of test files."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from support.browsing import BROWSERS, Lent, kept
from support.paths import SHARED
from support.toy_graphs import blocks

# No test may depend on a model hub: a configuration is read from a file or built in the test.
os.environ["HF_HUB_OFFLINE"] = "1"

# No test reads or writes the user's cache. All processes of a run share one, which nothing older is in.
if "PYINFERCOST_TESTS_CACHE" not in os.environ:
    CACHE = tempfile.TemporaryDirectory(prefix="pyinfercost-tests-", ignore_cleanup_errors=True)
    os.environ["PYINFERCOST_TESTS_CACHE"] = CACHE.name
os.environ["PYINFERCOST_CACHE_DIR"] = os.environ["PYINFERCOST_TESTS_CACHE"]
os.environ.pop("PYINFERCOST_NO_CACHE", None)

# Several processes of tests share the cores: with all of them, each with as many threads, training takes three times as
# long. Libraries read this when they are first imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts the tests in the background lets them ignore Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Timing belongs to the benchmarks. In CI the same examples are drawn every time, so a red run can be repeated.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")

NEEDS_TORCH = re.compile(r"^pytestmark = .*?pytest\.mark\.torch\b", re.MULTILINE | re.DOTALL)


class WithoutTorch(pytest.Module):
    """A test file that is reported as skipped instead of failing at its `import torch`."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Skip the file."""
        pytest.skip("needs torch: pip install 'pyinfercost[models]'", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Skip files marked `torch` where torch is not installed, before they are imported."""
    if importlib.util.find_spec("torch") is None and NEEDS_TORCH.search(module_path.read_text(encoding="utf-8")):
        return WithoutTorch.from_parent(parent, path=module_path)
    return None


@pytest.fixture(scope="module")
def captured_anew() -> Iterator[None]:
    """No graph is read from the cache, by this process and by those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYINFERCOST_NO_CACHE", "1")
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of published measurements beside the repository; the test is skipped where there is none."""
    if not SHARED.is_dir():
        pytest.skip(f"the measured data is not here: expected a folder {SHARED}")
    return SHARED


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A graph file, which is a model that needs no torch."""
    path = tmp_path_factory.mktemp("graphs") / "toy.json"
    path.write_text(blocks().to_json(), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def chromium_of_session() -> Iterator[Lent]:
    """One Chromium for all tests of a process; they take it by `browser`."""
    yield from kept("chromium")


@pytest.fixture(scope="session")
def firefox_of_session() -> Iterator[Lent]:
    """One Firefox for all tests of a process; they take it by `each_browser`."""
    yield from kept("firefox")


@pytest.fixture
def browser(chromium_of_session: Lent) -> Iterator[Any]:
    """Chromium, in which each test opens pages of its own."""
    with chromium_of_session.lend() as found:
        yield found


@pytest.fixture(params=BROWSERS)
def each_browser(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Chromium, and then Firefox."""
    lent: Lent = request.getfixturevalue(f"{request.param}_of_session")
    with lent.lend() as found:
        yield found

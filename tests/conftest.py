"""Shared fixtures, hypothesis profiles, markers for requirements of test files, and which tests run by default."""

from __future__ import annotations

import gc
import importlib.util
import logging
import os
import re
import signal
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from support.browsing import BROWSERS, Lent, kept
from support.paths import SHARED
from support.quick import is_quick, sampled
from support.toy_graphs import blocks

from pyinfercost.sources import registry, spec_keys

# No test may depend on a model hub: a configuration is read from a file or built in the test.
os.environ["HF_HUB_OFFLINE"] = "1"

# No test reads or writes the user's cache. All processes of a run share one, which nothing older is in.
if "PYINFERCOST_TESTS_CACHE" not in os.environ:
    CACHE = tempfile.TemporaryDirectory(prefix="pyinfercost-tests-", ignore_cleanup_errors=True)
    os.environ["PYINFERCOST_TESTS_CACHE"] = CACHE.name
os.environ["PYINFERCOST_CACHE_DIR"] = os.environ["PYINFERCOST_TESTS_CACHE"]
os.environ.pop("PYINFERCOST_NO_CACHE", None)
# Files of tests import libraries of models themselves, which a program may do to change them. These change nothing that
# another test captures, so a model of a library is captured once in a run.
spec_keys._ours.update(registry.LIBRARIES)

# Several processes of tests share the cores: with all of them, each with as many threads, training takes three times as
# long. Libraries read this when they are first imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts the tests in the background lets them ignore Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests of logging need this level. `log_level` of pytest would set and restore it in each phase of each test.
logging.getLogger().setLevel(logging.INFO)

# Timing belongs to the benchmarks. In CI the same examples are drawn every time, so a red run can be repeated. `nox -s
# tests_slow` draws several times as many.
hypothesis.settings.register_profile("default", deadline=None, max_examples=25)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=100)
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


LEFT_OUT = pytest.StashKey[int]()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no file without tests of `-m quick`: imports of all files take longer than those tests."""
    is_test = collection_path.suffix == ".py" and collection_path.name.startswith("test_")
    return True if config.option.markexpr == "quick" and is_test and not is_quick(collection_path) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark quick tests; without `-m`, leave out slow ones that no argument names."""
    _mark_cases_beyond_samples(items)
    slow = [item for item in items if item.get_closest_marker("slow") is not None]
    apart = set(map(id, slow))
    for item in items:
        if id(item) not in apart and is_quick(item.path):
            item.add_marker("quick")
    if config.option.markexpr:
        return
    named = [
        (config.invocation_params.dir / file, test) for file, _, test in (arg.partition("::") for arg in config.args)
    ]
    left = [item for item in slow if not any(test and _is_of(item, file, test) for file, test in named)]
    if left:
        apart = set(map(id, left))
        items[:] = [item for item in items if id(item) not in apart]
        config.hook.pytest_deselected(items=left)
        config.stash[LEFT_OUT] = len(left)
        if hasattr(config, "workeroutput"):  # a process of xdist, whose deselected tests are not reported
            config.workeroutput["slow"] = len(left)


def pytest_collection(session: pytest.Session) -> None:
    """Keep all tests and libraries out of collections of garbage: each would go through millions of their objects."""
    del session
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Collect the garbage of tests again."""
    del session
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """After each file, leave out what its tests imported or keep, too."""
    yield
    if nextitem is not None and nextitem.path != item.path:
        gc.collect()
        gc.freeze()


def _mark_cases_beyond_samples(items: list[pytest.Item]) -> None:
    """Mark as slow what `sample` leaves out."""
    cases: dict[tuple[str, int], list[pytest.Item]] = defaultdict(list)
    for item in items:
        marker = item.get_closest_marker("sample")
        if marker is not None and item.get_closest_marker("slow") is None:
            cases[item.nodeid.partition("[")[0], marker.args[0]].append(item)
    for (_, wanted), found in cases.items():
        kept = sampled(len(found), wanted)
        for place, item in enumerate(found):
            if place not in kept:
                item.add_marker("slow")


def _is_of(item: pytest.Item, file: Path, test: str) -> bool:
    """Return whether a test is one that `FILE::TEST` names."""
    inside = item.nodeid.partition("::")[2]
    return item.path == file.resolve() and (inside == test or inside.startswith((f"{test}[", f"{test}::")))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Keep how many tests a process of xdist left out; all of them leave out the same."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("slow", 0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say which tests did not run."""
    if left := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(
            f"{left} slow tests left out; `pytest -m slow` runs them, and FILE::TEST one of them"
        )


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

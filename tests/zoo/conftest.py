"""These tests are about captures: none is replaced by a graph from the cache."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _captured_anew(captured_anew: None) -> None:
    del captured_anew

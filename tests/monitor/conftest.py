"""An observer with a few figures, and its page."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from support.live_cases import Scripted, Times
from support.page_asks import FREE

from pyinfercost.monitor.live_page import LivePage


@pytest.fixture
def observer() -> Scripted:
    found = Scripted(Times(unix_s=time.time()))
    found.add("output_tokens", 5.0)
    return found


@pytest.fixture
def page(observer: Scripted) -> Iterator[LivePage]:
    with LivePage(observer, address=FREE) as found:
        yield found

"""The live page of a monitor in this process."""

from __future__ import annotations

import json
import logging
import time
from urllib.request import Request, urlopen

import pytest

from pyinfercost import Monitor
from pyinfercost.errors import InputError
from pyinfercost.monitor.access import TOKEN_VARIABLE
from pyinfercost.monitor.exporters import page as page_file
from pyinfercost.monitor.exporters.exporter_texts import open_exporter
from pyinfercost.monitor.exporters.page import PageExporter
from pyinfercost.monitor.live_page import LivePage

pytestmark = pytest.mark.server


def told(url: str, token: str = "") -> object:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urlopen(Request(f"{url}api/history.json", headers=headers), timeout=30) as answer:
        return json.load(answer)["live_history"]


def test_a_monitor_has_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "a-long-enough-token")
    exporter = open_exporter("page:127.0.0.1:0")
    assert isinstance(exporter, PageExporter)
    assert exporter.url == ""
    with Monitor(name="mine", energy=None, exporters=exporter) as monitor:
        with monitor.request():
            pass
        deadline_s = time.monotonic() + 30
        found = told(exporter.url, "a-long-enough-token")
        while found["model"] is None and time.monotonic() < deadline_s:  # type: ignore[index]
            time.sleep(0.05)
            found = told(exporter.url, "a-long-enough-token")
        assert found["model"] == "mine"  # type: ignore[index]
        with pytest.raises(OSError, match="401"):
            told(exporter.url)
        url = exporter.url
    with pytest.raises(OSError, match="refused"):
        told(url)


def test_the_page_of_a_monitor_has_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    begun = LivePage.__init__

    def init(self: LivePage, *given: object, **named: object) -> None:
        asked.append(float(named["interval_s"]))  # type: ignore[arg-type]
        begun(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(LivePage, "__init__", init)
    with Monitor(name="mine", energy=None, exporters=["page:127.0.0.1:0"], interval_s=2):
        assert asked == [2.0]


def test_a_port_in_use_is_a_warning_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    monkeypatch.setattr(page_file, "_RETRY_S", 0.05)
    other = LivePage(Monitor(energy=None), address="127.0.0.1:0").start()  # its observer ends with the process
    exporter = PageExporter(f"127.0.0.1:{other.port}")
    with caplog.at_level(logging.WARNING):
        monitor = Monitor(name="second", energy=None, exporters=exporter)
    try:
        assert "cannot listen at" in caplog.text
        assert exporter.url == ""
        assert exporter.errors >= 1
        other.close()
        deadline_s = time.monotonic() + 30
        while not exporter.url and time.monotonic() < deadline_s:
            time.sleep(0.02)
        assert told(exporter.url)
    finally:
        monitor.close()
        monitor.close()


def test_an_address_that_is_none_is_an_error() -> None:
    with pytest.raises(InputError):
        open_exporter("page:no-port")

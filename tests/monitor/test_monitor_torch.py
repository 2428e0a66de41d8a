"""Monitors of torch modules: wrapped in place, given back, timed by events on a device."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
import torch
from support.live_clock import Clock
from torch import nn

import pyinfercost as ic
from pyinfercost import Monitor
from pyinfercost.monitor import device_times, instrument
from pyinfercost.monitor.call_counts import Served

pytestmark = pytest.mark.torch


def net() -> nn.Module:
    """A small module."""
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).eval()


def test_a_module_is_counted_and_given_back() -> None:
    module = net()
    plain = copy.deepcopy(module)
    x = torch.randn(6, 16)
    with Monitor(module, (x,), on=ic.Deployment(hardware="core-i9-10940x", price=0.2), energy=None) as monitor:
        assert monitor.instrument(module) is module
        result = module(x)
        module(x[:2])
        found = monitor.snapshot()
    assert torch.equal(result, plain(x))
    assert list(module.state_dict()) == list(plain.state_dict())
    assert "forward" not in vars(module)
    module(x)
    assert monitor.snapshot().value("items") == found.value("items") == 8
    assert found.value("model_flops") == sum(
        ic.profile(plain, (x[:n],)).counts.total.contraction_flops
        + ic.profile(plain, (x[:n],)).counts.total.pointwise_flops
        for n in (6, 2)
    )
    predicted = {part: found.value("predicted_s", part=part) for part in ("batch<=8", "batch<=2")}
    assert all(value is not None and value > 0 for value in predicted.values())


def test_a_forward_of_ones_own_comes_back() -> None:
    module = net()

    def own(x: torch.Tensor) -> torch.Tensor:
        return x + 1

    module.forward = own  # type: ignore[method-assign]
    monitor = Monitor(energy=None)
    monitor.instrument(module)
    assert torch.equal(module(torch.zeros(2)), torch.ones(2))
    monitor.close()
    assert module.forward is own


def test_a_module_that_fixes_its_batch_is_predicted_at_it() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[0] == 3
            return self.layer(x.reshape(3, 8))

    module = Fixed().eval()
    monitor = Monitor(module, (torch.zeros(3, 8),), on=ic.Deployment(hardware="l4"), energy=None)
    monitor.instrument(module)
    module(torch.zeros(3, 8))
    found = monitor.snapshot()
    assert found.value("items") == 3
    assert found.value("predicted_s")


def test_tokens_of_a_model_with_sequences() -> None:
    class Embedded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(64, 16), nn.Linear(16, 64)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.table(ids))

    module = Embedded().eval()
    ids = torch.zeros(3, 7, dtype=torch.int64)
    on = ic.Deployment(hardware="l4")
    monitor = Monitor(module, (ids,), dynamic={0: {0: "batch", 1: "sequence"}}, on=on, energy=None)
    monitor.instrument(module)
    module(ids)
    module(torch.zeros(1, 40, dtype=torch.int64))
    found = monitor.snapshot()
    assert (found.value("items"), found.value("prompt_tokens")) == (4, 61)
    graph = ic.capture(module, (ids,), dynamic={0: {0: "batch", 1: "sequence"}})
    expected = ic.estimate(graph, on=on, batch=3, sequence=7).latency_s
    assert found.value("predicted_s", part="batch<=4,tokens<=8") == pytest.approx(expected)
    assert found.value("predicted_s", part="batch<=1,tokens<=64") is not None


def test_a_capture_and_an_export_are_no_requests() -> None:
    module = net()
    monitor = Monitor(energy=None)
    monitor.instrument(module)
    graph = ic.capture(module, (torch.zeros(2, 16),), dynamic={0: {0: "batch"}})
    assert graph.size_of_role("batch") == "batch"
    torch.export.export(module, (torch.zeros(2, 16),), dynamic_shapes=({0: torch.export.Dim("n", min=2)},))
    assert sum(monitor.snapshot().value("requests", outcome=each) or 0 for each in ("ok", "error")) == 0


def test_compiled_and_scripted_modules() -> None:
    monitor = Monitor(energy=None)
    compiled = torch.compile(net(), backend="eager")
    monitor.instrument(compiled)
    compiled(torch.zeros(5, 16))
    with pytest.warns(DeprecationWarning, match="torch.jit.script"):
        scripted = torch.jit.script(net())
    monitor.instrument(scripted)(torch.zeros(2, 16))
    assert monitor.snapshot().value("items") == 7


def test_eight_threads_share_a_module() -> None:
    module = net()
    monitor = Monitor(energy=None)
    monitor.instrument(module)
    x = torch.zeros(2, 16)

    def work() -> None:
        for _ in range(100):
            module(x)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = monitor.snapshot()
    assert found.value("items") == 1600
    assert found.value("in_flight") == 0


class Device:
    """A stream that runs behind the program: events pass when its time has come."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.free_ns = 0
        self.asked = 0

    def launch(self, seconds: float) -> None:
        self.free_ns = max(self.free_ns, self.clock.now_ns) + round(seconds * 1e9)

    def event(self, enable_timing: bool) -> Event:
        assert enable_timing
        return Event(self)


class Event:
    """An event of that stream."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.at_ns = -1

    def record(self) -> None:
        self.at_ns = max(self.device.free_ns, self.device.clock.now_ns)

    def query(self) -> bool:
        self.device.asked += 1
        return self.device.clock.now_ns >= self.at_ns

    def elapsed_time(self, other: Event) -> float:
        return (other.at_ns - self.at_ns) / 1e6

    def synchronize(self) -> None:
        raise AssertionError("a monitor waits for nothing")


class OnDevice:
    """A tensor on a device."""

    is_cuda, is_meta = True, False
    device = "cuda:0"
    shape = (4, 2)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    clock = Clock()
    found = Device(clock)

    class Cuda:
        Event = staticmethod(found.event)

        @staticmethod
        def is_available() -> bool:
            return True

        class device:
            def __init__(self, _: str) -> None:
                pass

            def __enter__(self) -> None:
                pass

            def __exit__(self, *_: object) -> None:
                pass

    monkeypatch.setattr(instrument.sys, "modules", {**instrument.sys.modules, "torch": Torch(Cuda)})
    return found


class Torch:
    """As much of torch as the wrapper asks for."""

    nn, Tensor, _C = torch.nn, torch.Tensor, torch._C

    def __init__(self, cuda: Any) -> None:
        self.cuda = cuda


def test_calls_on_a_device_are_timed_by_events(device: Device) -> None:
    clock = device.clock
    monitor = Monitor(energy=None, clock=clock)

    def forward(x: OnDevice) -> None:
        clock.sleep(0.001)  # the launches
        device.launch(0.010)

    module = nn.Module()
    module.forward = forward  # type: ignore[method-assign]
    monitor.instrument(module)
    began_ns = clock.now_ns
    for _ in range(3):  # the device is 27 ms behind
        module(OnDevice())
    found = monitor.snapshot()
    assert (found.value("in_flight"), found.value("items")) == (3, 0)
    clock.sleep(0.1)
    found = monitor.snapshot()
    assert found.value("in_flight") == 0
    assert found.value("items") == 12
    # Kernels of the first call begin 1 ms after the call; its events enclose that gap.
    assert found.value("reserved_s", use="busy") == pytest.approx(0.031)
    assert found.value("service_s") == pytest.approx(0.031)
    assert found.value("reserved_s") == pytest.approx((clock.now_ns - began_ns) * 1e-9)


def test_a_device_that_hangs_stops_nothing(device: Device) -> None:
    clock = device.clock
    monitor = Monitor(energy=None, clock=clock)
    for _ in range(device_times._MOST + 10):
        event = Event(device)
        event.at_ns = 10**18
        monitor.devices.add(clock.now_ns, event, event, Served(1))
    assert monitor.devices.pending == device_times._MOST
    assert monitor.snapshot().value("items") == 10


def test_an_error_on_a_device_is_an_error(device: Device) -> None:
    monitor = Monitor(energy=None, clock=device.clock)
    module = nn.Module()

    def forward(x: OnDevice) -> None:
        raise RuntimeError("out of memory")

    module.forward = forward  # type: ignore[method-assign]
    monitor.instrument(module)
    with pytest.raises(RuntimeError, match="out of memory"):
        module(OnDevice())
    assert monitor.snapshot().value("requests", outcome="error") == 1

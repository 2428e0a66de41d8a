"""A FastAPI application with a torch model, served by uvicorn, under the load of several clients."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

import pyinfercost as ic
from pyinfercost import Monitor
from pyinfercost.monitor import MonitorMiddleware, current_request

pytestmark = [pytest.mark.torch, pytest.mark.server]

fastapi = pytest.importorskip("fastapi", reason="needs fastapi: pip install fastapi uvicorn")
uvicorn = pytest.importorskip("uvicorn", reason="needs uvicorn: pip install fastapi uvicorn")


@contextlib.contextmanager
def served(app: Any) -> Iterator[int]:
    """Serve an application; yield its port."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < deadline, "uvicorn did not start within 30 s"
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def application(calls: Monitor, requests: Monitor) -> Any:
    """An application whose model and whose requests are counted apart."""
    module = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 4)).eval()
    calls.instrument(module)
    app = fastapi.FastAPI()
    app.add_middleware(MonitorMiddleware, monitor=requests, paths=["/predict"])

    @app.post("/predict")
    def predict(body: dict[str, Any]) -> dict[str, Any]:
        x = torch.tensor(body["rows"], dtype=torch.float32)
        request = current_request()
        assert request is not None
        request.items = len(x)
        with torch.no_grad():
            return {"classes": module(x).argmax(dim=1).tolist()}

    @app.get("/health")
    def health() -> str:
        return "ok"

    return app


def test_figures_equal_the_book_keeping_of_the_clients() -> None:
    on = ic.Deployment(hardware="core-i9-10940x", price=0.3)
    calls, requests = Monitor(on=on, energy=None, name="net"), Monitor(on=on, energy=None, name="app")
    book = {"ok": 0, "error": 0, "items": 0, "seconds": 0.0}
    lock = threading.Lock()

    def client(port: int, seed: int) -> None:
        rng = random.Random(seed)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for _ in range(60):
            connection.request("GET", "/health")
            connection.getresponse().read()
            good = rng.random() < 0.9
            rows = [[rng.random() for _ in range(32 if good else 31)] for _ in range(rng.randint(1, 9))]
            began = time.perf_counter()
            connection.request("POST", "/predict", json.dumps({"rows": rows}), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
            took = time.perf_counter() - began
            with lock:
                book["ok" if answer.status == 200 else "error"] += 1
                book["items"] += len(rows)
                book["seconds"] += took
            if answer.status == 200:
                assert len(json.loads(body)["classes"]) == len(rows)
            else:
                assert not good
                connection.close()  # as uvicorn does after an exception
        connection.close()

    with served(application(calls, requests)) as port:
        clients = [threading.Thread(target=client, args=(port, seed)) for seed in range(8)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
    found = requests.snapshot()
    assert book["ok"] + book["error"] == 480
    assert book["error"] > 0
    assert found.value("requests", outcome="ok") == book["ok"]
    assert found.value("requests", outcome="error") == book["error"]
    assert found.value("items") == book["items"]
    assert found.value("in_flight") == 0
    assert 0 < found.value("service_s") <= book["seconds"]  # type: ignore[operator]
    inner = calls.snapshot()
    assert inner.value("requests", outcome="ok") == book["ok"]
    assert inner.value("requests", outcome="error") == book["error"]
    assert inner.value("service_s") <= found.value("service_s")  # type: ignore[operator]
    reserved, cost = found.value("reserved_s"), found.value("cost_usd")
    assert reserved is not None
    assert cost == pytest.approx(reserved * 0.3 / 3600)

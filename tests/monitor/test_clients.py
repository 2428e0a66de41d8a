"""Wrapped clients of inference servers, against servers that speak their protocols."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from pyinfercost import Monitor
from pyinfercost.monitor import Served, count_inputs, monitored_client


class Input:
    """An input in the manner of Triton's clients."""

    def __init__(self, *shape: int) -> None:
        self._shape = shape

    def shape(self) -> list[int]:
        return list(self._shape)


class Client:
    """A client in the manner of Triton's gRPC client."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def infer(self, model_name: str, inputs: list[Any]) -> str:
        self.asked.append(model_name)
        if model_name == "broken":
            raise ConnectionError("gone")
        return "result"

    def async_infer(self, model_name: str, inputs: list[Any], callback: Any) -> str:
        error = ConnectionError("gone") if model_name == "broken" else None
        threading.Thread(target=callback, args=("result", error)).start()
        return "handle"

    def is_server_live(self) -> bool:
        return True


def outcomes(monitor: Monitor) -> list[float | None]:
    found = monitor.snapshot()
    return [found.value("requests", outcome=outcome) for outcome in ("ok", "error", "cancelled")]


def test_inferences_are_counted_and_the_rest_is_the_clients() -> None:
    monitor, plain = Monitor(energy=None), Client()
    client = monitored_client(monitor, plain)
    assert client.infer("net", [Input(8, 3, 224, 224)]) == "result"
    with pytest.raises(ConnectionError, match="gone"):
        client.infer(model_name="broken", inputs=[Input(2, 3)])
    assert client.is_server_live()
    assert client.asked == ["net", "broken"]
    assert outcomes(monitor) == [1, 1, 0]
    assert monitor.snapshot().value("items") == 8


def test_a_callback_ends_its_request() -> None:
    monitor = Monitor(energy=None)
    client = monitored_client(monitor, Client())
    seen: list[tuple[Any, Any]] = []
    done = threading.Semaphore(0)

    def callback(result: Any, error: Any) -> None:
        seen.append((result, error))
        done.release()

    assert client.async_infer("net", [Input(4, 2)], callback=callback) == "handle"
    client.async_infer("broken", [Input(4, 2)], callback=callback)
    for _ in range(2):
        assert done.acquire(timeout=10)
    assert sorted(str(error) for _, error in seen) == ["None", "gone"]
    assert outcomes(monitor) == [1, 1, 0]
    assert monitor.snapshot().value("in_flight") == 0


def test_coroutines_of_a_client() -> None:
    class Later:
        async def infer(self, model_name: str, inputs: list[Any]) -> str:
            await asyncio.sleep(0)
            return model_name

    monitor = Monitor(energy=None)
    client = monitored_client(monitor, Later())
    assert asyncio.run(client.infer("net", [Input(3, 5)])) == "net"
    assert outcomes(monitor) == [1, 0, 0]


@pytest.mark.parametrize(
    ("args", "kwargs", "items"),
    [
        (("net", [Input(8, 3)]), {}, 8),
        (("net",), {"inputs": [Input(5, 3), Input(9)]}, 5),
        (("net", [Input(7)]), {}, 1),  # one dimension is no batch
        (({"inputs": [{"name": "x", "shape": [6, 2], "data": []}]},), {}, 6),
        ((), {"instances": [1, 2, 3]}, 3),
        (("net",), {}, 1),
        (("net", [object()]), {}, 1),
    ],
)
def test_items_of_an_inference(args: tuple[Any, ...], kwargs: dict[str, Any], items: int) -> None:
    assert count_inputs(args, kwargs, None) == Served(items)


def test_an_object_that_infers_nothing_is_refused() -> None:
    with pytest.raises(TypeError, match="client is a list; expected one with infer, predict, generate, async_infer"):
        monitored_client(Monitor(energy=None), [])


class KServe(BaseHTTPRequestHandler):
    """A server of the v2 protocol with binary tensors: its one output is the sum of each row."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        length = int(self.headers.get("Inference-Header-Content-Length", len(body)))
        request = json.loads(body[:length])
        shape = request["inputs"][0]["shape"]
        values = np.frombuffer(body[length:], dtype=np.float32).reshape(shape)
        sums = values.sum(axis=1).astype(np.float32)
        data = b"".join(struct.pack("<f", value) for value in sums.tolist())
        head = json.dumps(
            {
                "model_name": "net",
                "model_version": "1",
                "outputs": [
                    {
                        "name": "y",
                        "datatype": "FP32",
                        "shape": [shape[0]],
                        "parameters": {"binary_data_size": len(data)},
                    }
                ],
            }
        ).encode()
        self.send_response(200)
        self.send_header("Inference-Header-Content-Length", str(len(head)))
        self.send_header("Content-Length", str(len(head) + len(data)))
        self.end_headers()
        self.wfile.write(head + data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def kserve() -> Iterator[int]:
    """Run the server; yield its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), KServe)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.server
@pytest.mark.filterwarnings("default")  # of gevent
def test_the_real_client_of_triton() -> None:
    http = pytest.importorskip("tritonclient.http", reason="needs tritonclient: pip install 'tritonclient[http]'")
    monitor = Monitor(energy=None)
    with kserve() as port:
        client = monitored_client(monitor, http.InferenceServerClient(f"127.0.0.1:{port}", concurrency=4))
        given = http.InferInput("x", [3, 4], "FP32")
        given.set_data_from_numpy(np.ones((3, 4), dtype=np.float32))
        assert client.infer("net", [given]).as_numpy("y").tolist() == [4, 4, 4]
        handles = [client.async_infer("net", [given]) for _ in range(5)]
        assert [handle.get_result().as_numpy("y").tolist() for handle in handles] == [[4, 4, 4]] * 5
        client.close()
    assert outcomes(monitor) == [6, 0, 0]
    assert monitor.snapshot().value("items") == 18

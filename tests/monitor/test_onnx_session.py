"""A session of ONNX Runtime whose runs are counted."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from pyinfercost import Monitor

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install onnx onnxruntime")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install onnx onnxruntime")

WIDTH = 16


@pytest.fixture(scope="module")
def content() -> bytes:
    """A model of one product, as a file."""
    numbers = np.arange(WIDTH * 4, dtype=np.float32).reshape(WIDTH, 4)
    x, y = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", width])
        for name, width in (("x", WIDTH), ("y", 4))
    )
    weight = onnx.numpy_helper.from_array(numbers, "weight")
    node = onnx.helper.make_node("MatMul", ["x", "weight"], ["y"])
    graph = onnx.helper.make_graph([node], "product", [x], [y], [weight])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8  # that releases of ONNX Runtime since 2022 read
    found: bytes = model.SerializeToString()
    return found


def test_runs_of_a_session_are_counted(content: bytes) -> None:
    bare = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    with Monitor(energy=None) as monitor:
        session = monitor.instrument(bare)
        assert session.get_inputs()[0].name == "x"

        def serve(seed: int) -> None:
            for batch in range(1, 11):
                x = np.random.default_rng(seed + batch).random((batch, WIDTH), dtype=np.float32)
                (y,) = session.run(None, {"x": x})
                np.testing.assert_array_equal(y, bare.run(None, {"x": x})[0])

        threads = [threading.Thread(target=serve, args=(100 * place,)) for place in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        with pytest.raises(Exception, match="INVALID_ARGUMENT"):
            session.run(None, {"x": np.zeros((1, WIDTH + 1), dtype=np.float32)})
        found = monitor.snapshot()
    assert found.value("requests", outcome="ok") == 40
    assert found.value("requests", outcome="error") == 1
    assert found.value("items") == 4 * sum(range(1, 11))


def test_a_run_with_a_binding_is_counted(content: bytes) -> None:
    bare = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    with Monitor(energy=None) as monitor:
        session = monitor.instrument(bare)
        binding = session.io_binding()
        binding.bind_cpu_input("x", np.ones((3, WIDTH), dtype=np.float32))
        binding.bind_output("y")
        session.run_with_iobinding(binding)
        assert binding.copy_outputs_to_cpu()[0].shape == (3, 4)
        assert monitor.snapshot().value("requests", outcome="ok") == 1
        assert monitor.snapshot().value("items") == 3


def test_a_run_with_values_of_the_library_is_counted(content: bytes) -> None:
    bare = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    with Monitor(energy=None) as monitor:
        session = monitor.instrument(bare)
        x = onnxruntime.OrtValue.ortvalue_from_numpy(np.ones((5, WIDTH), dtype=np.float32))
        (y,) = session.run_with_ort_values(None, {"x": x})
        assert y.shape() == [5, 4]
        assert monitor.snapshot().value("items") == 5


def test_a_run_that_calls_back_ends_then(content: bytes) -> None:
    bare = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    with Monitor(energy=None) as monitor:
        session = monitor.instrument(bare)
        ended = threading.Event()
        seen = []

        def callback(results: list[np.ndarray], user_data: object, error: str) -> None:
            seen.append((results[0].shape, user_data, error))
            ended.set()

        session.run_async(["y"], {"x": np.ones((7, WIDTH), dtype=np.float32)}, callback, "mine")
        assert ended.wait(30)
        assert seen == [((7, 4), "mine", "")]
        assert monitor.snapshot().value("requests", outcome="ok") == 1
        assert monitor.snapshot().value("items") == 7
        assert monitor.snapshot().value("in_flight") == 0

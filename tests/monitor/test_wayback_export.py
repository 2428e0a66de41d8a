"""Logs as workloads: rows as they were recorded, and requests that are drawn from counters."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from support.monitored import LENGTH_BOUNDS, MONDAY_S, Observed, requests_at

import pyinfercost as ic
from pyinfercost.cli.monitor_export_command import export
from pyinfercost.errors import InputError
from pyinfercost.fleets import Slots
from pyinfercost.monitor.log import MonitorLog
from pyinfercost.monitor.log_reader import LogError
from pyinfercost.monitor.recorded import export_workload
from pyinfercost.monitor.request_columns import RequestColumns
from pyinfercost.serving.recorded_traces import note_of
from pyinfercost.serving.trace_formats import format_of
from pyinfercost.serving.trace_rows import TraceError

MINUTE_S = 60.0
FORMS = pytest.mark.parametrize("form", ["csv", "parquet"])


def log_with_rows(path: Path, minutes: int = 30, per_minute: int = 5) -> RequestColumns:
    """A log whose requests are returned."""
    observed = Observed()
    rng = np.random.default_rng(3)
    parts = []
    with MonitorLog(path, start_s=MONDAY_S) as log:
        for minute in range(minutes):
            rows = requests_at(observed.now_s + np.sort(rng.uniform(0.0, MINUTE_S, per_minute)), seed=minute)
            observed.count("requests", per_minute, outcome="ok")
            parts.append(rows)
            log.append(observed.snapshot(MINUTE_S), rows)
    return RequestColumns.joined(parts)


@FORMS
def test_rows_are_written_as_they_were_recorded(tmp_path: Path, form: str) -> None:
    rows = log_with_rows(tmp_path / "log.jsonl")
    target = tmp_path / f"out.{form}"
    found = export_workload(tmp_path / "log.jsonl", target)
    assert (found.requests, found.form, found.drawn, found.notes) == (150, "recorded", False, ())
    assert (found.start_s, found.span_s) == (MONDAY_S, 1800.0)
    assert format_of(target) == "recorded"
    trace = ic.read_trace(target)
    assert trace.has_lengths
    made = ic.Workload(trace=trace).all()
    assert np.abs(made.arrival_s - (rows.arrival_s - MONDAY_S)).max() < 3e-6
    assert made.prompt_tokens.tolist() == rows.prompt_tokens.tolist()
    assert made.output_tokens.tolist() == rows.output_tokens.tolist()
    note = note_of(target)
    assert note["start_utc"] == "2026-01-05T00:00:00.000000+00:00"
    assert note["model"] == "small"


def test_both_forms_have_equal_columns(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = log_with_rows(tmp_path / "log.jsonl")
    for form in ("csv", "parquet"):
        export_workload(tmp_path / "log.jsonl", tmp_path / f"out.{form}")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["arrival_s", "prompt_tokens", "output_tokens", "first_token_s", "last_token_s"]
    with (tmp_path / "out.csv").open(newline="") as file:
        assert file.readline().startswith("# {")
        read = list(csv.DictReader(file))
    for name in table.column_names:
        assert table[name].to_pylist() == [float(row[name]) for row in read]
    assert np.abs(np.array(table["last_token_s"].to_pylist()) - (rows.end_s - MONDAY_S)).max() < 3e-6


@FORMS
def test_a_part_begins_at_its_time(tmp_path: Path, form: str) -> None:
    rows = log_with_rows(tmp_path / "log.jsonl")
    low, high = MONDAY_S + 600.0, MONDAY_S + 1200.0
    found = export_workload(tmp_path / "log.jsonl", tmp_path / f"out.{form}", from_s=low, to_s=high)
    inside = rows.arrival_s[(rows.arrival_s >= low) & (rows.arrival_s < high)]
    assert found.requests == len(inside) == 50
    made = ic.Workload.read(tmp_path / f"out.{form}").all()
    assert np.abs(made.arrival_s - (inside - low)).max() < 3e-6, "0 s is the begin of the part, not the first arrival"


def test_a_request_that_ends_after_the_part_is_in_it(tmp_path: Path) -> None:
    observed = Observed()
    arrival = MONDAY_S + np.array([10.0, 50.0])
    with MonitorLog(tmp_path / "log.jsonl", start_s=MONDAY_S) as log:
        log.append(observed.snapshot(MINUTE_S))
        columns = RequestColumns.of(arrival, prompt_tokens=[5, 6], output_tokens=[7, 8], end_s=arrival + 70.0)
        log.append(observed.snapshot(2 * MINUTE_S), columns)
    found = export_workload(tmp_path / "log.jsonl", tmp_path / "out.csv", to_s=MONDAY_S + 60.0)
    assert found.requests == 2


def test_quiet_hours_are_kept_and_gaps_are_told(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    observed = Observed()
    with MonitorLog(path, start_s=MONDAY_S) as log:
        log.append(observed.snapshot(MINUTE_S), requests_at([MONDAY_S + 1.0]))
        for _ in range(180):
            log.append(observed.snapshot(MINUTE_S))
        observed.now_s += 7200.0  # the machine was down
        again = Observed("again", observed.now_s)
        log.append(again.snapshot(MINUTE_S), requests_at([again.now_s - 1.0]))
    found = export_workload(path, tmp_path / "out.csv")
    made = ic.Workload.read(tmp_path / "out.csv").all()
    assert made.arrival_s.tolist() == pytest.approx([1.0, 181 * 60.0 + 7200.0 + 59.0])
    assert not found.notes, "an observer that continues covers the time since its last record"
    with MonitorLog(path, start_s=again.now_s + 7200.0) as log:
        late = Observed("late", again.now_s + 7200.0)
        log.append(late.snapshot(MINUTE_S), requests_at([late.now_s - 1.0]))
    (note,) = export_workload(path, tmp_path / "out.csv").notes
    assert note.startswith("nothing was recorded from 2026-01-05T05:02:00Z to 2026-01-05T07:02:00Z")


def test_requests_without_an_answer_are_left_out(tmp_path: Path) -> None:
    observed = Observed()
    with MonitorLog(tmp_path / "log.jsonl", start_s=MONDAY_S) as log:
        columns = RequestColumns.of(
            MONDAY_S + np.arange(5.0), prompt_tokens=[5, 5, 5, 0, 9], output_tokens=[4, 0, 3, 2, 0],
            outcome=[0, 1, 2, 0, 0],
        )  # fmt: skip
        observed.count("requests", 40, outcome="ok")
        log.append(observed.snapshot(MINUTE_S), columns)
    found = export_workload(tmp_path / "log.jsonl", tmp_path / "out.csv")
    made = ic.Workload.read(tmp_path / "out.csv").all()
    assert made.arrival_s.tolist() == [0.0, 2.0, 3.0, 4.0], "a cancelled request with tokens was load"
    assert made.prompt_tokens.tolist() == [5, 5, 1, 9]
    assert made.output_tokens.tolist() == [4, 3, 2, 1]
    text = "\n".join(found.notes)
    assert "1 requests without an answer" in text
    assert "1 requests with 0 prompt_tokens have 1" in text
    assert "35 of 40 counted requests have no row" in text
    with (tmp_path / "out.csv").open() as file:
        assert json.loads(file.readline()[1:])["notes"] == list(found.notes)


@FORMS
def test_requests_without_tokens_have_their_service(tmp_path: Path, form: str) -> None:
    observed = Observed(model="resnet50")
    arrival = MONDAY_S + np.arange(4.0)
    columns = RequestColumns.of(
        arrival, start_s=arrival + 0.5, end_s=arrival + np.array([0.6, 0.7, np.nan, 0.9]), items=[1, 8, 8, 2]
    )
    with MonitorLog(tmp_path / "log.jsonl", start_s=MONDAY_S) as log:
        log.append(observed.snapshot(MINUTE_S), columns)
    found = export_workload(tmp_path / "log.jsonl", tmp_path / f"out.{form}")
    trace = ic.read_trace(tmp_path / f"out.{form}")
    assert (trace.has_lengths, trace.has_service) == (False, True)
    made = ic.Workload(trace=trace).all()
    assert made.service_s is not None
    assert made.service_s.tolist() == pytest.approx([0.1, 0.2, 0.4])
    assert any("without an end" in note for note in found.notes)
    fleet = ic.fleet(None, traffic=tmp_path / f"out.{form}", on=Slots(slots=1, usd_per_h=1.0), autoscaler="static")
    assert fleet.fleets[0].finished == 3


# ---- counters alone --------------------------------------------------------------------------------------------------


def log_with_counters(path: Path, minutes: int = 60, *, lengths: bool = True) -> Observed:
    """A log as of a sidecar: 6 requests a minute in the first half, 30 in the second."""
    observed = Observed()
    rng = np.random.default_rng(5)
    with MonitorLog(path, start_s=MONDAY_S) as log:
        for minute in range(minutes):
            count = 6 if minute < minutes / 2 else 30
            observed.count("requests", count, outcome="ok")
            observed.gauge("in_flight", 2 if minute % 2 else 4)
            if lengths:
                observed.sample("request_prompt_tokens", *rng.integers(90, 130, count), bounds=LENGTH_BOUNDS)
                observed.sample("request_output_tokens", *rng.integers(2, 60, count), bounds=LENGTH_BOUNDS)
            log.append(observed.snapshot(MINUTE_S))
    return observed


@FORMS
def test_counters_become_requests(tmp_path: Path, form: str) -> None:
    observed = log_with_counters(tmp_path / "log.jsonl")
    target = tmp_path / f"out.{form}"
    found = export_workload(tmp_path / "log.jsonl", target, seed=7)
    assert (found.form, found.drawn) == ("recorded", True)
    # The last interval ends with 2 requests in service, which arrived.
    assert found.requests == 30 * 6 + 30 * 30 + 2
    made = ic.Workload.read(target).all()
    halves = np.histogram(made.arrival_s, bins=[0.0, 1800.0, 3600.0])[0]
    assert halves.tolist() == [182, 900], "2 in service at the end of an odd minute"
    for name, tokens in (("request_prompt_tokens", made.prompt_tokens), ("request_output_tokens", made.output_tokens)):
        measured = observed.snapshot().distribution(name)
        assert measured is not None
        assert tokens.mean() == pytest.approx(measured.mean, rel=0.05)
        assert np.percentile(tokens, 90) == pytest.approx(measured.percentile(90), rel=0.15)
    assert note_of(target)["seed"] == 7
    assert any("seed 7" in note for note in found.notes)
    again = export_workload(tmp_path / "log.jsonl", tmp_path / f"again.{form}", seed=7)
    other = export_workload(tmp_path / "log.jsonl", tmp_path / f"other.{form}", seed=8)
    assert again.path.read_bytes() == target.read_bytes()
    assert other.path.read_bytes() != target.read_bytes()


def test_counts_without_lengths_are_bins(tmp_path: Path) -> None:
    log_with_counters(tmp_path / "log.jsonl", lengths=False)
    found = export_workload(tmp_path / "log.jsonl", tmp_path / "out.csv")
    assert found.form == "bins"
    assert format_of(tmp_path / "out.csv") == "bins"
    with (tmp_path / "out.csv").open(newline="") as file:
        file.readline()
        rows = list(csv.DictReader(file))
    assert [int(row["requests"]) for row in rows[:4]] == [10, 4, 8, 4]  # 6 that end, and 4 or -2 more in service
    assert sum(int(row["requests"]) for row in rows) == found.requests
    drawn = ic.Workload.read(tmp_path / "out.csv", prompt=100, output=20).all()
    assert len(drawn) == found.requests
    parquet = export_workload(tmp_path / "log.jsonl", tmp_path / "out.parquet")
    assert (parquet.form, parquet.requests) == ("recorded", found.requests)


def test_counts_beyond_memory_are_not_drawn(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    observed = Observed()
    with MonitorLog(path, start_s=MONDAY_S) as log:
        for _ in range(2):
            observed.count("requests", 2**53, outcome="ok")
            log.append(observed.snapshot(MINUTE_S))
    with pytest.raises(LogError, match=r"counts 18,014,398,509,481,984 requests .* pass a shorter time"):
        export_workload(path, tmp_path / "out.parquet")
    assert export_workload(path, tmp_path / "out.csv").requests == 2**54  # counts as they are


def test_several_runs_add_up(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for number in range(3):
        observed = Observed(f"worker {number}", MONDAY_S + 7.0 * number)
        with MonitorLog(path, start_s=observed.now_s) as log:
            for _ in range(10):
                observed.count("requests", 5 + number, outcome="ok")
                log.append(observed.snapshot(MINUTE_S))
    assert export_workload(path, tmp_path / "out.csv").requests == 10 * (5 + 6 + 7)
    assert len(ic.Workload.read(tmp_path / "out.csv", prompt=1, output=1).all()) == 180


# ---- the command, and what is refused --------------------------------------------------------------------------------


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    log_with_counters(tmp_path / "log.jsonl")
    out = tmp_path / "out.csv"
    found = CliRunner().invoke(
        export,
        [str(tmp_path / "log.jsonl"), "--output", str(out), "--from", "2026-01-05T00:10", "--until", "1767573000"],
    )
    assert found.exit_code == 0, found.output
    # Of the first interval it is unknown how many were in service before.
    assert found.stderr.startswith("120 requests in 0.3333 h from 2026-01-05 00:10:00 UTC written to ")
    assert "Note: lengths are drawn" in found.stderr
    assert "(seed 0)" in found.stderr
    wrong = CliRunner().invoke(export, [str(tmp_path / "log.jsonl"), "--output", str(out), "--from", "yesterday"])
    assert wrong.exit_code == 2
    assert "2026-11-23T08:00" in wrong.output


def test_what_is_no_workload_is_refused(tmp_path: Path) -> None:
    log_with_rows(tmp_path / "log.jsonl")
    with pytest.raises(InputError, match=r"expected .csv or .parquet"):
        export_workload(tmp_path / "log.jsonl", tmp_path / "out.txt")
    with pytest.raises(LogError, match="no requests from"):
        export_workload(tmp_path / "log.jsonl", tmp_path / "out.csv", from_s=0.0, to_s=10.0)
    with pytest.raises(LogError, match="is empty"):
        export_workload(tmp_path / "log.jsonl", tmp_path / "out.csv", from_s=10.0, to_s=10.0)
    with pytest.raises(InputError, match="from_s is nan"):
        export_workload(tmp_path / "log.jsonl", tmp_path / "out.csv", from_s=float("nan"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"arrival_s,prompt_tokens,output_tokens\n1,2,x\n", "line 2 .*output_tokens is 'x'"),
        (b"# hello\narrival_s,prompt_tokens,output_tokens\n1,2,3\n2,2.5,3\n", "line 4 .*prompt_tokens is 2.5"),
        (b"arrival_s,prompt_tokens,output_tokens\n3,2,3\n1,2,3\n", "2 s before that of the row before"),
        (b"arrival_s,service_s\n3,-1\n", "service_s is -1"),
        (b"arrival_s,prompt_tokens,output_tokens\n,2,3\n", "its time is nan"),
        (b"PAR1 and no more", "no Parquet file that can be read"),
    ],
)
def test_damaged_tables_say_where(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "table.data"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=told):
        ic.read_trace(path).summary()


def test_parquet_files_of_others_say_what_is_missing(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"time": [1.0]}), tmp_path / "a.parquet")
    with pytest.raises(TraceError, match="has the columns time, without arrival_s"):
        ic.read_trace(tmp_path / "a.parquet")
    parquet.write_table(
        arrow.table({"arrival_s": ["soon"], "input_tokens": [3], "output_tokens": [3]}), tmp_path / "b.parquet"
    )
    with pytest.raises(TraceError, match="damaged, or has a column that is none of numbers"):
        ic.read_trace(tmp_path / "b.parquet").summary()
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "c.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TraceError, match="no Parquet file that can be read"):
        ic.read_trace(tmp_path / "c.parquet")

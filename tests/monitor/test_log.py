"""The log of a monitor: what is written is read back, whatever happens to the file in between."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from support.monitored import MONDAY_S, Observed, requests_at

import pyinfercost as ic
from pyinfercost.errors import FileAccessError, InputError, MissingFileError
from pyinfercost.monitor.log import LogNotWrittenWarning, MonitorLog
from pyinfercost.monitor.log_reader import LogError, read_log, summed
from pyinfercost.monitor.request_columns import RequestColumns, RequestColumnsError
from pyinfercost.monitor.rotated_file import rotated_files
from pyinfercost.results.live import series

MINUTE_S = 60.0


def write_minutes(log: MonitorLog, observed: Observed, minutes: int) -> None:
    """So many intervals with 7 requests each."""
    for _ in range(minutes):
        observed.count("requests", 7, outcome="ok")
        observed.sample("ttft_s", 0.01, 0.02, 0.03, 0.05, 0.08, 0.13, 0.21)
        observed.gauge("in_flight", 3)
        assert log.append(observed.snapshot(MINUTE_S))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    on = ic.Deployment(hardware="l4", engine="vllm", precision="bf16", price=0.7)
    observed = Observed(precision="bf16")
    observed.notes = ("energy is not measured",)
    with MonitorLog(path, deployment=on, spec="hf:small", plan="plan.json", start_s=MONDAY_S) as log:
        observed.gauge("price_usd_per_h", 0.7)
        write_minutes(log, observed, 3)
        columns = requests_at(observed.now_s + np.array([0.5, 0.25, 7.125]))
        observed.count("cost_usd", 0.1, use="busy")
        assert log.append(observed.snapshot(MINUTE_S), columns)
    found = read_log(path)
    (run,) = found.runs
    assert run.deployed() == on
    assert (run.spec, run.plan, run.price_usd_per_h) == ("hf:small", "plan.json", 0.7)
    assert run.info == {"model": "small", "hardware": "l4", "engine": "vllm", "precision": "bf16"}
    assert run.notes == ("energy is not measured",)
    assert run.versions["pyinfercost"] == ic.__version__
    assert [each.length_s for each in run.intervals] == [MINUTE_S] * 4
    assert [each.change.value("requests", outcome="ok") for each in run.intervals] == [7, 7, 7, None]
    assert found.damaged == found.unknown == 0
    whole = summed(run.intervals)
    assert whole.values[series("requests", outcome="ok")] == 21
    assert whole.values[series("cost_usd", use="busy")] == pytest.approx(0.1, abs=1e-12)
    assert whole.value("in_flight") == 3
    before, after = observed.snapshot().distribution("ttft_s"), whole.distribution("ttft_s")
    assert before is not None
    assert after is not None
    assert after.count == before.count == 21
    assert after.total == pytest.approx(before.total)
    for percent in (1, 25, 50, 90, 99, 100):
        assert after.percentile(percent) == pytest.approx(before.percentile(percent), rel=1e-6)
    read = run.intervals[3].requests
    assert read is not None
    order = np.argsort(columns.arrival_s)
    for name in ("prompt_tokens", "output_tokens", "items", "outcome"):
        assert getattr(read, name).tolist() == getattr(columns, name)[order].tolist()
    for name in ("arrival_s", "first_token_s", "end_s"):
        assert np.abs(getattr(read, name) - getattr(columns, name)[order]).max() < 1.5e-6
    assert np.isnan(read.start_s).all()


def test_values_above_all_bounds_stay_above(tmp_path: Path) -> None:
    observed = Observed()
    observed.sample("request_s", 0.5, 1e9, 2e9)
    with MonitorLog(tmp_path / "log.jsonl", start_s=MONDAY_S) as log:
        log.append(observed.snapshot(1.0))
    found = read_log(tmp_path / "log.jsonl").runs[0].intervals[0].change.distribution("request_s")
    assert found is not None
    assert found.counts[-1] == 2
    assert found.total == pytest.approx(0.5 + 3e9)


def test_several_runs_are_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    first, second = Observed("first"), Observed("second", MONDAY_S + 10.0)
    with MonitorLog(path, start_s=MONDAY_S) as one, MonitorLog(path, start_s=MONDAY_S + 10.0) as other:
        for _ in range(3):
            write_minutes(one, first, 1)
            write_minutes(other, second, 2)
    runs = read_log(path).runs
    assert [len(run.intervals) for run in runs] == [3, 6]
    assert [summed(run.intervals).value("requests") for run in runs] == [21, 42]
    headers = [line for line in path.read_text().splitlines() if '"record":"run"' in line]
    assert len(headers) == 2


def test_an_observer_that_begins_again_counts_from_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with MonitorLog(path, start_s=MONDAY_S) as log:
        write_minutes(log, Observed("first"), 2)
        again = Observed("again", MONDAY_S + 120.0)
        write_minutes(log, again, 2)
        fell = Observed("again", again.now_s)  # the same name, with counters that fell
        write_minutes(log, fell, 1)
    found = read_log(path)
    assert sum(summed(run.intervals).value("requests") or 0 for run in found.runs) == 35
    assert any("fell" in note for note in found.runs[1].notes)


def test_damaged_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with MonitorLog(path, start_s=MONDAY_S) as log:
        write_minutes(log, Observed(), 4)
    lines = path.read_bytes().splitlines(keepends=True)
    other = json.loads(lines[1])
    wrong = [
        b"\xff\xfe\n",
        b"[]\n",
        b'{"record":"interval","run":"x"}\n',
        lines[2][:40] + b"\n",
        json.dumps({**other, "values": [["requests", "ok", "many"]]}).encode() + b"\n",
        json.dumps({**other, "requests": {"count": 2, "base_us": 0, "arrival_us": [1]}}).encode() + b"\n",
        json.dumps({**other, "distributions": [["ttft_s", {"total": 1, "counts": [[2, 1, 3]]}]]}).encode() + b"\n",
        json.dumps({**other, "distributions": [["ttft_s", {"total": 1, "counts": [[1, 2, 10**400]]}]]}).encode()
        + b"\n",
        json.dumps({**other, "values": [["cost_usd", "busy", 1e308]]}).encode() + b"\n",
        json.dumps({**other, "from_s": 0.0, "to_s": 1e-148}).encode() + b"\n",
        json.dumps({**other, "values": [["cost_usd", "busy", 10**400]]}).encode() + b"\n",
        json.dumps({**other, "values": [["planned_usd_per_h", 1e-320]]}).encode() + b"\n",
        json.dumps({**other, "requests": {"count": 10**9, "base_us": 0, "arrival_us": 0}}).encode() + b"\n",
        json.dumps({**other, "requests": {"count": 1, "base_us": 0, "arrival_us": [-(2**62)]}}).encode() + b"\n",
        json.dumps({**other, "schema_version": 99}).encode() + b"\n",
        b"[" * 100_000 + b"\n",
    ]
    path.write_bytes(b"".join([lines[0], *wrong, *lines[1:]]))
    found = read_log(path)
    assert found.damaged == len(wrong)
    assert found.damage[0].startswith("line 2 of log.jsonl: ")
    assert summed(found.runs[0].intervals).value("requests") == 28


def test_figures_of_other_versions_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with MonitorLog(path, start_s=MONDAY_S) as log:
        write_minutes(log, Observed(), 1)
    header, line = path.read_bytes().splitlines()
    record = json.loads(line)
    record["values"] += [["of_tomorrow", 1], ["requests", "ok", "another label", 2]]
    path.write_bytes(header + b"\n" + json.dumps(record).encode() + b"\n")
    found = read_log(path)
    assert (found.damaged, found.unknown) == (0, 2)
    assert found.runs[0].intervals[0].change.value("requests") == 7


def test_a_part_of_a_line_of_a_killed_process_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with MonitorLog(path, start_s=MONDAY_S) as log:
        write_minutes(log, Observed("first"), 2)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with MonitorLog(path, start_s=MONDAY_S) as log:
        write_minutes(log, Observed("second", MONDAY_S + 600.0), 2)
    found = read_log(path)
    assert found.damaged == 1
    assert [len(run.intervals) for run in found.runs] == [1, 2]


def test_a_killed_process_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from support.monitored import Observed, MONDAY_S
from pyinfercost.monitor.log import MonitorLog
observed = Observed()
log = MonitorLog({str(path)!r}, start_s=MONDAY_S)
for number in range(50):
    observed.count("requests", 1, outcome="ok")
    log.append(observed.snapshot(1.0))
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60, cwd=tmp_path)
    found = read_log(path)
    assert found.damaged == 0
    assert summed(found.runs[0].intervals).value("requests") == 50


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is not there: no disk to be full")
def test_a_full_disk_loses_nothing_but_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    observed = Observed()
    log = MonitorLog(path, start_s=MONDAY_S)
    write_minutes(log, observed, 1)
    real = os.write
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr("os.write", lambda file, content: real(full, content))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for minute in range(3):
            observed.count("requests", 7, outcome="ok")
            assert not log.append(observed.snapshot(MINUTE_S), requests_at([observed.now_s], seed=minute))
    (warning,) = caught
    assert warning.category is LogNotWrittenWarning
    assert "No space left" in str(warning.message)
    monkeypatch.setattr("os.write", lambda file, content: real(file, content[: len(content) // 2]))
    assert not log.append(observed.snapshot(MINUTE_S))  # half a line
    monkeypatch.undo()
    os.close(full)
    write_minutes(log, observed, 1)
    log.close()
    found = read_log(path)
    assert found.damaged == 1
    first, second = found.runs[0].intervals
    assert (first.change.value("requests"), second.change.value("requests")) == (7, 28)
    assert second.length_s == 5 * MINUTE_S
    assert second.requests is not None
    assert len(second.requests) == 3
    assert log.dropped == 0


def test_rows_that_wait_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyinfercost.monitor.log._MOST_WAITING", 10)
    observed = Observed()
    log = MonitorLog(tmp_path / "log.jsonl", start_s=MONDAY_S)

    def refuse(file: int, content: bytes) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("os.write", refuse)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a warning that is an error is no error either
            assert not log.append(observed.snapshot(MINUTE_S), requests_at([MONDAY_S] * 8))
            assert not log.append(observed.snapshot(MINUTE_S), requests_at([MONDAY_S] * 8))
    assert log.dropped == 6
    assert log.append(observed.snapshot(MINUTE_S))
    log.close()
    read = read_log(tmp_path / "log.jsonl").runs[0].intervals[0].requests
    assert read is not None
    assert len(read) == 10


def test_a_deleted_file_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "log.jsonl"
    observed = Observed()
    log = MonitorLog(path, start_s=MONDAY_S)
    write_minutes(log, observed, 1)
    path.unlink()
    folder.rmdir()
    write_minutes(log, observed, 2)
    log.close()
    (run,) = read_log(path).runs
    assert summed(run.intervals).value("requests") == 14
    assert run.model == "small"


def test_a_folder_that_becomes_read_only_is_only_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    observed = Observed()
    log = MonitorLog(path, start_s=MONDAY_S)
    write_minutes(log, observed, 1)
    path.unlink()

    def refuse(*_: object) -> int:  # a superuser may write into any folder
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as broken:
        broken.setattr("os.open", refuse)
        with pytest.warns(LogNotWrittenWarning, match="Permission denied"):
            assert not log.append(observed.snapshot(MINUTE_S))
        with pytest.raises(FileAccessError, match="cannot write"):
            MonitorLog(tmp_path / "other.jsonl")
    write_minutes(log, observed, 1)
    log.close()
    assert summed(read_log(path).runs[0].intervals).value("requests") == 7


def test_files_are_rotated_by_size_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    observed = Observed()
    log = MonitorLog(path, start_s=MONDAY_S, rotate_bytes=4_000, keep=3)
    write_minutes(log, observed, 60)
    assert len(rotated_files(path)) == 3
    log.close()
    assert all(file.stat().st_size <= 4_000 for file in tmp_path.iterdir())
    found = read_log(path)
    assert found.files == 4
    (run,) = found.runs
    assert run.model == "small", "each file has a header"
    kept = summed(run.intervals).value("requests")
    assert kept == 7 * len(run.intervals) < 420
    assert run.intervals[-1].end_s == observed.now_s


def test_files_are_rotated_by_day(tmp_path: Path) -> None:
    path = tmp_path / "log[1].jsonl"
    observed = Observed(start_s=MONDAY_S + 23.5 * 3600)
    log = MonitorLog(path, start_s=observed.now_s)
    write_minutes(log, observed, 90)
    log.close()
    (old,) = rotated_files(path)
    assert old.name == "log[1]-2026-01-06T000000Z.001.jsonl"
    assert summed(read_log(path).runs[0].intervals).value("requests") == 630
    assert summed(read_log(tmp_path).runs[0].intervals).value("requests") == 630


def test_processes_rotate_one_file_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    several = [(MonitorLog(path, start_s=MONDAY_S, rotate_bytes=6_000), Observed(f"run {n}")) for n in range(3)]
    for _ in range(20):
        for log, observed in several:
            write_minutes(log, observed, 1)
    for log, _ in several:
        log.close()
    found = read_log(path)
    assert found.damaged == 0
    assert [summed(run.intervals).value("requests") for run in found.runs] == [140] * 3


def test_threads_append_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = MonitorLog(path, start_s=MONDAY_S)
    observed = Observed()
    snapshots = []
    for _ in range(200):
        observed.count("requests", 1, outcome="ok")
        snapshots.append(observed.snapshot(1.0))
    threads = [threading.Thread(target=lambda part=part: [log.append(each) for each in part]) for part in [snapshots]]
    threads += [
        threading.Thread(target=lambda n=n: MonitorLog(path, start_s=MONDAY_S).append(Observed(f"{n}").snapshot(1.0)))
        for n in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found = read_log(path)
    assert found.damaged == 0
    assert len(found.runs) == 9
    assert sum(summed(run.intervals).value("requests") or 0 for run in found.runs) == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("renews", [False, True], ids=["the same observer", "an observer of its own"])
def test_a_child_counts_what_follows_the_fork(tmp_path: Path, renews: bool) -> None:
    path = tmp_path / "log.jsonl"
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from support.monitored import Observed, MONDAY_S, requests_at
from pyinfercost.monitor.log import MonitorLog
observed = Observed("parent")
log = MonitorLog({str(path)!r}, start_s=MONDAY_S)
observed.count("requests", 5, outcome="ok")
log.append(observed.snapshot(1.0), requests_at([MONDAY_S]))
log._lock.acquire()  # as a thread that appends meanwhile
child = os.fork()
if not child:
    if {renews}:
        observed = Observed("child", observed.now_s)
    for number in range(4):
        assert log.append(observed.snapshot(1.0))
        observed.count("requests", 10, outcome="ok")
    assert log.append(observed.snapshot(1.0))
    os._exit(0)
log._lock.release()
os.waitpid(child, 0)
observed.count("requests", 2, outcome="ok")
log.append(observed.snapshot(9.0))
log.close()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=tmp_path)
    found = read_log(path)
    assert found.damaged == 0
    assert sorted(summed(run.intervals).value("requests") or 0 for run in found.runs) == [7, 40]


def test_no_content_address_or_id_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    secret = "what the user asked"
    observed = Observed(
        "host7.example.com:8000/4711", prompt=secret, user="u-4711", address="10.1.2.3", observer="sidecar"
    )
    observed.notes = (
        "no answer of http://10.1.2.3:8000/metrics?key=abc, of [2001:db8::7]:80, fe80::1, host7.example.com:8000, "
        "127.0.0.1:9400, localhost:80 and admin@example.com",
    )
    with MonitorLog(path, start_s=MONDAY_S) as log:
        log.append(observed.snapshot(1.0), requests_at([MONDAY_S, MONDAY_S + 0.5]))
    text = path.read_text()
    for each in (secret, "u-4711", "10.1.2.3", "host7", "2001:db8", "fe80", "127.0.0.1", "localhost", "4711", "abc"):
        assert each not in text
    assert "@" not in text
    assert "no answer of <address>" in text
    record = json.loads(text.splitlines()[1])
    numbers = re.sub(r'"[a-z_]+":', "", json.dumps(record["requests"]).replace(" ", ""))
    assert not re.search(r"[^\d,\[\]{}-]", numbers), "columns of requests are whole numbers"
    assert set(record["requests"]) == {
        "count", "base_us", "arrival_us", "start_us", "first_token_us", "end_us",
        "prompt_tokens", "output_tokens", "items", "outcome",
    }  # fmt: skip


def test_columns_have_no_place_for_more() -> None:
    with pytest.raises(TypeError):
        RequestColumns.of([0.0], text=["hello"])  # type: ignore[call-arg]
    with pytest.raises((RequestColumnsError, ValueError, TypeError)):
        RequestColumns.of([0.0], prompt_tokens=["hello"])


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"prompt_tokens": [1, 2]}, "one length"),
        ({"prompt_tokens": [-1]}, "below 0"),
        ({"items": [float("nan")]}, "below 0"),
        ({"end_s": [[1.0]]}, "one length"),
    ],
)
def test_wrong_columns_are_refused(columns: dict[str, list[float]], told: str) -> None:
    with pytest.raises(RequestColumnsError, match=told):
        RequestColumns.of([0.0], **columns)  # type: ignore[arg-type]


def test_clocks_that_jump_back_do_not_break_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    observed = Observed()
    with MonitorLog(path, start_s=MONDAY_S) as log:
        write_minutes(log, observed, 1)
        observed.now_s -= 3600.0
        write_minutes(log, observed, 2)
    (run,) = read_log(path).runs
    assert summed(run.intervals).value("requests") == 21
    assert all(each.length_s >= 0 for each in run.intervals)


def test_parts_of_a_log_are_chosen(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with MonitorLog(path, start_s=MONDAY_S) as log:
        write_minutes(log, Observed("a", model="one"), 5)
        late = Observed("b", MONDAY_S + 7200.0, model="other")
        write_minutes(log, late, 1)
        late.now_s += 3600.0
        write_minutes(log, late, 5)
    found = read_log(path)
    assert found.models == ("one", "other")
    with pytest.raises(LogError, match="several models, one, other"):
        found.of_model()
    with pytest.raises(LogError, match="no model 'third'"):
        found.of_model("third")
    assert [run.model for run in found.of_model("other").runs] == ["other"]
    part = found.between(MONDAY_S + 60.0, MONDAY_S + 180.0)
    assert [len(run.intervals) for run in part.runs] == [2]
    with pytest.raises(LogError, match="no interval from"):
        found.between(0.0, 1.0)


def test_times_without_a_record_are_gaps(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with MonitorLog(path, start_s=MONDAY_S) as log:
        write_minutes(log, Observed("a"), 5)
    with MonitorLog(path, start_s=MONDAY_S + 3600.0) as log:
        write_minutes(log, Observed("b", MONDAY_S + 3600.0), 5)
    assert read_log(path).gaps() == [(MONDAY_S + 300.0, MONDAY_S + 3600.0)]


def test_logs_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        read_log(tmp_path / "log.jsonl")
    with pytest.raises(MissingFileError, match=r"no file that ends with .jsonl"):
        read_log(tmp_path)
    (tmp_path / "log.jsonl").write_text("hello\n")
    with pytest.raises(LogError, match="no interval of a monitor, and 1 lines"):
        read_log(tmp_path / "log.jsonl")
    with pytest.raises(InputError, match="is a folder"):
        MonitorLog(tmp_path)
    with pytest.raises(InputError, match="keep is 0"):
        MonitorLog(tmp_path / "log.jsonl", keep=0)

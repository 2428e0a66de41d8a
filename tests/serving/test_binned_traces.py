"""Traces of counts and rates: bins by hand, the statistics of what is drawn, and Azure Functions of 2019."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.paths import SHARED

import pyinfercost as ic
from pyinfercost.serving.binned_traces import Bins, expanded
from pyinfercost.serving.function_traces import DURATION_SHARES
from pyinfercost.serving.requests import CHUNK, Requests, joined
from pyinfercost.serving.trace_rows import TraceError
from pyinfercost.serving.traces import Trace, read_trace

FUNCTIONS = SHARED / "traces" / "azure_functions_2019" / "1350_inv.csv"
WEEK = SHARED / "traces" / "azure_llm_2024_weekly" / "conversation_week_7min.csv"
needs_traces = pytest.mark.skipif(not FUNCTIONS.is_file(), reason=f"needs the request traces in {SHARED / 'traces'}")


def write(folder: Path, text: str, name: str = "bins.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(trace: Trace) -> Requests:
    return joined(list(trace.chunks()))


def drawn(bins: Bins, seed: int = 0, *, evenly: bool = False) -> np.ndarray:
    parts = [rows.times_s for rows in expanded(bins, np.random.default_rng(seed), evenly=evenly)]
    return np.concatenate([np.zeros(0), *parts])


# ---- bins ------------------------------------------------------------------------------------------------------------


def test_counts_evenly_by_hand(tmp_path: Path) -> None:
    """Two requests in 10 s are at 2.5 and 7.5 s; the last bin is as long as the one before."""
    trace = read_trace(write(tmp_path, "start_s,requests\n100,2\n110,0\n130,1\n150,4\n"), spread=True)
    assert (trace.format, trace.timed, trace.has_lengths) == ("bins", True, False)
    assert read(trace).arrival_s == pytest.approx([2.5, 7.5, 40.0, 52.5, 57.5, 62.5, 67.5])
    assert not read(trace).prompt_tokens.any()


def test_counts_at_random_stay_in_their_bins(tmp_path: Path) -> None:
    path = write(tmp_path, "start_utc,requests\n2026-01-01T00:00:00,300\n2026-01-01T01:00:00,0\n2026-01-01T03:00,7\n")
    times = read(read_trace(path)).arrival_s
    assert np.histogram(times, bins=[0, 3600, 3 * 3600, 5 * 3600])[0].tolist() == [300, 0, 7]
    assert not np.array_equal(times, read(read_trace(path, seed=1)).arrival_s)
    assert np.array_equal(times, read(read_trace(path)).arrival_s)


def test_rates_have_units(tmp_path: Path) -> None:
    """A rate of 2 per s, 120 per min and 7200 per h is the same; evenly the counts are those of the rate."""
    found = []
    for name, value in (("requests_per_s", 2), ("requests_per_min", 120), ("requests_per_h", 7200)):
        path = write(tmp_path, f"start_s,other,{name}\n0,x,{value}\n60,y,{value / 2}\n")
        found.append(read(read_trace(path, spread=True)).arrival_s.tolist())
        assert len(found[-1]) == 120 + 60
    assert found[0] == found[1] == found[2]


def test_rates_that_are_no_whole_number_add_up(tmp_path: Path) -> None:
    """100 bins of 0.3 requests have 30, of which none has two."""
    path = write(tmp_path, "start_s,requests_per_s\n" + "".join(f"{number},0.3\n" for number in range(100)))
    times = read(read_trace(path, spread=True)).arrival_s
    assert len(times) == 30
    assert np.diff(times).min() >= 3


def test_quiet_bins_are_no_holes(tmp_path: Path) -> None:
    path = write(tmp_path, "start_s,requests\n0,0\n10000,1\n20000,0\n30000,1\n")
    times = read(read_trace(path)).arrival_s
    assert 10_000 <= times[0] < 20_000  # time 0 is the start of the first bin
    with pytest.raises(TraceError, match="no request came in the"):
        read(read_trace(path, holes="error"))


@settings(max_examples=examples(60), deadline=None)
@given(
    counts=st.lists(st.one_of(st.integers(0, 5), st.just(0), st.integers(0, 3 * CHUNK)), min_size=1, max_size=12),
    widths=st.lists(st.floats(1e-3, 1e5), min_size=12, max_size=12),
    evenly=st.booleans(),
)
def test_counts_match_and_times_ascend(counts: list[int], widths: list[float], evenly: bool) -> None:
    """Also bins with more requests than a chunk, which are divided."""
    edges = np.concatenate([[0.0], np.cumsum(widths[: len(counts)])])
    lines = np.arange(len(counts)) + 2
    bins = Bins(edges[:-1], np.diff(edges), np.asarray(counts), lines)
    rows = list(expanded(bins, np.random.default_rng(0), evenly=evenly))
    assert max([each.lines.size for each in rows], default=0) <= CHUNK
    times = np.concatenate([np.zeros(0), *(each.times_s for each in rows)])
    assert (np.diff(times) >= 0).all()
    found = np.bincount(
        np.concatenate([np.zeros(0, dtype=int), *(each.lines for each in rows)]), minlength=lines[-1] + 1
    )
    assert found[2:].tolist() == counts
    place = np.repeat(np.arange(len(counts)), counts)
    assert (times >= edges[place]).all()
    assert (times <= edges[place + 1] * (1 + 1e-12)).all()


@pytest.mark.parametrize("count", [40_000, 200_000])
@pytest.mark.sample(1)
def test_times_in_a_bin_are_uniform(count: int) -> None:
    """Kolmogorov's test of the times, and of their distances, which are exponential; 200,000 are a divided bin."""
    from scipy import stats

    times = drawn(Bins(np.zeros(1), np.full(1, 50.0), np.full(1, count), np.full(1, 2)))
    assert stats.kstest(times / 50, "uniform").pvalue > 1e-3
    assert stats.kstest(np.diff(times) * count / 50, "expon").pvalue > 1e-3
    even = drawn(Bins(np.zeros(1), np.full(1, 50.0), np.full(1, count), np.full(1, 2)), evenly=True)
    assert even == pytest.approx((np.arange(count) + 0.5) / count * 50)


def test_rounding_does_not_leave_a_bin() -> None:
    """The last request of each bin is at its end, up to rounding: the exponential number after it is 0."""

    class LastAtTheEnd:
        def standard_exponential(self, count: int) -> np.ndarray:
            found = np.random.default_rng(5).standard_exponential(count)
            found[3::4] = 0
            return found

    edges = np.cumsum(np.random.default_rng(6).random(901) * 2.0 ** np.arange(901))
    counts = np.full(900, 3)
    rows = expanded(Bins(edges[:-1], np.diff(edges), counts, counts), LastAtTheEnd(), evenly=False)  # type: ignore[arg-type]
    times = np.concatenate([each.times_s for each in rows])
    assert (times <= np.repeat(edges[:-1] + np.diff(edges), 3)).all()
    assert times[2::3] == pytest.approx(edges[1:])


def test_small_bins_are_uniform() -> None:
    """Many bins of 1 to 3 requests: places within the bin are uniform, and independent of each other."""
    from scipy import stats

    counts = np.tile([1, 2, 3, 0], 20_000)
    starts = np.arange(counts.size) * 7.0
    times = drawn(Bins(starts, np.full(counts.size, 7.0), counts, np.arange(counts.size)))
    share = (times - np.repeat(starts, counts)) / 7.0
    assert stats.kstest(share, "uniform").pvalue > 1e-3
    # The least of three uniform numbers has the distribution 1 - (1 - x)^3.
    first = share[np.concatenate([[0], np.cumsum(counts)[:-1]])[2::4]]
    assert stats.kstest(first, lambda x: 1 - (1 - x) ** 3).pvalue > 1e-3


@needs_traces
@pytest.mark.slow
def test_a_week_has_the_requests_of_its_bins() -> None:
    """27.3 million requests; those of each bin have the deviation of a Poisson number."""
    table = np.loadtxt(WEEK, delimiter=",", skiprows=1, usecols=1)
    counts, total, last = np.zeros(table.size + 2), 0, 0.0
    for chunk in read_trace(WEEK).chunks():
        assert chunk.arrival_s[0] >= last
        last = float(chunk.arrival_s[-1])
        total += len(chunk)
        counts += np.bincount((chunk.arrival_s / (7 * 86_400 / 1396)).astype(int), minlength=counts.size)
    assert last == pytest.approx(7 * 86_400, rel=1e-3)
    assert total == pytest.approx(table.sum() * 433.2 / 60, rel=1e-3)
    expected = table * total / table.sum()
    assert np.abs(counts[:1396] / expected - 1).max() < 0.1


# ---- Azure Functions -------------------------------------------------------------------------------------------------

HEAD = "HashFunction,HashOwner,HashApp,1_minute,2_minute,3_minute\n"
RUN = "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum," + ",".join(
    f"percentile_Average_{share}" for share in (0, 1, 25, 50, 75, 99, 100)
)
MEMORY = "HashOwner,HashApp,SampleCount,AverageAllocatedMb," + ",".join(
    f"AverageAllocatedMb_pct{share}" for share in (1, 5, 25, 50, 75, 95, 99, 100)
)


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three functions, of which the first two belong to one application."""
    path = write(
        tmp_path, HEAD + "aaaaaaaa11,o,p,1,0,2\nbbbbbbbb22,o,p,0,0,0\naaaaaaaa33,o,q,40000,0,30000\n", "x_inv.csv"
    )
    rows = (f"o,p,{name},1,1,1,1,{low},100,200,300,400,500,{high}" for name, low, high in (("aaaaaaaa11", 50, 600),))
    last = "o,q,aaaaaaaa33,1,1,1,1,0,0,0,1000,2000,2000,9000"
    write(tmp_path, "\n".join([RUN, last, *rows, "o,p,bbbbbbbb22,1,1,1,1,1,2,3,4,5,6,7"]) + "\n", "x_run.csv")
    write(tmp_path, MEMORY + "\no,p,9,100,10,20,30,40,50,60,70,80\n", "x_mem.csv")
    return path


def test_functions_by_hand(three: Path) -> None:
    table = ic.read_functions(three)
    assert table.names == ("aaaaaaaa11", "bbbbbbbb22", "aaaaaaaa33")
    assert table.counts.tolist() == [[1, 0, 2], [0, 0, 0], [40_000, 0, 30_000]]
    assert table.lines.tolist() == [2, 3, 4]
    assert table.durations_s is not None
    assert table.durations_s[0] == pytest.approx([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert table.memory_mb is not None
    assert table.memory_mb[:2].tolist() == [[10, 20, 30, 40, 50, 60, 70, 80]] * 2
    assert np.isnan(table.memory_mb[2]).all()  # q has no row


@pytest.mark.parametrize("function", [1, "1", "aaaaaaaa1", "aaaaaaaa11"])
def test_one_function(three: Path, function: str | int) -> None:
    trace = read_trace(three, function=function, spread=True)
    assert (trace.format, trace.has_service) == ("azure-functions", True)
    found = read(trace)
    assert found.arrival_s == pytest.approx([30.0, 135.0, 165.0])
    assert found.function is None
    assert found.service_s is not None
    assert ((found.service_s >= 0.05) & (found.service_s <= 0.6)).all()


def test_all_functions_are_mixed_in_time(three: Path) -> None:
    found = read(read_trace(three))
    assert len(found) == 70_003
    assert np.diff(found.arrival_s).min() >= 0
    assert found.function is not None
    assert np.bincount(found.function).tolist() == [3, 0, 70_000]
    assert np.histogram(found.arrival_s, bins=[0, 60, 120, 180])[0].tolist() == [40_001, 0, 30_002]
    # Piecewise linear: 0 below 0.25, to 1 s at 0.5, to 2 s at 0.75 and 0.99, to 9 s at 1.
    assert found.service_s is not None
    service = found.service_s[found.function == 2]
    shares = [(service <= at).mean() for at in (1e-9, 0.5, 1.0, 1.5, 2.0, 5.5)]
    assert shares == pytest.approx([0.25, 0.375, 0.5, 0.625, 0.99, 0.995], abs=0.01)
    mean = 0.25 * 0.5 + 0.25 * 1.5 + 0.24 * 2 + 0.01 * 5.5
    assert service.mean() == pytest.approx(mean, rel=0.02)


def test_functions_without_durations(three: Path) -> None:
    three.with_name("x_run.csv").unlink()
    trace = read_trace(three)
    assert not trace.has_service
    assert read(trace).service_s is None


def test_a_function_without_its_durations_is_named_or_left_out(three: Path) -> None:
    run = three.with_name("x_run.csv")
    run.write_text(run.read_text().replace("aaaaaaaa11", "cccccccc"))
    with pytest.raises(TraceError, match=r"line 2 of x_inv.csv: function aaaaaaaa11 has no row in the table of"):
        read(read_trace(three))
    trace = read_trace(three, bad_rows="drop")
    assert len(read(trace)) == 70_000
    assert trace.summary().dropped == 3


def test_published_names_of_files(three: Path) -> None:
    folder = three.parent
    for own, other in (("inv", "invocations_per_function_md"), ("run", "function_durations_percentiles")):
        (folder / f"x_{own}.csv").rename(folder / f"{other}.anon.d01.csv")
    (folder / "x_mem.csv").rename(folder / "app_memory_percentiles.anon.d01.csv")
    table = ic.read_functions(folder / "invocations_per_function_md.anon.d01.csv", 3)
    assert table.durations_s is not None
    assert table.memory_mb is not None
    assert table.durations_s[0, -1] == 9


@needs_traces
def test_azure_functions_have_their_rows() -> None:
    """1,350 functions with 996,503 invocations, as many in each minute as the table says."""
    with FUNCTIONS.open(encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    counts = np.asarray([row[3:] for row in rows], dtype=np.int64)
    found = read(read_trace(FUNCTIONS))
    assert len(found) == counts.sum() == 996_503
    assert found.function is not None
    assert np.bincount(found.function, minlength=1350).tolist() == counts.sum(1).tolist()
    assert np.bincount((found.arrival_s / 60).astype(int), minlength=1440).tolist() == counts.sum(0).tolist()
    busiest = int(counts.sum(1).argmax())
    own = found.service_s[found.function == busiest]  # type: ignore[index]
    table = ic.read_functions(FUNCTIONS, rows[busiest][0][:12])
    assert table.durations_s is not None
    quantiles = np.quantile(own, DURATION_SHARES[1:-1])
    scale = table.durations_s[0, -2] - table.durations_s[0, 1]
    assert quantiles == pytest.approx(table.durations_s[0, 1:-1], abs=0.03 * scale)
    alone = read(read_trace(FUNCTIONS, function=busiest + 1))
    assert len(alone) == counts[busiest].sum()


# ---- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start_s,requests\n0,1\n", "bins.csv has 1 bins; expected at least 2"),
        ("start_s,requests\n0,1\n5,2\n5,3\n", "line 4 of bins.csv is not after the line before it; sort the bins"),
        ("start_s,requests\n0,1\n5,2.5\n", "line 3 of bins.csv: requests is 2.5; expected a whole number"),
        ("start_s,requests\n0,1\n5,-2\n", "line 3 of bins.csv: requests is -2; expected a whole number"),
        ("start_s,requests_per_s\n0,1\n5,inf\n", "line 3 of bins.csv: requests_per_s is inf; expected a number from 0"),
        ("start_s,requests\n0,1\nfive,2\n", "line 3 of bins.csv: start_s is 'five'; expected a number"),
        ("start_s,requests\n0,1\nnan,2\n", "line 3 of bins.csv: start_s is nan; expected a time"),
        ("start_utc,requests\n2026-01-01,1\nmonday,2\n", "line 3 of bins.csv: start_utc is 'monday'; expected a date"),
        (
            "start_s,requests,requests_per_s\n0,1,1\n",
            "expected one of start_s, start_utc, and one of requests, ",
        ),
        ("start_s,requests_per_s\n0,0\n1e9,1e6\n", "line 3 has a bin of 1e.15 requests; expected at most 1e.10"),
        ("start_s,count\n0,1\n", "has the columns start_s, count; expected one of start_s"),
    ],
)
def test_bad_bins_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        read(read_trace(write(tmp_path, text)))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (0, "function is 0; expected a hash"),
        (4, "x_inv.csv has 3 functions, and none is 4"),
        ("dddddddd", "none is 'dddddddd'"),
        ("aaa", "function is 'aaa'; expected a hash, at least 8"),
        ("aaaaaaaa", "has 2 functions that begin with 'aaaaaaaa'; pass more of it"),
        (2.5, "function is 2.5; expected a hash"),
    ],
)
def test_unknown_functions_are_refused(three: Path, function: object, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        read(read_trace(three, function=function))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("inv", ",1,0,2", ",1,x,2", "line 2 of x_inv.csv: 2_minute is 'x'; expected a whole number of invocations"),
        ("inv", ",1,0,2", ",1,-1,2", "line 2 of x_inv.csv: 2_minute is '-1'"),
        ("inv", ",1,0,2", ",1,99999999999999999999,2", "line 2 of x_inv.csv: 2_minute is '9999"),
        ("inv", ",1,0,2", ",1,2", "line 2 of x_inv.csv has 5 values; expected 6"),
        ("inv", "2_minute", "two", "has 2 columns of minutes; expected 1, 2"),
        ("inv", "HashApp", "App", "without HashApp"),
        ("run", "100,200", "300,200", "line 3 of x_run.csv has the percentiles 50, 300, 200, .* expected ascending"),
        ("run", "100,200", "fast,200", "line 3 of x_run.csv has the percentiles 50, fast"),
        ("run", "percentile_Average_99", "p99", "without percentile_Average_99"),
    ],
)
def test_bad_tables_are_named(three: Path, name: str, old: str, new: str, message: str) -> None:
    path = three.with_name(f"x_{name}.csv")
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(TraceError, match=message):
        read(read_trace(three))


def test_functions_are_of_one_format(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="function is 3 and the format is bins; leave it out"):
        read_trace(write(tmp_path, "start_s,requests\n0,1\n1,1\n"), function=3)

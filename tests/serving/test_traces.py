"""Request traces: the published formats, rules of scaling and thinning, and errors that name line and value."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.paths import SHARED

from pyinfercost.errors import MissingFileError
from pyinfercost.serving.requests import Requests, WorkloadError, joined
from pyinfercost.serving.trace_formats import FORMATS, TraceError
from pyinfercost.serving.traces import Trace, read_trace
from pyinfercost.serving.workload import Workload

TRACES = SHARED / "traces"
CONVERSATION = TRACES / "azure_llm_2023" / "AzureLLMInferenceTrace_conv.csv"
CODE = TRACES / "azure_llm_2023" / "AzureLLMInferenceTrace_code.csv"
MOONCAKE = TRACES / "mooncake" / "conversation_trace.jsonl"
WEEK = TRACES / "azure_llm_2024_weekly" / "coding_week_7min.csv"
needs_traces = pytest.mark.skipif(not TRACES.is_dir(), reason=f"needs the request traces in {TRACES}")

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:04.0781490,110,27
2023-11-16 18:17:06.9799600,7433,14
"""


def write(folder: Path, text: str, name: str = "trace.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(trace: Trace) -> Requests:
    return joined(list(trace.chunks()))


# ---- formats ---------------------------------------------------------------------------------------------------------


def test_azure_rows_by_hand(tmp_path: Path) -> None:
    trace = read_trace(write(tmp_path, AZURE))
    assert trace.format == "azure"
    found = read(trace)
    assert found.arrival_s == pytest.approx([0.0, 0.052, 0.098189, 3.0], abs=1e-6)
    assert found.prompt_tokens.tolist() == [4808, 3180, 110, 7433]
    assert found.output_tokens.tolist() == [10, 8, 27, 14]


def test_azure_of_2024_has_a_zone(tmp_path: Path) -> None:
    text = (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.5+00:00,5,6\n2024-05-10 00:00:02.25+00:00,7,8\n"
    )
    assert read(read_trace(write(tmp_path, text))).arrival_s == pytest.approx([0.0, 1.75])
    mixed = text.replace("02.25+00:00", "02.25Z")
    assert read(read_trace(write(tmp_path, mixed))).arrival_s == pytest.approx([0.0, 1.75])


def test_burstgpt_leaves_failures_out(tmp_path: Path) -> None:
    text = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,0,1087,Conversation log
118,GPT-4,417,276,693,API log
"""
    trace = read_trace(write(tmp_path, text))
    assert trace.format == "burstgpt"
    found = read(trace)
    assert found.arrival_s.tolist() == [0.0, 113.0]
    assert found.output_tokens.tolist() == [18, 276]
    assert trace.summary().dropped == 1


def test_mooncake_times_are_spread_and_hashes_kept(tmp_path: Path) -> None:
    rows = [(0, [0, 1]), (0, [0, 2]), (0, [0]), (3000, [0, 1]), (3000, [0, 2])]
    text = "".join(
        json.dumps({"timestamp": at, "input_length": 512 * len(ids), "output_length": 7, "hash_ids": ids}) + "\n"
        for at, ids in rows
    )
    trace = read_trace(write(tmp_path, text, "trace.jsonl"))
    assert trace.format == "mooncake"
    found = read(trace)
    assert found.arrival_s.tolist() == [0.0, 1.0, 2.0, 3.0, 3.0]
    offsets, hashes = found.block_hashes(512)
    assert offsets.tolist() == [0, 2, 4, 5, 7, 9]
    assert hashes.tolist() == [0, 1, 0, 2, 0, 0, 1, 0, 2]
    assert read(read_trace(trace.path, spread=False)).arrival_s.tolist() == [0.0, 0.0, 0.0, 3.0, 3.0]


def test_sharegpt_is_read_item_by_item(tmp_path: Path) -> None:
    talk = [
        {"from": "human", "value": "a" * 40},
        {"from": "gpt", "value": "b" * 80},
        {"from": "human", "value": "c" * 20},
        {"from": "gpt", "value": "d" * 12},
    ]
    items = [{"id": "1", "conversations": talk}, {"id": "2", "conversations": talk[:1]}]
    path = write(tmp_path, json.dumps(items * 3, indent=1), "sharegpt.json")
    trace = read_trace(path)
    assert (trace.format, trace.timed) == ("sharegpt", False)
    found = read(trace)
    assert found.prompt_tokens.tolist() == [10, 10, 10]
    assert found.output_tokens.tolist() == [20, 20, 20]
    turns = read(read_trace(path, turns="all"))
    # The second turn has the first one, 10 + 20 tokens, and 5 of its own.
    assert turns.prompt_tokens.tolist() == [10, 35] * 3
    assert turns.output_tokens.tolist() == [20, 3] * 3
    assert read(read_trace(path, tokens=len)).prompt_tokens.tolist() == [40, 40, 40]


def test_sharegpt_with_items_longer_than_a_piece(tmp_path: Path) -> None:
    talk = [{"from": "human", "value": "x" * 3_000_000}, {"from": "gpt", "value": "y" * 400}]
    path = write(tmp_path, json.dumps([{"conversations": talk}] * 3), "long.json")
    assert read(read_trace(path)).prompt_tokens.tolist() == [750_000] * 3


def test_vllm_results_and_prompts(tmp_path: Path) -> None:
    result = {"input_lens": [5, 6, 7], "output_lens": [1, 2, 3], "request_throughput": 1.0}
    trace = read_trace(write(tmp_path, json.dumps(result), "bench.json"))
    assert (trace.format, trace.timed) == ("vllm-bench", False)
    assert read(trace).prompt_tokens.tolist() == [5, 6, 7]
    timed = result | {"start_times": [10.0, 12.0, 11.0]}
    found = read(read_trace(write(tmp_path, json.dumps(timed), "bench.json")))
    assert found.arrival_s.tolist() == [0.0, 1.0, 2.0]
    assert found.output_tokens.tolist() == [1, 3, 2]
    lines = '{"prompt": "abcdefgh", "output_tokens": 9}\n\n{"prompt": "abcd", "output_tokens": 8}\n'
    prompts = read_trace(write(tmp_path, lines, "prompts.jsonl"))
    assert prompts.format == "vllm-prompts"
    assert read(prompts).prompt_tokens.tolist() == [2, 1]


def test_untimed_traces_take_the_arrivals_of_the_workload(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({"input_lens": [5] * 5000, "output_lens": [1] * 5000}), "bench.json")
    found = Workload.read(path, rate_per_s=4).all()
    assert len(found) == 5000
    assert 5000 / found.arrival_s[-1] == pytest.approx(4, rel=0.08)
    with pytest.raises(TraceError, match="has no times, and faster changes them"):
        read_trace(path).faster(2)


@needs_traces
def test_azure_traces_of_2023_have_their_published_rows() -> None:
    """8,819 and 19,366 rows; arrivals of code have a variation of 13, those of conversation of 1.1."""
    code, conversation = (read_trace(path).summary() for path in (CODE, CONVERSATION))
    assert (code.requests, conversation.requests) == (8_819, 19_366)
    assert code.variation == pytest.approx(13, rel=0.03)
    assert conversation.variation == pytest.approx(1.1, rel=0.02)
    assert code.span_s == pytest.approx(58 * 60, rel=0.02)
    assert (code.dropped, conversation.dropped) == (0, 0)


@needs_traces
def test_mooncake_trace_has_its_published_rows() -> None:
    summary = read_trace(MOONCAKE).summary()
    assert summary.requests == 12_031
    assert summary.span_s == pytest.approx(59 * 60, rel=0.02)
    found = read(read_trace(MOONCAKE))
    assert found.hashes is not None
    assert np.diff(found.arrival_s).min() > 0 or (np.diff(found.arrival_s) >= 0).all()
    offsets, hashes = found.block_hashes(512)
    assert len(np.unique(hashes)) < len(hashes)
    assert (np.diff(offsets) <= found.prompt_tokens // 512).all()


@needs_traces
def test_weekly_trace_follows_its_bins() -> None:
    """Requests of a Friday's bins are as many as rate x 433 s, with the deviation of a Poisson number."""
    trace = read_trace(WEEK).between(0, 86_400)
    times = np.concatenate([chunk.arrival_s for chunk in trace.chunks()])
    table = np.loadtxt(WEEK, delimiter=",", skiprows=1, usecols=1)
    counts = np.histogram(times, bins=np.arange(201) * 433.2)[0][5:190]
    expected = table[5:190] * 433.2 / 60
    assert np.abs(counts / expected - 1).max() < 0.1
    assert counts.sum() == pytest.approx(expected.sum(), rel=0.01)
    workload = Workload(trace=read_trace(WEEK), prompt="lognormal:mean=2000,cv=1", output=30, requests=1000).all()
    assert int(workload.prompt_tokens.min()) >= 1


# ---- rules -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path: Path) -> Trace:
    """20,000 requests with exponential intervals of 0.5 s; the prompt is the number of the request + 1."""
    times = np.cumsum(np.random.default_rng(0).exponential(0.5, 20_000))
    rows = "".join(f"{at:.6f},a,{number + 1},5,6,b\n" for number, at in enumerate(times))
    return read_trace(write(tmp_path, "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n" + rows))


def test_rates_are_scaled(many: Trace) -> None:
    known = many.summary()
    assert many.faster(4).summary().rate_per_s == pytest.approx(4 * known.rate_per_s)
    scaled = many.at_rate(50)
    assert scaled.summary().rate_per_s == pytest.approx(50)
    assert scaled.summary().variation == pytest.approx(known.variation)


def test_thinning_keeps_a_share_of_single_requests(many: Trace) -> None:
    found = read(many.thinned(0.25, seed=5))
    assert len(found) == pytest.approx(5000, abs=5 * (20_000 * 0.25 * 0.75) ** 0.5)
    assert np.array_equal(found.prompt_tokens, read(many.thinned(0.25, seed=5)).prompt_tokens)
    assert many.thinned(0.25).summary().rate_per_s == pytest.approx(0.5, rel=0.08)


def test_parts_in_time(many: Trace) -> None:
    whole, part = read(many), read(many.between(1000, 3000))
    inside = (whole.arrival_s >= 1000) & (whole.arrival_s < 3000)
    assert part.arrival_s == pytest.approx(whole.arrival_s[inside] - 1000)
    assert np.array_equal(part.prompt_tokens, whole.prompt_tokens[inside])


def test_copies(many: Trace) -> None:
    whole, copies = read(many), read(many.repeated(3))
    assert np.array_equal(copies.arrival_s, np.repeat(whole.arrival_s, 3))
    apart = read(many.repeated(3, jitter_s=20, seed=2))
    assert len(apart) == 60_000
    assert np.diff(apart.arrival_s).min() >= 0
    order = np.argsort(apart.prompt_tokens, kind="stable")
    later = apart.arrival_s[order].reshape(-1, 3) - whole.arrival_s[:, None]
    assert later[:, 0] == pytest.approx(0, abs=1e-6)
    assert later.max() <= 20
    assert later[:, 1:].mean() == pytest.approx(10, rel=0.02)


def test_resampling_keeps_the_rate_and_what_is_in_a_block(many: Trace) -> None:
    found = read(many.resampled(50_000, block_s=30, seed=1))
    assert len(found) == 50_000
    assert np.diff(found.arrival_s).min() >= 0
    assert 50_000 / found.arrival_s[-1] == pytest.approx(many.summary().rate_per_s, rel=0.03)
    follows = np.diff(found.prompt_tokens) == 1
    assert follows.mean() > 0.97  # 60 requests a block: one of 60 begins another block
    gaps, known = np.diff(found.arrival_s)[follows], np.diff(read(many).arrival_s)
    assert gaps[:50] == pytest.approx(known[found.prompt_tokens[:-1][follows][:50] - 1], abs=1e-6)


# ---- what is wrong ---------------------------------------------------------------------------------------------------


def test_missing_columns_are_named(tmp_path: Path) -> None:
    text = AZURE.replace("ContextTokens", "Context")
    with pytest.raises(
        TraceError, match=r"line 1 of trace.csv has the columns TIMESTAMP, Context, .* without ContextT"
    ):
        read(read_trace(write(tmp_path, text)))


@pytest.mark.parametrize("time", ["nan", "inf", "-inf", "1e999"])
def test_times_are_finite(tmp_path: Path, time: str) -> None:
    text = f"Timestamp,Model,Request tokens,Response tokens\n5,a,4,8\n{time},a,4,8\n7,a,4,8\n"
    path = write(tmp_path, text)
    with pytest.raises(TraceError, match=r"line 3 of trace.csv: its time is -?(nan|inf); expected a finite number"):
        read(read_trace(path))
    assert read(read_trace(path, bad_rows="drop")).arrival_s.tolist() == [0.0, 2.0]


def test_short_lines_are_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"line 3 of trace.csv has 2 values; expected 3"):
        read(read_trace(write(tmp_path, AZURE.replace(",3180,8", ",3180"))))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",3180,8", ",many,8", "line 3 of trace.csv: ContextTokens is 'many'; expected a number"),
        (",3180,8", ",-5,8", "line 3 of trace.csv: ContextTokens is -5; expected a whole number of tokens"),
        (",3180,8", ",,8", "line 3 of trace.csv: ContextTokens is ''; expected a number"),
        (",3180,8", ",3180,0", "line 3 of trace.csv: the answer has 0 tokens; expected at least 1"),
        ("2023-11-16 18:17:04.0319600", "yesterday", "line 3 of trace.csv: TIMESTAMP is 'yesterday'; expected a date"),
    ],
)
def test_bad_values_are_named_or_dropped(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write(tmp_path, AZURE.replace(old, new))
    with pytest.raises(TraceError, match=message):
        read(read_trace(path))
    trace = read_trace(path, bad_rows="drop")
    assert read(trace).prompt_tokens.tolist() == [4808, 110, 7433]
    assert trace.summary().dropped == 1


def test_reversed_time_is_named_or_sorted(tmp_path: Path) -> None:
    path = write(tmp_path, AZURE.replace("18:17:04.0781490", "18:17:03.9999600"))
    with pytest.raises(
        TraceError, match=r"line 4 of trace.csv: its time is 0.032[0-9]* s before that of the row before"
    ):
        read(read_trace(path))
    found = read(read_trace(path, disorder="sort"))
    assert found.prompt_tokens.tolist() == [4808, 110, 3180, 7433]
    assert found.arrival_s == pytest.approx([0.0, 0.02, 0.052, 3.0], abs=1e-6)


def test_holes_are_named_kept_or_closed(tmp_path: Path) -> None:
    path = write(tmp_path, AZURE.replace("18:17:06", "20:17:06") + "2023-11-16 20:17:07.9799600,1,1\n")
    message = r"line 5 of trace.csv: no request came in the 7202.9 s before it, and 3600 s are a hole"
    with pytest.raises(TraceError, match=message):
        read(read_trace(path))
    assert read(read_trace(path, holes="keep")).arrival_s[-2:] == pytest.approx([7203.0, 7204.0])
    closed = read(read_trace(path, holes="close", hole_s=60))
    assert closed.arrival_s[-2:] == pytest.approx([60.098189, 61.098189], abs=1e-6)


def test_files_of_no_format(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="of no known format; pass format="):
        read_trace(write(tmp_path, "a,b\n1,2\n"))
    with pytest.raises(TraceError, match="format is 'azur'"):
        read_trace(write(tmp_path, AZURE), "azur")
    with pytest.raises(MissingFileError, match="there is no such file"):
        read_trace(tmp_path / "nothing.csv")
    with pytest.raises(TraceError, match=r"line 2 of t\.jsonl is no JSON"):
        read(
            read_trace(
                write(
                    tmp_path,
                    '{"hash_ids": [], "timestamp": 1, "input_length": 1, "output_length": 2}\n{"has',
                    "t.jsonl",
                )
            )
        )
    with pytest.raises(TraceError, match="without output_length"):
        read(read_trace(write(tmp_path, '{"hash_ids": [], "timestamp": 1, "input_length": 1}\n', "t.jsonl")))
    with pytest.raises(TraceError, match=r"item 2 of s\.json is no JSON"):
        read(read_trace(write(tmp_path, '[{"conversations": []}, {"conv', "s.json")))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", f"{AZURE.splitlines()[0]}\n{'1,' * 600_000}\n", "line 2 of t.csv has more than 1,048,576 characters"),
        ("t.csv", f"{AZURE.splitlines()[0]}{',' * 2**20}\n", "line 1 of t.csv has more than 1,048,576 characters"),
        ("t.jsonl", '{"hash_ids": [' + "1," * 2**23 + "1]}\n", "line 1 of t.jsonl has more than 16,777,216 characters"),
        ("t.jsonl", '{"hash_ids": ' + "[" * 100_000, "line 1 of t.jsonl is not valid: its JSON is nested too deeply"),
        ("t.json", "[" * 100_000, "item 1 of t.json is nested too deeply"),
        ("t.json", '["' + "a" * (2**24 + 2**23), "item 1 of t.json is no JSON, or has more than 16,777,216 characters"),
    ],
    ids=["row", "header", "object", "nested", "nested item", "item"],
)
def test_long_and_nested_lines_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        read(read_trace(write(tmp_path, text, name)))


def test_chunks_end_early_if_their_lines_are_long(tmp_path: Path) -> None:
    line = json.dumps({"output_tokens": 1, "prompt": "a" * 6_000_000})
    trace = read_trace(write(tmp_path, f"{line}\n" * 4, "t.jsonl"))
    assert [len(chunk) for chunk in trace.chunks()] == [3, 1]


def test_reasons_of_many_bad_rows_have_no_values(tmp_path: Path) -> None:
    lines = [*range(1, 1100)]
    rows = [{"prompt": "a", "output_tokens": line if line > 1098 else [line]} for line in lines]
    path = write(tmp_path, "\n".join(map(json.dumps, rows)), "t.jsonl")
    (found,) = FORMATS["vllm-prompts"].read(path, read_trace(path)._settings)
    assert found.bad[0] == "output_tokens is [1]; expected a number"
    assert (len(found.bad), found.bad[1097]) == (1098, "output_tokens is no number")


def test_hashes_beyond_64_bits_are_bad_rows(tmp_path: Path) -> None:
    row = {"timestamp": 1, "input_length": 9, "output_length": 2, "hash_ids": [-(2**63)]}
    path = write(tmp_path, "\n".join(map(json.dumps, (row, {**row, "hash_ids": [2**63]}))), "t.jsonl")
    with pytest.raises(TraceError, match=r"line 2 of t\.jsonl: hash_ids is .* whole numbers of 64 bits"):
        read(read_trace(path))
    assert read_trace(path, bad_rows="drop").summary().requests == 1


def test_blocks_that_no_memory_holds_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "arrival_s\n0\n1000000000000\n")
    with pytest.raises(WorkloadError, match="has 16,666,666,667 such blocks; expected at most 10,000,000"):
        list(read_trace(path).resampled(5).chunks())


def test_times_beyond_precision_are_bad_rows(tmp_path: Path) -> None:
    # Of holes that are closed there, no other time would be left.
    document = {"input_lens": [4, 5, 6], "output_lens": [1, 2, 3], "start_times": [1e100, 0.25, 9.0]}
    path = write(tmp_path, json.dumps(document), "t.json")
    with pytest.raises(TraceError, match=r"item 1 of t.json: its time is 1e\+100; expected .* at most 1e\+12 s"):
        read(read_trace(path, holes="close"))
    assert read(read_trace(path, holes="close", bad_rows="drop")).arrival_s.tolist() == [0, 8.75]


def test_a_trace_whose_rows_are_all_dropped_has_none(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({"input_lens": [-1, -2], "output_lens": [1, 2]}), "t.json")
    found = read_trace(path, bad_rows="drop").summary()
    assert (found.requests, found.dropped) == (0, 2)


def test_whole_numbers_beyond_a_float_are_bad_rows(tmp_path: Path) -> None:
    lines = [json.dumps({"prompt": "a", "output_tokens": tokens}) for tokens in (3, 10**400)]
    path = write(tmp_path, "\n".join(lines), "t.jsonl")
    assert read_trace(path, bad_rows="drop").summary().dropped == 1
    with pytest.raises(TraceError, match="output_tokens is a whole number of 401 digits"):
        read(read_trace(path))


def test_line_numbers_count_texts_with_line_breaks(tmp_path: Path) -> None:
    rows = ['5,"a\nb",4,8,9,b', "6,a,4,8,9,b", "7,a,-4,8,9,b"]
    head = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"
    with pytest.raises(TraceError, match="line 5 of"):
        read(read_trace(write(tmp_path, "\n".join([head, *rows]))))


@pytest.mark.parametrize("argument", ["holes", "disorder", "bad_rows", "turns"])
def test_unknown_treatments_are_refused(tmp_path: Path, argument: str) -> None:
    with pytest.raises(TraceError, match=f"{argument} is 'maybe'; expected one of"):
        read_trace(write(tmp_path, AZURE), **{argument: "maybe"})  # type: ignore[arg-type]


def test_beside_a_trace_other_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rate_per_s or arrivals is given beside a trace with times"):
        Workload.read(write(tmp_path, AZURE), rate_per_s=3)
    assert len(Workload.read(tmp_path / "trace.csv", rate_per_s=3, times=False).all()) == 4


@pytest.mark.parametrize(
    "content",
    [
        b'{"timestamp": 0, "input_length": 7, "output_length": 9, "hash_ids": [1]}\n' * 200 + b'{"\xbb": 1}\n',
        b'[{"conversations": []},' + b" " * 9000 + b"\xf3]",
        b"arrival_s,prompt_tokens,output_tokens\n" + b"1,7,9\n" * 3000 + b"\xff,7,9\n",
    ],
    ids=["mooncake", "sharegpt", "csv"],
)
def test_bytes_that_are_no_utf_8_are_refused_wherever_they_are(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trace.txt"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=r"trace.txt is no text in UTF-8 \(byte 0x(bb|f3|ff)\)"):
        list(read_trace(path).chunks())


def test_blocks_are_drawn_from_years_without_requests(tmp_path: Path) -> None:
    day = 86_400
    path = write(tmp_path, f"arrival_s,prompt_tokens,output_tokens\n0,7,9\n{1000 * day},8,9\n{1000 * day + 30},9,9\n")
    found = read(read_trace(path).resampled(20_000, seed=1))
    assert len(found) == 20_000
    # Two of 1,440,001 blocks have requests: one, and two.
    counts = {tokens: int((found.prompt_tokens == tokens).sum()) for tokens in (7, 8, 9)}
    assert abs(counts[8] - counts[9]) <= 1
    assert counts[7] == pytest.approx(counts[8], rel=0.05)
    assert found.arrival_s[-1] == pytest.approx(13_333 * 1_440_001 / 2 * 60, rel=0.05)

"""Formats of request traces: a reader of the rows of a file for each, a chunk at a time, and its row in `FORMATS`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._checks import excerpt, is_number, parse_json, read_json, shown
from .binned_traces import BIN_STARTS, WEEKLY, read_bins, read_weekly
from .function_traces import MINUTES, durations_file, read_function_rows
from .recorded_traces import ARRIVAL, has_lengths, has_service, is_parquet, read_recorded
from .requests import CHUNK
from .trace_rows import (
    Format,
    Rows,
    Settings,
    TraceError,
    checked_lengths,
    csv_chunks,
    lengths_of,
    numbers_of,
    opened,
    short_lines,
    stamps_of,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _azure(path: Path, settings: Settings) -> Iterator[Rows]:
    """Azure's traces of language models, of 2023 and of 2024."""
    names = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
    for lines, (stamps, prompts, outputs) in csv_chunks(path, names):
        bad: dict[int, str] = {}
        times = stamps_of(stamps, names[0], bad)
        yield Rows(lines, times, lengths_of(prompts, names[1], bad), lengths_of(outputs, names[2], bad), bad=bad)


def _burstgpt(path: Path, settings: Settings) -> Iterator[Rows]:
    """BurstGPT: seconds since the start, and a row without response tokens for each failure."""
    names = ("Timestamp", "Request tokens", "Response tokens")
    for lines, (stamps, prompts, outputs) in csv_chunks(path, names):
        bad: dict[int, str] = {}
        times = numbers_of(stamps, names[0], bad)
        yield Rows(lines, times, lengths_of(prompts, names[1], bad), lengths_of(outputs, names[2], bad), bad=bad)


_MOST_TOLD = 1000  # bad rows of a chunk with their values
_LARGEST = sys.float_info.max
_LONGEST_TEXT = 16 * 2**20  # characters of a prompt or a conversation


# ---- JSON ------------------------------------------------------------------------------------------------------------


def _json_lines(path: Path) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    with opened(path) as file:
        lines: list[int] = []
        items: list[dict[str, Any]] = []
        held = 0
        for number, text in enumerate(short_lines(file, path, _LONGEST_TEXT), 1):
            if not text.strip():
                continue
            item = parse_json(text, f"line {number} of {path.name}", TraceError)
            if not isinstance(item, dict):
                raise TraceError(f"line {number} of {path.name} is {shown(item)}; expected an object")
            lines.append(number)
            items.append(item)
            held += len(text)
            if len(items) >= CHUNK or held >= _LONGEST_TEXT:
                yield lines, items
                lines, items, held = [], [], 0
        yield lines, items


def _field(items: Sequence[Mapping[str, Any]], lines: Sequence[int], name: str, path: Path) -> list[Any]:
    for number, item in zip(lines, items, strict=True):
        if name not in item:
            raise TraceError(
                f"line {number} of {path.name} has {excerpt(', '.join(map(str, item)))}, without {name}; expected it "
                "in every line"
            )
    return [item[name] for item in items]


def _of_json(values: Sequence[Any], name: str, bad: dict[int, str]) -> NDArray[np.float64]:
    import numpy as np

    found = np.full(len(values), np.nan)
    for number, value in enumerate(values):
        if is_number(value) and abs(value) <= _LARGEST:  # no whole number beyond a float
            found[number] = value
        elif len(bad) < _MOST_TOLD:
            bad.setdefault(number, f"{name} is {shown(value)}; expected a number")
        else:  # the texts of a million take seconds
            bad.setdefault(number, f"{name} is no number")
    return found


_MILLISECONDS = 1e-3
_HASHES = 2**63


def _mooncake(path: Path, settings: Settings) -> Iterator[Rows]:
    """Mooncake: milliseconds since the start, lengths, and hashes of blocks of 512 tokens."""
    import numpy as np

    names = ("timestamp", "input_length", "output_length")
    for lines, items in _json_lines(path):
        bad: dict[int, str] = {}
        times, prompts, outputs = (_of_json(_field(items, lines, name, path), name, bad) for name in names)
        hashes = _field(items, lines, "hash_ids", path)
        for number, each in enumerate(hashes):
            whole = isinstance(each, list) and all(isinstance(one, int) for one in each)
            if not whole or not -_HASHES <= min(each, default=0) <= max(each, default=0) < _HASHES:
                bad.setdefault(number, f"hash_ids is {shown(each)}; expected whole numbers of 64 bits")
        yield Rows(
            np.asarray(lines, dtype=np.int64),
            times * _MILLISECONDS,
            checked_lengths(prompts, names[1], bad),
            checked_lengths(outputs, names[2], bad),
            hashes=[[] if number in bad else each for number, each in enumerate(hashes)],
            bad=bad,
        )


_SPEAKS = {"human": "prompt", "user": "prompt", "gpt": "answer", "assistant": "answer", "chatgpt": "answer"}


def _sharegpt(path: Path, settings: Settings) -> Iterator[Rows]:
    """Conversations as a JSON array: texts of people and answers in turn."""

    rows: list[tuple[int, int, int, int, int]] = []
    for number, item in enumerate(_items(path), 1):
        said = item.get("conversations", item.get("messages")) if isinstance(item, dict) else None
        if not isinstance(said, list):
            raise TraceError(f"item {number} of {path.name} is {shown(item)}; expected an object with conversations")
        before, prompt, turn = 0, 0, 0
        for message in said:
            who, text = _message(message, number, path)
            tokens = settings.count(text)
            if _SPEAKS.get(who) == "answer" and prompt:
                rows.append((number, before + prompt, tokens, number, turn))
                before, prompt, turn = before + prompt + tokens, 0, turn + 1
                if not settings.all_turns:
                    break
            else:
                prompt += tokens
        if len(rows) >= CHUNK:
            yield _talk(rows)
            rows = []
    if rows:
        yield _talk(rows)


def _talk(rows: Sequence[tuple[int, int, int, int, int]]) -> Rows:
    import numpy as np

    lines, prompts, outputs, talks, turns = np.asarray(rows, dtype=np.int64).T
    return Rows(lines, None, prompts, outputs, conversations=np.stack([talks, turns]))


def _message(message: Any, number: int, path: Path) -> tuple[str, str]:
    for who, what in (("from", "value"), ("role", "content")):
        if isinstance(message, dict) and isinstance(message.get(who), str) and isinstance(message.get(what), str):
            return message[who], message[what]
    raise TraceError(
        f"item {number} of {path.name} has the message {shown(message)}; expected from and value, or role and content"
    )


_PIECE = 1 << 20  # characters that are read together
_ITEM = re.compile(r"[^ \t\r\n,]")


def _items(path: Path) -> Iterator[Any]:
    """Yield the items of a JSON array, of which one at a time is in memory."""
    decoder = json.JSONDecoder()
    with opened(path) as file:
        text = file.read(_PIECE).lstrip()
        if not text.startswith("["):
            raise TraceError(f"{path.name} begins with {shown(text[:20])}; expected a JSON array of conversations")
        at, number, ended = 1, 0, False
        while True:
            begin = _ITEM.search(text, at)
            at = begin.start() if begin else len(text)
            if at < len(text) and text[at] == "]":
                return
            try:
                item, end = decoder.raw_decode(text, at)
                if end == len(text) and not ended:
                    raise ValueError("a number may go on")
            except RecursionError:
                raise TraceError(f"item {number + 1} of {path.name} is nested too deeply") from None
            except ValueError as error:
                if len(text) - at > _LONGEST_TEXT:
                    raise TraceError(
                        f"item {number + 1} of {path.name} is no JSON, or has more than {_LONGEST_TEXT:,} characters"
                    ) from None
                more = "" if ended else file.read(max(_PIECE, len(text)))
                ended = not more
                if ended:
                    raise TraceError(f"item {number + 1} of {path.name} is no JSON: {error}") from None
                text, at = text[at:] + more, 0
                continue
            number += 1
            at = end
            yield item


def _vllm_bench(path: Path, settings: Settings) -> Iterator[Rows]:
    """The result of vLLM's benchmark with `--save-detailed`: lists with an item for each request."""
    import numpy as np

    document = read_json(path, TraceError, name=path.name)
    names = ("input_lens", "output_lens")
    for name in names:
        if not isinstance(document, dict) or not isinstance(document.get(name), list):
            raise TraceError(f"{path.name} has no list {name}; expected a result that was saved with --save-detailed")
    bad: dict[int, str] = {}
    prompts, outputs = (checked_lengths(_of_json(document[name], name, bad), name, bad) for name in names)
    if prompts.size != outputs.size:
        raise TraceError(f"{path.name} has {prompts.size} input_lens and {outputs.size} output_lens; expected as many")
    times = None
    if isinstance(document.get("start_times"), list):
        times = _of_json(document["start_times"], "start_times", bad)
        if times.size != prompts.size:
            raise TraceError(
                f"{path.name} has {times.size} start_times and {prompts.size} input_lens; expected as many"
            )
    order = np.arange(prompts.size) if times is None else np.argsort(times, kind="stable")
    places = {int(old): new for new, old in enumerate(order)}
    yield Rows(
        order + 1,
        None if times is None else times[order],
        prompts[order],
        outputs[order],
        bad={places[number]: reason for number, reason in bad.items()},
    )


def _vllm_texts(path: Path, settings: Settings) -> Iterator[Rows]:
    """Prompts of vLLM's benchmark, one a line, with `output_tokens`."""
    import numpy as np

    for lines, items in _json_lines(path):
        bad: dict[int, str] = {}
        texts = _field(items, lines, "prompt", path)
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                bad.setdefault(number, f"prompt is {shown(text)}; expected a text")
        prompts = [settings.count(text) if isinstance(text, str) else -1 for text in texts]
        outputs = _of_json(_field(items, lines, "output_tokens", path), "output_tokens", bad)
        yield Rows(
            np.asarray(lines, dtype=np.int64),
            None,
            np.asarray(prompts, dtype=np.int64),
            checked_lengths(outputs, "output_tokens", bad),
            bad=bad,
        )


def _without_lengths(path: Path) -> bool:
    return False


FORMATS: Mapping[str, Format] = {
    "azure": Format(_azure),
    "azure-functions": Format(
        read_function_rows,
        has_lengths=_without_lengths,
        binned=True,
        serves=lambda path: durations_file(path) is not None,
    ),
    "azure-weekly": Format(read_weekly, has_lengths=_without_lengths, binned=True),
    "bins": Format(read_bins, has_lengths=_without_lengths, binned=True),
    "burstgpt": Format(_burstgpt, drops_empty=True),
    "mooncake": Format(_mooncake, hash_tokens=512, spreads=True),
    "recorded": Format(read_recorded, has_lengths=has_lengths, serves=has_service, whole=True),
    "sharegpt": Format(_sharegpt, timed=False),
    "vllm-bench": Format(_vllm_bench),
    "vllm-prompts": Format(_vllm_texts, timed=False),
}
"""Name -> format."""

_MARKS = {
    "TIMESTAMP": "azure",
    MINUTES: "azure-functions",
    WEEKLY[1]: "azure-weekly",
    **dict.fromkeys(BIN_STARTS, "bins"),
    "Request tokens": "burstgpt",
    ARRIVAL: "recorded",
    '"hash_ids"': "mooncake",
    '"output_tokens"': "vllm-prompts",
    '"input_lens"': "vllm-bench",
}


def format_of(path: Path) -> str:
    """Return the name of the format of a file, by its first line that is no comment, or its first bytes.

    Raises:
        TraceError: It is none that is known.
    """
    if is_parquet(path):
        return "recorded"
    with opened(path) as file:
        start = file.readline(_PIECE)
        while start.startswith("#"):
            start = file.readline(_PIECE)
    if start.lstrip().startswith("["):
        return "sharegpt"
    for mark, name in _MARKS.items():
        if mark in start:
            return name
    if start.lstrip().startswith("{") and path.suffix == ".json":
        return "vllm-bench"
    raise TraceError(
        f"{path.name} begins with {shown(start.strip()[:80])}, which is of no known format; pass format=, one of "
        f"{', '.join(FORMATS)}"
    )

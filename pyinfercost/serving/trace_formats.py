"""Formats of request traces: what reads the rows of a file, a chunk at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from .._checks import excerpt, parse_json, read_text, shown
from ..errors import FileAccessError, InputError, MissingFileError
from .requests import CHUNK

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHARACTERS_PER_TOKEN = 4.0
"""Characters of English text for a token of usual vocabularies; assumed where a trace has text and no lengths."""


class TraceError(InputError):
    """A request trace that cannot be read: a column, a line or a value of it."""


@dataclass
class Rows:
    """Rows of a trace; arrays have one length.

    Attributes:
        lines: Line of the file, or number of the item, of each row.
        times_s: Times in seconds since 1970 or since the start of the trace; None if the trace has none.
        prompts: Tokens of prompts; -1 for a row to be dropped or refused. None if the trace has no lengths.
        outputs: Tokens of answers, likewise.
        hashes: Hashes of the blocks of each prompt.
        conversations: Conversation and turn of each row.
        bad: Place of a bad row -> the reason.
    """

    lines: NDArray[np.int64]
    times_s: NDArray[np.float64] | None
    prompts: NDArray[np.int64] | None
    outputs: NDArray[np.int64] | None
    hashes: Sequence[Sequence[int]] | None = None
    conversations: NDArray[np.int64] | None = None
    bad: dict[int, str] = field(default_factory=dict)


class Settings(NamedTuple):
    """What formats with texts need.

    Attributes:
        count: Returns the tokens of a text.
        all_turns: Whether each answer of a conversation is a request; else the first alone.
        seed: Of arrivals that are drawn from rates.
    """

    count: Callable[[str], int]
    all_turns: bool
    seed: int


class Format(NamedTuple):
    """A format.

    Attributes:
        read: Yields the rows of a file.
        timed: Whether rows have times.
        has_lengths: Whether rows have lengths.
        hash_tokens: Tokens of a block that has a hash; 0 without hashes.
        drops_empty: Whether requests without an answer have failed, and are left out.
        spreads: Whether several requests have one time because times are coarse.
    """

    read: Callable[[Path, Settings], Iterator[Rows]]
    timed: bool = True
    has_lengths: bool = True
    hash_tokens: int = 0
    drops_empty: bool = False
    spreads: bool = False


def opened(path: Path) -> IO[str]:
    """Open a text file.

    Raises:
        MissingFileError: There is none.
        FileAccessError: It cannot be read.
    """
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except FileNotFoundError:
        raise MissingFileError(f"{shown(str(path))} does not exist; expected a request trace") from None
    except OSError as error:
        raise FileAccessError(f"{shown(str(path))} cannot be read: {error.strerror}") from error


# ---- CSV -------------------------------------------------------------------------------------------------------------


def _csv_chunks(path: Path, needed: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], list[list[str]]]]:
    """Yield lines and the texts of the needed columns."""
    import numpy as np

    with opened(path) as file:
        reader = csv.reader(file)
        try:
            header = [name.strip() for name in next(reader, [])]
            places = [header.index(name) for name in needed if name in header]
            if len(places) < len(needed):
                missing = ", ".join(name for name in needed if name not in header)
                raise TraceError(
                    f"line 1 of {path.name} has the columns {excerpt(', '.join(header)) or 'none'}, without {missing}; "
                    f"expected {', '.join(needed)}"
                )
            most = max(places)
            while True:
                first = reader.line_num + 1
                rows = list(islice(reader, CHUNK))
                if not rows:
                    return
                lines = np.arange(first, first + len(rows))
                if reader.line_num != first + len(rows) - 1:  # texts with line breaks: lines are not those of rows
                    lines = lines.clip(max=reader.line_num)
                kept = [number for number, row in enumerate(rows) if row]
                for number in kept:
                    if len(rows[number]) <= most:
                        raise TraceError(
                            f"line {int(lines[number])} of {path.name} has {len(rows[number])} values; expected "
                            f"{len(header)}"
                        )
                yield lines[kept], [[rows[number][place] for number in kept] for place in places]
        except UnicodeDecodeError as error:
            raise TraceError(f"{path.name} is no text in UTF-8 (byte {error.start}); expected a CSV file") from None
        except csv.Error as error:
            raise TraceError(f"line {reader.line_num} of {path.name} is no CSV: {error}") from None


def _numbers(texts: Sequence[str], name: str, bad: dict[int, str]) -> NDArray[np.float64]:
    """Return numbers; NaN, and a reason, for what is none."""
    import numpy as np

    try:
        found = np.asarray(texts, dtype=np.str_).astype(np.float64)
    except ValueError:
        found = np.full(len(texts), np.nan)
        for number, text in enumerate(texts):
            try:
                found[number] = float(text)
            except ValueError:
                bad.setdefault(number, f"{name} is {shown(text)}; expected a number")
    return found


def _lengths(texts: Sequence[str], name: str, bad: dict[int, str]) -> NDArray[np.int64]:
    return checked_lengths(_numbers(texts, name, bad), name, bad)


def checked_lengths(values: NDArray[np.float64], name: str, bad: dict[int, str]) -> NDArray[np.int64]:
    """Return whole numbers; -1, and a reason, for what is none, or below 0."""
    import numpy as np

    wrong = ~((values >= 0) & (values <= _MOST_LENGTH) & (np.floor(values) == values))
    for number in np.flatnonzero(wrong).tolist():
        bad.setdefault(number, f"{name} is {values[number]:.17g}; expected a whole number of tokens, 0 or more")
    return np.where(wrong, -1, np.nan_to_num(values)).astype(np.int64)


_MOST_LENGTH = 1e8


def _stamps(texts: Sequence[str], name: str, bad: dict[int, str]) -> NDArray[np.float64]:
    """Return seconds since 1970 of dates with times; those without a zone are in UTC."""
    import numpy as np

    plain = [text[:-6] if text.endswith("+00:00") else text.removesuffix("Z") for text in texts]
    try:
        stamps = np.asarray(plain, dtype="datetime64[ns]")
        if not np.isnat(stamps).any():
            whole = stamps.astype("datetime64[s]")
            seconds: NDArray[np.float64] = whole.astype(np.int64) + (stamps - whole).astype(np.int64) * 1e-9
            return seconds
    except ValueError:
        pass
    found = np.full(len(texts), np.nan)
    for number, text in enumerate(texts):
        try:
            at = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
            found[number] = (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp()
        except ValueError:
            bad.setdefault(number, f"{name} is {shown(text)}; expected a date and a time, as in ISO 8601")
    return found


def _azure(path: Path, settings: Settings) -> Iterator[Rows]:
    """Azure's traces of language models, of 2023 and of 2024."""
    names = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
    for lines, (stamps, prompts, outputs) in _csv_chunks(path, names):
        bad: dict[int, str] = {}
        times = _stamps(stamps, names[0], bad)
        yield Rows(lines, times, _lengths(prompts, names[1], bad), _lengths(outputs, names[2], bad), bad=bad)


def _burstgpt(path: Path, settings: Settings) -> Iterator[Rows]:
    """BurstGPT: seconds since the start, and a row without response tokens for each failure."""
    names = ("Timestamp", "Request tokens", "Response tokens")
    for lines, (stamps, prompts, outputs) in _csv_chunks(path, names):
        bad: dict[int, str] = {}
        times = _numbers(stamps, names[0], bad)
        yield Rows(lines, times, _lengths(prompts, names[1], bad), _lengths(outputs, names[2], bad), bad=bad)


_BINNED = ("time_utc", "requests_per_min_mid_rescaled")
_MINUTE_S = 60.0


def _binned(path: Path, settings: Settings) -> Iterator[Rows]:
    """Requests a minute at the middle of bins: arrivals are Poisson, with the rate of the bin."""
    import numpy as np

    stamps: list[NDArray[np.float64]] = []
    rates: list[NDArray[np.float64]] = []
    numbers: list[NDArray[np.int64]] = []
    for lines, (times, values) in _csv_chunks(path, _BINNED):
        bad: dict[int, str] = {}
        stamps.append(_stamps(times, _BINNED[0], bad))
        rates.append(_numbers(values, _BINNED[1], bad))
        for number in np.flatnonzero(~(rates[-1] >= 0)).tolist():
            bad.setdefault(number, f"{_BINNED[1]} is {rates[-1][number]:.6g}; expected 0 or more")
        if bad:
            number = min(bad)
            raise TraceError(f"line {int(lines[number])} of {path.name}: {bad[number]}")
        numbers.append(lines)
    middle = np.concatenate(stamps) if stamps else np.zeros(0)
    if middle.size < 2:  # noqa: PLR2004 - a width needs two middles
        raise TraceError(f"{path.name} has {middle.size} bins; expected at least 2")
    steps = np.diff(middle)
    at = np.concatenate(numbers)
    if steps.min() <= 0:
        number = int(np.argmin(steps)) + 1
        raise TraceError(f"line {int(at[number])} of {path.name} is not after the line before it; sort the bins")
    edges = np.concatenate([[middle[0] - steps[0] / 2], middle[:-1] + steps / 2, [middle[-1] + steps[-1] / 2]])
    per_s = np.concatenate(rates) / _MINUTE_S
    for number in range(middle.size):
        rng = np.random.default_rng(np.random.SeedSequence([settings.seed, _STREAM, number]))
        width = edges[number + 1] - edges[number]
        count = rng.poisson(per_s[number] * width)
        times_s = np.sort(edges[number] + rng.random(count) * width)
        yield Rows(np.full(count, at[number]), times_s, None, None)


_STREAM = 201


# ---- JSON ------------------------------------------------------------------------------------------------------------


def _json_lines(path: Path) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    with opened(path) as file:
        numbered = enumerate(file, 1)
        while True:
            part = list(islice(numbered, CHUNK))
            if not part:
                return
            kept = [(number, text) for number, text in part if text.strip()]
            items = []
            for number, text in kept:
                try:
                    item = json.loads(text)
                except ValueError as error:
                    raise TraceError(f"line {number} of {path.name} is no JSON: {error}") from None
                if not isinstance(item, dict):
                    raise TraceError(f"line {number} of {path.name} is {shown(item)}; expected an object")
                items.append(item)
            yield [number for number, _ in kept], items


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
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found[number] = value
        else:
            bad.setdefault(number, f"{name} is {shown(value)}; expected a number")
    return found


_MILLISECONDS = 1e-3


def _mooncake(path: Path, settings: Settings) -> Iterator[Rows]:
    """Mooncake: milliseconds since the start, lengths, and hashes of blocks of 512 tokens."""
    import numpy as np

    names = ("timestamp", "input_length", "output_length")
    for lines, items in _json_lines(path):
        bad: dict[int, str] = {}
        times, prompts, outputs = (_of_json(_field(items, lines, name, path), name, bad) for name in names)
        hashes = _field(items, lines, "hash_ids", path)
        for number, each in enumerate(hashes):
            if not isinstance(each, list) or not all(isinstance(one, int) for one in each):
                bad.setdefault(number, f"hash_ids is {shown(each)}; expected whole numbers")
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


def _items(path: Path) -> Iterator[Any]:
    """Yield the items of a JSON array, of which one at a time is in memory."""
    decoder = json.JSONDecoder()
    with opened(path) as file:
        text = file.read(_PIECE).lstrip()
        if not text.startswith("["):
            raise TraceError(f"{path.name} begins with {shown(text[:20])}; expected a JSON array of conversations")
        at, number, ended = 1, 0, False
        while True:
            while at < len(text) and text[at] in " \t\r\n,":
                at += 1
            if at < len(text) and text[at] == "]":
                return
            try:
                item, end = decoder.raw_decode(text, at)
                if end == len(text) and not ended:
                    raise ValueError("a number may go on")
            except ValueError as error:
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

    document = parse_json(read_text(path, TraceError), path.name, TraceError)
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


FORMATS: Mapping[str, Format] = {
    "azure": Format(_azure),
    "azure-weekly": Format(_binned, has_lengths=False),
    "burstgpt": Format(_burstgpt, drops_empty=True),
    "mooncake": Format(_mooncake, hash_tokens=512, spreads=True),
    "sharegpt": Format(_sharegpt, timed=False),
    "vllm-bench": Format(_vllm_bench),
    "vllm-prompts": Format(_vllm_texts, timed=False),
}
"""Name -> format."""

_MARKS = {
    "TIMESTAMP": "azure",
    _BINNED[0]: "azure-weekly",
    "Request tokens": "burstgpt",
    '"hash_ids"': "mooncake",
    '"output_tokens"': "vllm-prompts",
    '"input_lens"': "vllm-bench",
}


def format_of(path: Path) -> str:
    """Return the name of the format of a file, by its first line.

    Raises:
        TraceError: It is none that is known.
    """
    with opened(path) as file:
        try:
            start = file.readline(_PIECE)
        except UnicodeDecodeError:
            start = ""
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

"""Generate `docs/coverage.md` from the golden file of the zoo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from zoo.golden_file import Record

PATH = Path(__file__).parents[2] / "docs" / "coverage.md"

_HEAD = """\
# Coverage

`python tests/zoo/run.py --write` generates this page; do not edit it.

Every public model of these libraries was built without weights, captured on meta tensors and counted. *Captured*
models ran to the end of their forward. *Unmodelled* lists operators without a row, with the number of models that
call them. Each model was checked in four ways: its counts are equal after `to_json` and `from_json`; the module,
its inputs and torch are unchanged, even if the forward raises halfway; its graphs in other formats, layouts and
engines keep the products of the captured one; and FLOPs and parameters equal published figures to their printed
digits, if there are any. *Counted twice* are transformers and diffusers models that torch's own counter can run and
has formulas for: its FLOPs are equal. Small models also ran with real weights, at lengths that depend on their data.
"""


def write(libraries: Mapping[str, str], records: Mapping[str, Record], path: Path = PATH) -> None:
    """Write the page: a summary, groups by library, models that cannot be built, figures that differ."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(_lines(libraries, records)) + "\n", encoding="utf-8")


def _lines(libraries: Mapping[str, str], records: Mapping[str, Record]) -> Iterator[str]:
    yield _HEAD
    yield f"Releases: {', '.join(f'{name} {release}' for name, release in sorted(libraries.items()))}.\n"
    yield from _table("library", {name: _of(records, name) for name in _libraries(records)})
    for library in _libraries(records):
        yield f"\n## {library}\n"
        mine = _of(records, library)
        groups = sorted({record["group"] for record in mine.values()})
        yield from _table(
            "group", {group: {case: r for case, r in mine.items() if r["group"] == group} for group in groups}
        )
    yield from _reasons(
        records,
        "not_built",
        "Not built",
        "Requirements of a model beyond the library, or the reason that it has no inputs.",
    )
    yield from _reasons(
        records,
        "counted_twice",
        "Not counted twice",
        "The reason that torch's own counter has no result for a model: how it ran, and the error.",
    )
    yield from _reasons(
        records,
        "differs",
        "Published figures that differ",
        "The count, the published figure of the library, and the reason for the difference.",
    )


def _libraries(records: Mapping[str, Record]) -> list[str]:
    return sorted({case.partition(":")[0] for case in records})


def _of(records: Mapping[str, Record], library: str) -> dict[str, Record]:
    return {case: record for case, record in records.items() if case.startswith(f"{library}:")}


def _table(what: str, parts: Mapping[str, Mapping[str, Record]]) -> Iterator[str]:
    yield f"| {what} | models | captured | counted twice | unmodelled | nodes | GMAC, least to most |"
    yield "|---|--:|--:|--:|---|--:|--:|"
    for name, records in parts.items():
        captured = [record for record in records.values() if "nodes" in record]
        macs = [record["macs"] / 1e9 for record in captured]
        span = f"{min(macs):.3g} to {max(macs):.3g}" if macs else ""
        nodes = f"{sum(record['nodes'] for record in captured):,}"
        twice = sum(record.get("counted_twice") is True for record in captured) or ""
        ops = _unmodelled(captured)
        yield f"| {name} | {len(records)} | {len(captured)} | {twice} | {ops} | {nodes} | {span} |"


def _unmodelled(records: list[Record]) -> str:
    ops = sorted({op for record in records for op in record["unmodelled"]})
    counted = [f"`{op}` ({sum(op in record['unmodelled'] for record in records)})" for op in ops]
    return ", ".join(counted) or "none"


def _reasons(records: Mapping[str, Record], key: str, title: str, text: str) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for case, record in sorted(records.items()):
        if isinstance(record.get(key), str):
            reasons.setdefault(record[key], []).append(f"`{case}`")
    if not reasons:
        return
    yield f"\n## {title}\n\n{text}\n"
    for reason, cases in reasons.items():
        yield f"- {', '.join(cases)}: {reason}"

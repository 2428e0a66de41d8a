"""Writes `docs/coverage.md` from the golden file of the zoo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from zoo.golden_file import Record

PATH = Path(__file__).parents[2] / "docs" / "coverage.md"

_HEAD = """\
# Coverage

Written by `python tests/zoo/run.py --write`; not edited by hand.

Every public model of these libraries was built without weights, captured on meta tensors and counted. A model stands
under *captured* when its forward was recorded to the end; *unmodelled* lists operators that have no row, with the
number of models that call them. For each model it was also checked that the counts are the same after `to_json` and
`from_json`; that the module, its inputs and torch are as they were, also when the forward raises halfway; and, where a
figure is known from elsewhere, that FLOPs and parameters agree with it to its printed digits. Where torch's own counter
can run a transformers or diffusers model and has a rule for everything that it calls, its FLOPs were compared too, and
are equal: those models are *counted twice*. Small ones ran with real weights, at the lengths that their data decided.
"""


def write(libraries: Mapping[str, str], records: Mapping[str, Record], path: Path = PATH) -> None:
    """Writes the page: a summary, groups by library, what cannot be built, figures that differ."""
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
        "What a model needs beyond the library, or why it has no inputs to call it on.",
    )
    yield from _reasons(
        records,
        "counted_twice",
        "Not counted twice",
        "Why torch's own counter says nothing about a model: how it was run, and what it met.",
    )
    yield from _reasons(
        records,
        "differs",
        "Published figures that differ",
        "The count and the figure that its library publishes, and why they are not the same.",
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

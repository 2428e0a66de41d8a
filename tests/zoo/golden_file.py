"""The golden file of the zoo: one line per case, so that a change of a count shows as a diff of that line."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[1] / "golden" / "zoo.json"
LIBRARIES = ("torch", "torchvision", "timm", "transformers", "diffusers")

Record = dict[str, Any]


def versions() -> dict[str, str]:
    """Return the installed releases of the libraries, without build suffixes (`2.13.0+cpu`)."""
    return {name: version(name).partition("+")[0] for name in LIBRARIES if importlib.util.find_spec(name)}


def read(path: Path = PATH) -> tuple[dict[str, str], dict[str, Record]]:
    """Return the releases used to write the file, and the record of each case."""
    if not path.is_file():
        return {}, {}
    document = json.loads(path.read_text(encoding="utf-8"))
    return document["libraries"], document["cases"]


def write(records: Mapping[str, Record], path: Path = PATH) -> None:
    """Write all records, sorted by case."""
    lines = ",\n".join(
        f"{json.dumps(case)}: {json.dumps(record, separators=(',', ':'))}" for case, record in sorted(records.items())
    )
    libraries = json.dumps(versions(), sort_keys=True)
    path.write_text(f'{{"libraries": {libraries},\n"cases": {{\n{lines}\n}}}}\n', encoding="utf-8")


def differences(case: str, record: Record, stored: Mapping[str, Record]) -> list[str]:
    """Return descriptions of the differences between a record and the stored one."""
    if case not in stored:
        return ["is not in the golden file"]
    before = stored[case]
    return [
        f"{key} was {before.get(key)}, is {record.get(key)}"
        for key in {**before, **record}
        if before.get(key) != record.get(key)
    ]


def same_release(library: str, stored: Mapping[str, str]) -> bool:
    """Return whether the file was written with the installed releases of torch and of a library.

    The implementation of a model determines its nodes and copies, and may change between releases.
    """
    now = versions()
    return all(now.get(name) == stored.get(name) for name in ("torch", library))


def sample(records: Mapping[str, Record], each: int) -> list[str]:
    """Return the smallest case of every group, up to `each` per library, evenly spread over its sorted groups.

    The size of a case is its number of nodes.
    """
    smallest: dict[tuple[str, str], str] = {}
    for case, record in sorted(records.items()):
        if "not_built" in record:
            continue
        key = (case.partition(":")[0], record["group"])
        if key not in smallest or record["nodes"] < records[smallest[key]]["nodes"]:
            smallest[key] = case
    chosen: list[str] = []
    for library in sorted({library for library, _ in smallest}):
        found = [case for (of, _), case in sorted(smallest.items()) if of == library]
        chosen += spread(found, each)
    return chosen


def spread(values: list[str], most: int) -> list[str]:
    """Return at most `most` values, evenly spaced over all."""
    step = max(1.0, len(values) / most)
    return [values[int(i * step)] for i in range(min(most, len(values)))]

"""Journal of finished rows in a JSONL file, from which an interrupted trade-off resumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from .._checks import read_bytes
from . import TradeoffError

SCHEMA_VERSION = 1
KIND = "pyinfercost.tradeoff"


class Journal:
    """A JSONL file with the settings in its first line and one finished row in every other line.

    A row is keyed by the candidate's name, the layer (empty for the whole model) and the candidate's description.

    Args:
        path: The file, which is created if it does not exist. None stores nothing.
        settings: Settings that all rows depend on.
        kind: Subject of the rows.

    Raises:
        TradeoffError: The file has other settings, or is no journal.
        OSError: The file cannot be read or written.
    """

    def __init__(self, path: str | PathLike[str] | None, settings: Mapping[str, Any], kind: str = KIND) -> None:
        self._path = None if path is None else Path(path)
        self._kind = kind
        self._rows: dict[tuple[str, str], dict[str, Any]] = {}
        if self._path is None:
            return
        header = {"kind": kind, "schema_version": SCHEMA_VERSION, "settings": dict(settings)}
        if not self._path.exists() or self._path.stat().st_size == 0:
            self._append(header)
        else:
            self._read(json.loads(json.dumps(header)))

    def find(self, candidate: str, layer: str, text: str) -> dict[str, Any] | None:
        """Return the figures of a finished row; None if there is none.

        Raises:
            TradeoffError: The row is of another candidate with that name.
        """
        entry = self._rows.get((candidate, layer))
        if entry is None:
            return None
        if entry["of"] != text:
            raise TradeoffError(
                f"{self._path} has candidate {candidate!r} as {entry['of']}, but it is {text} now; pass another name "
                "for the candidate, or another file to resume from"
            )
        figures: dict[str, Any] = entry["figures"]
        return figures

    def add(self, candidate: str, layer: str, text: str, figures: Mapping[str, Any]) -> None:
        """Store a finished row."""
        entry = {"candidate": candidate, "layer": layer, "of": text, "figures": dict(figures)}
        self._rows[candidate, layer] = entry
        if self._path is not None:
            self._append(entry)

    def _append(self, entry: Mapping[str, Any]) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, allow_nan=False) + "\n")

    def _read(self, header: Mapping[str, Any]) -> None:
        if self._path is None:
            return
        data = read_bytes(self._path)
        whole = data[: data.rfind(b"\n") + 1]
        try:
            first, *entries = [json.loads(line) for line in whole.decode().splitlines()]
            kind, version, held = first["kind"], first["schema_version"], first["settings"]
            rows = {(entry["candidate"], entry["layer"]): entry for entry in entries}
        except (ValueError, KeyError, TypeError) as error:
            raise TradeoffError(f"{self._path} is not a file to resume from ({error}); pass another one") from error
        if kind != self._kind or version != SCHEMA_VERSION:
            raise TradeoffError(f"{self._path} is of {kind} {version}; expected {self._kind} {SCHEMA_VERSION}")
        self._check(held, header["settings"])
        if len(whole) < len(data):  # a partial row of an interrupted run
            with self._path.open("r+b") as file:
                file.truncate(len(whole))
        self._rows = rows

    def _check(self, held: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        different = [name for name in {**held, **now} if held.get(name) != now.get(name)]
        if different:
            said = "; ".join(f"{name} was {held.get(name)!r} and is {now.get(name)!r}" for name in different)
            raise TradeoffError(
                f"{self._path} has rows of other settings: {said}; pass another file, or remove this one"
            )

"""Results in files: the JSON written by `profile` and `fleet`, on its own or inside an HTML report."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from os import PathLike, fspath
from typing import Any

from .._checks import parse_json, read_text, shown
from ..errors import InputError
from .folded_layers import unfolded_layers

SCRIPT_ID = "pyinfercost-profile"
"""Id of the script element with the JSON of a profile in an HTML report."""

FLEET_ID = "pyinfercost-fleet"
"""The same of fleets, comparisons of fleets and plans."""

HOW_TO = "expected what `pyinfercost profile MODEL --format json` writes"

_VERSIONS = (1,)
_FLEETS = {"fleet": "late_share", "comparison": "fleets", "plan": "choices"}
"""Key of the document of fleets -> a key of its object."""

_PARTS = frozenset({"layers", "totals", "estimate"})
_GRAPH_PARTS = frozenset({"tensors", "nodes", "inputs", "outputs"})
_SCRIPT_TYPE, _PACKED_TYPE = "application/json", "application/octet-stream"
_MOST_BYTES = 1_000_000_000  # of an unpacked text


class DocumentError(InputError):
    """A document is not a profile; the message states the fault and the expected document."""


def profile_document_from(path: str | PathLike[str]) -> dict[str, Any]:
    """Return the JSON object of a profile from a JSON file or an HTML report.

    Args:
        path: Output of `profile --format json`, or a report with the same in an element with the id
            `pyinfercost-profile`, packed or as JSON.

    Returns:
        The JSON object.

    Raises:
        DocumentError: The file does not hold a profile, or one of an unknown version.
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read.
    """
    return checked_profile(document_from(path), fspath(path))


def document_from(path: str | PathLike[str]) -> Any:
    """Return the JSON in a file or in an HTML report.

    Args:
        path: Path of the file.

    Returns:
        The JSON value.

    Raises:
        DocumentError: The file does not hold JSON.
        MissingFileError: There is no such file.
        FileAccessError: It cannot be read.
    """
    name = fspath(path)
    content = read_text(name, DocumentError)
    in_page = content.lstrip().startswith("<")
    if in_page:
        content = _script_of(content, name)
    try:
        document = parse_json(content, name, DocumentError)
    except DocumentError as error:
        raise DocumentError(f"{error}; {HOW_TO}") from error
    layers = document.get("layers") if in_page and isinstance(document, Mapping) else None
    if isinstance(layers, Mapping):
        return {**document, "layers": unfolded_layers(layers, name, DocumentError)}
    return document


def checked_profile(document: Any, which: str) -> dict[str, Any]:
    """Return a document if it is a profile.

    Args:
        document: The document.
        which: Its name in errors.

    Returns:
        The document.

    Raises:
        DocumentError: It is not a profile, or one of an unknown version.
    """
    if not isinstance(document, Mapping) or not document.keys() >= _PARTS:
        raise DocumentError(f"{which} is not a profile; {HOW_TO}")
    _check_version(document, which, "profile")
    return dict(document)


def _check_version(document: Mapping[str, Any], which: str, verb: str) -> None:
    version = document.get("schema_version")
    if version not in _VERSIONS or isinstance(version, bool):
        newer = isinstance(version, int) and version > _VERSIONS[-1]
        hint = f"; a newer pyinfercost wrote it: upgrade this one, or {verb} again with it" if newer else ""
        raise DocumentError(f"{which} has schema_version {shown(version)}; expected {_VERSIONS[-1]}{hint}")


def is_fleets(document: Any) -> bool:
    """Return whether a document is a fleet, a comparison of fleets or a plan."""
    return _kind_of_fleets(document) is not None


def checked_fleets(document: Any, which: str) -> tuple[str, dict[str, Any]]:
    """Return the kind of a document of fleets, `"fleet"`, `"comparison"` or `"plan"`, and the document.

    Args:
        document: The document.
        which: Its name in errors.

    Returns:
        The kind, which is its key, and the document.

    Raises:
        DocumentError: It is none of these, or of an unknown version.
    """
    kind = _kind_of_fleets(document)
    if kind is None:
        raise DocumentError(
            f"{which} is no fleet, comparison of fleets or plan; expected what `pyinfercost fleet ... --format json` "
            "writes"
        )
    _check_version(document, which, "simulate")
    return kind, dict(document)


def _kind_of_fleets(document: Any) -> str | None:
    if not isinstance(document, Mapping):
        return None
    for kind, key in _FLEETS.items():
        inner = document.get(kind)
        if isinstance(inner, Mapping) and key in inner:
            return kind
    return None


def is_graph(document: Any) -> bool:
    """Return whether a document is a graph, as written by `Graph.to_json`."""
    return isinstance(document, Mapping) and document.keys() >= _GRAPH_PARTS


def _script_of(text: str, name: str) -> str:
    reader = _Scripts()
    reader.feed(text)
    reader.close()
    if len(reader.found) != 1:
        got = f"{len(reader.found)} of them" if reader.found else "none"
        raise DocumentError(
            f'{name} is HTML and should have one <script type="{_SCRIPT_TYPE}" id="{SCRIPT_ID}"> with the JSON of a '
            f"profile; it has {got}; pass a report written by pyinfercost, or a profile's JSON"
        )
    content = reader.found[0]
    return _unpacked(content, name) if reader.packed else content


def _unpacked(content: str, name: str) -> str:
    """Return a text that is compressed by DEFLATE with the header of zlib, and written in base64.

    Raises:
        DocumentError: It is not, or it is too large.
    """
    import base64
    import zlib

    reader = zlib.decompressobj()
    try:
        text = reader.decompress(base64.b64decode(content.strip(), validate=True), _MOST_BYTES).decode()
    except (ValueError, zlib.error) as wrong:
        raise DocumentError(f"the profile in {name} cannot be unpacked ({wrong}); {HOW_TO}") from wrong
    if not reader.eof:
        fault = f"has more than {_MOST_BYTES:,} bytes" if reader.unconsumed_tail else "is cut off"
        raise DocumentError(f"the profile in {name} {fault}; {HOW_TO}")
    return text


class _Scripts(HTMLParser):
    """Collects the text of script elements that hold a profile or fleets."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.found: list[str] = []
        self.packed = False
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        kinds = {SCRIPT_ID: (_SCRIPT_TYPE, _PACKED_TYPE), FLEET_ID: (_SCRIPT_TYPE,)}
        if tag == "script" and given.get("type") in kinds.get(given.get("id") or "", ()):
            self._inside = True
            self.packed = given.get("type") == _PACKED_TYPE
            self.found.append("")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found[-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._inside = False

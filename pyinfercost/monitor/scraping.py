"""Readings of a `/metrics` page over HTTP, in Prometheus' text format or OpenMetrics.

A page is untrusted: unreadable lines are counted, and nothing on a page raises an error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from math import isnan
from types import MappingProxyType

from .._checks import text
from .._http import Gone, ask, http_address, status_words
from ..errors import InputError

MOST_BYTES = 8 * 2**20
"""Most bytes of a page, unpacked. A page of vLLM has 0.1 MB."""

MOST_OF_LINE = 2**16
"""Most characters of a line. One of vLLM has 200."""

_ACCEPT = "text/plain;version=0.0.4;q=1,*/*;q=0.1"
_REDIRECTS = 3
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_BRACE = re.compile(r"\s*\{\s*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"([^"\\]*(?:\\.[^"\\]*)*)"\s*(?:,\s*|(?=\}))')
_ESCAPE = re.compile(r'\\[n"\\]')
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
# A value, a time, and in OpenMetrics an exemplar.
_VALUE = re.compile(rf"\s*({_NUMBER})(?:\s+{_NUMBER})?(\s+# \{{.*)?")
_NEVER = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
)
"""Statuses of an address that has no metrics for us."""

_MOST_VALUE = 1e300  # a whole number may exceed the range of a float

LabelSet = frozenset[tuple[str, str]]


class ScrapeError(InputError):
    """An address that is no address of metrics."""


@dataclass(frozen=True)
class Page:
    """A page of metrics.

    Attributes:
        samples: Name -> labels -> value, finite and at least 0, of the wanted names. Histograms have the names of the
            format: `x_bucket`, `x_sum`, `x_count`.
        unreadable: Lines that are no samples, have no such value, or repeat a sample.
        is_whole: Whether the page had no such line and was not cut off.
    """

    samples: Mapping[str, Mapping[LabelSet, float]] = field(default_factory=lambda: MappingProxyType({}))
    unreadable: int = 0
    is_whole: bool = True


def metrics_url(url: object) -> str:
    """Return the address of a page of metrics: `http://host:8000` stands for `http://host:8000/metrics`.

    Raises:
        ScrapeError: It is no address of HTTP, or has a password.
    """
    given = text(url, "url", ScrapeError)
    parts = http_address(given, "url", "http://host:port/metrics", ScrapeError, scheme="http")
    path = parts.path if parts.path not in ("", "/") else "/metrics"
    return parts._replace(path=path, fragment="").geturl()


def fetch(url: str, *, timeout_s: float = 10.0, most_bytes: int = MOST_BYTES) -> tuple[str, str] | Gone:
    """Return the text and the content type of a page.

    Redirects are followed on the same host and port only. Proxies of the environment are not used.

    Args:
        url: The address, from `metrics_url`.
        timeout_s: Seconds for the whole answer, also of a server that sends it byte by byte.
        most_bytes: Most bytes, unpacked.

    Returns:
        Text, in which bytes that are not UTF-8 are replaced, and content type; or the reason that there is none.
    """
    found = ask(url, headers={"Accept": _ACCEPT}, timeout_s=timeout_s, most_bytes=most_bytes, redirects=_REDIRECTS)
    if isinstance(found, Gone):
        return found
    if found.status != HTTPStatus.OK:
        return Gone(
            f"it answers with {status_words(found.status)}",
            is_down=found.status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.BAD_GATEWAY),
            is_wrong=found.status in _NEVER,
        )
    if max(map(len, found.text.split("\n"))) > MOST_OF_LINE:
        return Gone(f"a line of the page has more than {MOST_OF_LINE:,} characters", is_down=False)
    return found.text, found.content_type


# ---- samples ---------------------------------------------------------------------------------------------------------


def parse(content: str, wanted: Collection[str], *, content_type: str = "") -> Page:
    """Return the samples of a page that have wanted names, in a time that is linear in its length.

    Other lines are not parsed, so that a huge page of other metrics costs little. A line that cannot be read does not
    lose the others.

    Args:
        content: The text.
        wanted: Names of samples, such as `vllm:prompt_tokens_total` and `vllm:e2e_request_latency_seconds_bucket`.
        content_type: The content type of the answer.
    """
    is_open = "openmetrics" in content_type.lower()
    lines = content.split("\n")
    # Both formats end with a line feed, and OpenMetrics with a mark: later text is a line that was cut off.
    cut = lines.pop() != "" or (is_open and (not lines or lines[-1].strip() != "# EOF"))
    unreadable = 0
    samples: dict[str, dict[LabelSet, float]] = {}
    for line in lines:
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        match = _NAME.match(bare)
        if match is None or bare[match.end() : match.end() + 1] not in ("{", " ", "\t"):
            unreadable += 1
        elif match[0] in wanted:
            name, sample = match[0], _sample(bare, match.end(), is_open)
            if sample is None or sample[0] in samples.get(name, ()) or not _has_bound(name, sample[0]):
                unreadable += 1
            else:
                samples.setdefault(name, {})[sample[0]] = sample[1]
    return Page(samples, unreadable + cut, is_whole=not cut and not unreadable)


def _sample(line: str, at: int, is_open: bool) -> tuple[LabelSet, float] | None:
    """Return the labels and the value behind the name of a sample; None if there are none."""
    labels: dict[str, str] = {}
    if brace := _BRACE.match(line, at):
        at = brace.end()
        while label := _LABEL.match(line, at):
            name, escaped = label[1], label[2]
            if name in labels:
                return None
            labels[name] = _ESCAPE.sub(_unescaped, escaped) if "\\" in escaped else escaped
            at = label.end()
        if line[at : at + 1] != "}":
            return None
        at += 1
    found = _VALUE.fullmatch(line, at)
    if found is None or (found[2] is not None and not is_open):
        return None
    value = float(found[1])
    return (frozenset(labels.items()), value) if 0 <= value <= _MOST_VALUE else None


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[0] == r"\n" else match[0][1:]


def _has_bound(name: str, labels: LabelSet) -> bool:
    """Return whether a sample is none of a bucket, or one with a bound."""
    try:
        return not name.endswith("_bucket") or not isnan(float(dict(labels).get("le", "nan")))
    except ValueError:
        return False


def has_names(content: str, prefix: str) -> bool:
    """Return whether a line of a page begins with a prefix."""
    return content.startswith(prefix) or f"\n{prefix}" in content

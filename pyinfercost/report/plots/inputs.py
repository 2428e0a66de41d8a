"""Inputs of plots: profiles as objects, JSON documents or paths."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, TypeAlias

from ..._checks import read_json
from ...errors import InputError, InputTypeError
from ...results.units import quantity

if TYPE_CHECKING:
    from ...results.profile import Profile

ProfileLike: TypeAlias = "Profile | Mapping[str, Any] | str | PathLike[str]"
"""A `Profile`, the JSON object of its `to_dict`, or the path of a file with it."""

_HOW_TO = "expected the output of Profile.to_dict() or of pyinfercost profile MODEL --format json"
_NEEDED = ("layers", "totals", "estimate")


def document_of(profile: ProfileLike) -> Mapping[str, Any]:
    """Return the JSON document of a profile.

    Args:
        profile: A profile, its document, or a path.

    Returns:
        The document.

    Raises:
        InputError: The document is not a profile.
        InputTypeError: `profile` has another type.
        FileAccessError: The file cannot be read.
    """
    where = "the document"
    document: Any = profile
    if isinstance(profile, (str, PathLike)):
        where = fspath(profile)
        try:
            document = read_json(where)
        except InputError as error:
            raise InputError(f"{error}; {_HOW_TO}") from error
    elif not isinstance(profile, Mapping) and hasattr(profile, "counts"):
        document = profile.to_dict()
    if not isinstance(document, Mapping):
        raise InputTypeError(f"profile is of type {type(document).__name__}; expected a Profile, a dict or a path")
    missing = [key for key in _NEEDED if key not in document]
    if missing:
        raise InputError(f"{where} is not a profile, because it has no {', '.join(missing)}; {_HOW_TO}")
    return document


def heading(document: Mapping[str, Any]) -> str:
    """Return the title of a plot: `torchvision:resnet50, batch 64, fp16, compiled, on l4`."""
    sizes = [f"{name} {value:,}" for name, value in document.get("sizes", {}).items() if "." not in name]
    parts = [document.get("model") or "graph", *sizes, document.get("precision", "")]
    estimate = document["estimate"]
    if estimate is None:
        return ", ".join(part for part in parts if part)
    return ", ".join(part for part in (*parts, estimate["execution"]) if part) + f", on {estimate['hardware']}"


def module_at(path: str, depth: int | None) -> str:
    """Return a module's path down to a depth; `(itself)` for operators called by the model itself."""
    if not path:
        return "(itself)"
    return path if depth is None else ".".join(path.split(".")[:depth])


def short_op(op: str) -> str:
    """Return `conv2d` for `aten.conv2d.default`."""
    parts = op.split(".")
    return parts[1] if len(parts) > 1 else op


def share_text(share: float) -> str:
    """Format a share: `12 %`, `3.4 %`, `<0.1 %`."""
    percents = 100 * share
    if 0 < percents < 0.05:  # noqa: PLR2004 - what would be shown as 0.0
        return "<0.1 %"
    return f"{percents:.0f} %" if percents >= 10 else f"{percents:.1f} %"  # noqa: PLR2004 - two digits are enough


def rate_text(value: float, unit: str) -> str:
    """Format a rate with three digits: `312 TFLOP/s`, `2.04 TB/s`."""
    number, _, name = quantity(value, "").partition(" ")
    return f"{float(number):.3g} {name}{unit}" if name else f"{value:.3g} {unit}"

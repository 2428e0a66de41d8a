"""Origin of a page: when, with which versions and by which call it was written; and the meanings of its terms."""

from __future__ import annotations

import platform
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ... import _core
from ...deployment.engines import TORCH
from ..glossary import BOUNDS, COLUMNS, EFFECTS, TERMS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...results.profile import Profile

_NAMED = ("torch", "transformers", "torchvision", "timm", "onnx")
"""Libraries whose version is stated if they took part, that is, if they are imported."""

_FIELDS = ("hardware", "precision", "engine", "serving", "execution", "threads", "instances", "devices", "layout")


def written_by(command: str) -> str:
    """Return a line on the origin of a page: the time in UTC, the versions, and the command or the call.

    Args:
        command: Command line or call in Python; empty if it is not known.
    """
    versions = [f"pyinfercost {_core.__version__}"]
    for name in _NAMED:
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            versions.append(f"{name} {version}")
    versions.append(f"Python {platform.python_version()}")
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return f"Written {now} with {', '.join(versions)}" + (f" by: {command}" if command else "")


def call_of(profile: Profile, *, model: str = "", sizes: Mapping[str, int] | None = None) -> str:
    """Return the call in Python that makes a profile, as far as it is known: a module has no name to write.

    Args:
        profile: The profile.
        model: Name of the model; by default the name of the profile.
        sizes: Its sizes; by default the sizes of the profile.
    """
    model = model or profile.model
    estimate = profile.estimate
    options: dict[str, Any] = {"precision": profile.precision}
    if estimate is not None:
        options = {name: getattr(estimate, name) for name in _FIELDS}
        cost = estimate.cost
        laid = estimate.layout.ranks > 1 or (cost is not None and cost.instances is not None)  # paid in whole instances
        options["layout"] = str(estimate.layout) if laid else ""
        usual = {"engine": TORCH, "instances": 1, "devices": 1}
        options = {name: value for name, value in options.items() if value and value != usual.get(name)}
        if cost is not None:
            options["price"] = cost.price.argument
    names = {name: value for name, value in (sizes or profile.sizes).items() if name.isidentifier()}
    given = ", ".join(f"{name}={value!r}" for name, value in {**options, **names}.items())
    return f"ic.profile({repr(model) if ':' in model else 'model'}, {given})"  # a spec has a scheme


def terms_document() -> dict[str, Any]:
    """Return the JSON object of the meanings that the script shows."""
    return {
        "bounds": BOUNDS,
        "columns": COLUMNS,
        "terms": TERMS,
        "effects": {name: {"meaning": each.meaning, "remedy": each.remedy} for name, each in EFFECTS.items()},
    }

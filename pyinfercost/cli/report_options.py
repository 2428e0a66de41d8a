"""Option `--html`: the graph that a report can estimate at other points, and the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._checks import write_text
from ..sources.sizes import BATCH
from .output import command_line, say

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ..results.language_profile import LanguageProfile
    from ..results.profile import Profile
    from ..sources.captured import Captured, CapturedPhases


def captured_for(
    model: str, sizes: Mapping[str, Any], *, training: bool, shared: Collection[str], reported: bool
) -> Captured:
    """Return the graph of a model at its sizes.

    Args:
        model: A file or a spec, as in `capture`.
        sizes: Size name -> value.
        training: Whether to capture a training step.
        shared: Sizes that devices share, which stay named.
        reported: Whether a report estimates the graph at other points: the batch stays named where the capture allows
            that. It is the graph of the cache in any case, so that this takes no longer and changes no figure.
    """
    from ..sources.captured import graph_at

    if reported and not training and _has_batch(model):
        return graph_at(model, {BATCH: 1, **sizes}, shared={*shared, BATCH})
    return graph_at(model, sizes, training=training, shared=shared)


def phases_for(model: str, sizes: Mapping[str, Any], *, shared: Collection[str], reported: bool) -> CapturedPhases:
    """Return the graphs of both phases of a language model; arguments as of `captured_for`."""
    from ..sources.captured import phases_at

    if reported:
        return phases_at(model, {BATCH: 1, **sizes}, shared={*shared, BATCH})
    return phases_at(model, sizes, shared=shared)


def _has_batch(model: str) -> bool:
    from ..sources.registry import is_library_model

    return is_library_model(model)


def write_report(result: Profile | LanguageProfile, path: str, *, hint: str = "") -> None:
    """Write a report and print its path on stderr.

    Args:
        result: The profile, of one phase or of both.
        path: Path of the file.
        hint: What would shorten the forward most.
    """
    write_text(path, result.to_html(hint=hint, command=command_line()))
    say(f"Report written to {path}")

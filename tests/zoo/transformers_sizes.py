"""Sizes at which a small model of any type is run: those of these that it has."""

from __future__ import annotations

from collections.abc import Mapping

from pyinfercost.capture.model_spec import LoadedModel, SpecError, load_model

SIZES = {"sequence": 24, "seconds": 1, "frames": 4}


def accepted(spec: str, sizes: Mapping[str, int]) -> LoadedModel:
    """The model of a spec at small sizes."""
    wanted = {**SIZES, **sizes}
    while True:
        try:
            return load_model(spec, wanted)
        except SpecError as error:
            refused = next((name for name in wanted if f"has no size {name!r}" in str(error)), None)
            if refused is None:
                raise
            del wanted[refused]

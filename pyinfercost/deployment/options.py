"""Types of the keywords of functions that take the fields of a deployment; `nox -s stubs` writes them for checkers."""

from __future__ import annotations

from typing import Any, TypedDict

from .deployment import OPTIONS

SIZES = ("batch", "sequence", "context", "prompt", "tokens", "image_size", "height", "width")
"""Sizes that type checkers accept as keywords. Others work, too, and `sizes=` is for them where types are checked."""

DeploymentOptions: Any = TypedDict("DeploymentOptions", dict.fromkeys(OPTIONS, Any), total=False)
"""Fields of a `Deployment`."""

SizedOptions: Any = TypedDict("SizedOptions", dict.fromkeys((*OPTIONS, *SIZES), Any), total=False)
"""Fields of a `Deployment`, and sizes."""

DeploymentAxes: Any = TypedDict("DeploymentAxes", dict.fromkeys((*OPTIONS, *SIZES), Any), total=False)
"""Fields of a `Deployment` and sizes, with one value or several each."""

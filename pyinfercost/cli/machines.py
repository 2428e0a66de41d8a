"""Machines on the command line: ids, files, `all`, or a kind of machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .deployment_options import usage_errors
from .output import say

if TYPE_CHECKING:
    from .._core import Hardware
    from ..deployment import Deployment

ALL = "all"
KINDS = ("cpu", "gpu", "systolic")


def machine_of(name: str) -> Hardware:
    """Return one machine. An unknown name is a usage error (exit code 2); an invalid file is a failure (1)."""
    from ..hardware import load

    with usage_errors():
        return load(name)


def deployments_of(text: str, shared: Deployment | None, **fields: Any) -> list[Deployment]:
    """Return one deployment for each machine of a comma-separated list of ids, files, `all`, `cpu`, `gpu`, `systolic`.

    Machines of a group that lack data required by estimates are left out and reported on stderr.

    Args:
        text: The list.
        shared: Deployment that provides all other fields.
        **fields: Fields to set on every deployment.
    """
    from ..deployment import deployment_of
    from ..hardware import MissingFactError

    found: dict[str, Deployment] = {}
    lacking: list[str] = []
    for part in text.split(","):
        is_group = part == ALL or part in KINDS
        for name in _group(part) if is_group else [part]:
            try:
                with usage_errors():
                    found[name] = deployment_of(shared, hardware=name, **fields)
            except MissingFactError:
                if not is_group:
                    raise
                lacking.append(name)
    if lacking:
        say(f"Left out because data is missing: {', '.join(dict.fromkeys(lacking))}")
    return list(found.values())


def _group(group: str) -> list[str]:
    from ..hardware import describe, names

    return [name for name in names() if group == ALL or describe(name)["kind"] == group]

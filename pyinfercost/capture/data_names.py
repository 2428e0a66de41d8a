"""Names of the sizes that depend on data, and what is said about where they come from. Imports no torch."""

from __future__ import annotations

import re

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.]")

ROOT = "forward"
"""What stands in a name for the model itself, which has no path."""


class DataNames:
    """Names that are given out once: `roi_heads.nms`, `roi_heads.nms_2`."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def peek(self, module: str, what: str) -> str:
        """What `next` would give."""
        base = _base(module, what)
        number = self._given.get(base, 0) + 1
        return base if number == 1 else f"{base}_{number}"

    def next(self, module: str, what: str) -> str:
        """The next name for a size that an op of a module brings up.

        Args:
            module: The path of the module.
            what: The op, or what is counted: `nms`.
        """
        name = self.peek(module, what)
        base = _base(module, what)
        self._given[base] = self._given.get(base, 0) + 1
        return name


def _base(module: str, what: str) -> str:
    path = _NOT_IN_NAMES.sub("_", module)
    if not path or path[0].isdigit():
        path = f"{ROOT}.{path}" if path else ROOT
    return f"{path}.{_NOT_IN_NAMES.sub('_', what)}"

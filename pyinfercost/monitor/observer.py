"""Interface of observers of a live model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..results.live import Snapshot


class Observer(Protocol):
    """An observer of a model: `Monitor` in its process, `Sidecar` from outside."""

    def snapshot(self) -> Snapshot:
        """Return the figures of this moment. Callable from any thread; it never raises on behalf of the model."""

"""Interface of what observes a live model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..results.live import Snapshot


class Observer(Protocol):
    """Something that counts what a model does: `Monitor` in its process, `Sidecar` from outside."""

    def snapshot(self) -> Snapshot:
        """Return the figures of this moment. Callable from any thread; it never raises on behalf of the model."""

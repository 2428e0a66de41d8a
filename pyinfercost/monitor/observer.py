"""Interface of observers of a live model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..deployment import Deployment
    from ..results.live import Snapshot


class Observer(Protocol):
    """An observer of a model: `Monitor` in its process, `Sidecar` from outside."""

    def snapshot(self) -> Snapshot:
        """Return the figures of this moment. Callable from any thread; it never raises on behalf of the model."""


def info_of(on: Deployment, observer: str, run: str, *, model: str, engine: str, precision: str) -> dict[str, str]:
    """Return the texts of snapshots, without empty ones."""
    known = {
        "model": model,
        "hardware": "" if on.hardware is None else on.machine.id,
        "engine": engine,
        "precision": precision,
        "layout": "" if on.layout is None else str(on.rank_layout),
        "observer": observer,
        "run": run,
    }
    return {name: value for name, value in known.items() if value}

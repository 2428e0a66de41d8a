"""Where models that are asked for in words get their weights: on meta, unless someone wants to run them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_DEVICE: ContextVar[str] = ContextVar("build_device", default="meta")


def build_device() -> str:
    """The device that builders of models make weights and buffers on."""
    return _DEVICE.get()


@contextmanager
def building_on(device: str) -> Iterator[None]:
    """Has builders make real weights on a device, as the model's constructor initialises them."""
    token = _DEVICE.set(device)
    try:
        yield
    finally:
        _DEVICE.reset(token)

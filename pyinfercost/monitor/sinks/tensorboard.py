"""TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

from .protocol import library


class TensorBoard:
    """Scalars in an event file.

    Args:
        log_dir: The folder of the event file, which is made at the first record; or a `SummaryWriter` of torch or of
            tensorboardX, which is flushed and stays open.

    Raises:
        ImportError: There is no torch or no tensorboard.
    """

    def __init__(self, log_dir: str | PathLike[str] | Any) -> None:
        self._made = isinstance(log_dir, (str, PathLike))
        if self._made:
            library("tensorboard", "the sink TensorBoard", "tensorboard")
            self._module = library("torch.utils.tensorboard", "the sink TensorBoard", "tensorboard")
            self._log_dir = fspath(log_dir)
            self._writer: Any = None
        elif hasattr(log_dir, "add_scalar"):
            self._writer = log_dir
        else:
            raise TypeError(f"TensorBoard takes a folder or a SummaryWriter, not {log_dir!r}")

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Adds a scalar for each figure."""
        if self._writer is None:
            self._writer = self._module.SummaryWriter(self._log_dir)
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Closes the event file where this has opened it."""
        if self._writer is None:
            return
        if self._made:
            self._writer.close()
            self._writer = None  # a later record opens another event file in the same folder
        else:
            self._writer.flush()

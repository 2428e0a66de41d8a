"""States of trainings, in a file or in memory, from which an interrupted training continues."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from .._checks import errors_of_writing, path_of
from . import DistillationError

SCHEMA_VERSION = 1
_KIND = "pyinfercost.distillation"


class TrainingStore:
    """The last state of one training.

    Args:
        path: File of the state, which is replaced as a whole; None keeps it in memory.
    """

    def __init__(self, path: str | PathLike[str] | None = None) -> None:
        self._path = None if path is None else path_of(path)
        self._held: dict[str, Any] | None = None

    def __str__(self) -> str:
        return "memory" if self._path is None else str(self._path)

    @property
    def path(self) -> Path | None:
        """The file; None in memory."""
        return self._path

    def save(self, identity: Mapping[str, str], state: Mapping[str, Any]) -> None:
        """Store a state.

        Args:
            identity: Inputs of the training, by name.
            state: Its tensors and figures, which this copies.

        Raises:
            FileAccessError: The file cannot be written.
        """
        document = {"kind": _KIND, "schema_version": SCHEMA_VERSION, "identity": dict(identity), "state": dict(state)}
        if self._path is None:
            self._held = _copied(document)
            return
        written = self._path.with_name(f"{self._path.name}.part")
        with errors_of_writing(self._path):
            torch.save(document, written)
            written.replace(self._path)  # a killed process leaves the earlier state

    def load(self, identity: Mapping[str, str]) -> dict[str, Any] | None:
        """Return the stored state; None if there is none.

        Raises:
            DistillationError: The file has no state, or the state of another training.
        """
        document = self._document()
        if document is None:
            return None
        held = document["identity"]
        if self._path is None and held != dict(identity):
            return None  # the state of another student, which nobody asked to keep
        different = [name for name in {**held, **identity} if held.get(name) != identity.get(name)]
        if different:
            said = "; ".join(f"{name} was {held.get(name)!r} and is {identity.get(name)!r}" for name in different)
            raise DistillationError(
                f"{self} has the training of another student: {said}; pass another file, or remove this one"
            )
        state: dict[str, Any] = document["state"]
        return state

    def _document(self) -> dict[str, Any] | None:
        if self._path is None:
            return None if self._held is None else _copied(self._held)
        if not self._path.exists():
            return None
        return read_document(self._path)


def read_document(path: Path) -> dict[str, Any]:
    """Return the content of a file of a training.

    Raises:
        DistillationError: It is no such file.
    """
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
        fitting = document["kind"] == _KIND and document["schema_version"] == SCHEMA_VERSION
    except Exception as error:  # torch's reader raises many kinds for damaged content
        raise DistillationError(f"{path} is not the file of a training ({error}); pass another one") from error
    if not fitting:
        raise DistillationError(f"{path} is not a training of version {SCHEMA_VERSION}; pass another file")
    found: dict[str, Any] = document
    return found


def _copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(each) for each in value)
    return value

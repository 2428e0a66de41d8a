"""Constants fitted on all devices but one, for predicting that one."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pyinfercost
from pyinfercost import _core

from .fitting.machines import Machine
from .measured import MeasuredError

_MODELS = 80  # of the table of whole models that are fitted to; more change errors little


def constants_without(device: str, measured: Path, cache: Path) -> Path:
    """A folder of calibration files that were fitted without a device's rows.

    It is fitted once for the same measurements, package, fit and device, and found in the cache from then on.

    Args:
        device: the device to leave out.
        measured: the folder of measurements.
        cache: where fitted folders are kept.

    Raises:
        MeasuredError: there is no fit.
    """
    try:
        from .fit import fit  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise MeasuredError(
            "leaving a device out needs benchmarks/accuracy/fit.py with `fit(measured, out, without)`, which writes a "
            f"folder of calibration files; it cannot be imported ({error})"
        ) from error
    folder = cache / "fitted" / digest(device, measured)
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # What is found under the final name is whole, whoever stops this in between.
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            fit(measured, unfinished, device, sample=_MODELS, only=Machine.find(device).kind, cache=cache)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def digest(device: str, measured: Path) -> str:
    """What a fit without a device depends on: the measurements, this package, that of the product, and the device."""
    found = hashlib.sha256(device.encode())
    sources = [*_files(measured, ("*.csv", "*.json")), *_files(Path(__file__).parent, ("*.py",))]
    package = Path(pyinfercost.__file__).parent
    for path in [*sources, *_files(package, ("*.py", "*.toml")), Path(_core.__file__)]:
        found.update(path.name.encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:24]


def _files(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.rglob(pattern))

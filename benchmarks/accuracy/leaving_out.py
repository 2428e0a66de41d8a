"""Constants fitted on all devices except one, for predictions of that one."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pyinfercost
from pyinfercost import _core

from .measured import MeasuredError

_MODELS = 80  # number of whole models in the fit; more change errors little


def constants_without(device: str, measured: Path, cache: Path) -> Path:
    """Return a folder of calibration files that were fitted without a device's rows.

    It is fitted once for the same measurements, package, fit and device, and cached. Constants that are not fitted
    are the package's own.

    Args:
        device: The device to leave out.
        measured: The folder of measurements.
        cache: Folder for fitted folders.

    Returns:
        The folder of calibration files.

    Raises:
        MeasuredError: There is no fit.
    """
    try:
        from .fit import fit_without  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise MeasuredError(
            "leaving a device out needs benchmarks/accuracy/fit.py with `fit_without(measured, out, device)`, which "
            f"writes a folder of calibration files, but it cannot be imported ({error})"
        ) from error
    folder = cache / "fitted" / digest(device, measured)
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # A folder under the final name is complete, even if this function is interrupted.
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            fit_without(measured, unfinished, device, sample=_MODELS, cache=cache)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def digest(device: str, measured: Path) -> str:
    """Return a digest of the inputs of a fit: measurements, this package, pyinfercost, and the device."""
    found = hashlib.sha256(device.encode())
    sources = [*_files(measured, ("*.csv", "*.json")), *_files(Path(__file__).parent, ("*.py",))]
    package = Path(pyinfercost.__file__).parent
    for path in [*sources, *_files(package, ("*.py", "*.toml")), Path(_core.__file__)]:
        found.update(path.name.encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:24]


def _files(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.rglob(pattern))

"""`--hardware this`: the processor that the command runs on."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from .. import _cache
from .._escapes import visible_lines

_MEASURED = "this.toml"


def this_file() -> str:
    """Return the hardware file of this processor: `this.toml` of a calibration, else one without measurements."""
    if Path(_MEASURED).is_file():
        return _MEASURED
    from ..measuring.described import described
    from ..measuring.machine import this_machine
    from ..measuring.toml import as_toml

    machine = this_machine()
    place = Path(_cache.folder() or tempfile.mkdtemp(prefix="pyinfercost-"))
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=place, suffix=".toml", delete=False, encoding="utf-8") as file:
        file.write(as_toml(described(machine)))
    path = Path(file.name).replace(place / "this-machine.toml")  # another command may read it now
    told = f"this: {machine.name}, {machine.cores} cores, as its system describes it"
    click.echo(visible_lines(f"{told}; `pyinfercost calibrate --output {_MEASURED}` measures it"), err=True)
    return str(path)

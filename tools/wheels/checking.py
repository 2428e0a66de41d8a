"""Checks of a built wheel: the C library that it needs, its size and its content; auditwheel renames it."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

from .targets import GLIBC, MOST_BYTES, Target


def repair(wheel: Path, dist: Path) -> Path:
    """Give a wheel the tag of the oldest C library that it runs with, and return its new path in `dist`."""
    dist.mkdir(parents=True, exist_ok=True)
    name = wheel.name.replace("-linux_", "-*linux*_")
    for old in dist.glob(name):
        old.unlink()
    # It knows the tags of this machine by name, and finds those of the wheel's.
    _auditwheel("repair", "--plat", "auto", "--wheel-dir", str(dist), str(wheel))
    (repaired,) = dist.glob(name)
    return repaired


def check(target: Target, wheel: Path) -> str:
    """Check a wheel, and return what auditwheel says and its size, in words."""
    said = _auditwheel("show", str(wheel))
    found = re.search(r"platform tag:\s*\"manylinux_(\d+)_(\d+)_(\w+)\"", said)
    if found is None or found[3] != target.architecture.name:
        raise SystemExit(f"{wheel.name} is no manylinux wheel of {target.architecture.name}; auditwheel says:\n{said}")
    needed = (int(found[1]), int(found[2]))
    if needed > tuple(map(int, GLIBC.split("."))):
        raise SystemExit(f"{wheel.name} needs glibc {found[1]}.{found[2]}; expected {GLIBC} or older")
    size = wheel.stat().st_size
    if size > MOST_BYTES:
        raise SystemExit(f"{wheel.name} has {size:,} bytes; expected at most {MOST_BYTES:,}")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    modules = [name for name in names if name.endswith(".so")]
    if modules != [f"pyinfercost/_core{target.suffix}"]:
        raise SystemExit(f"{wheel.name} has the modules {modules}; expected pyinfercost/_core{target.suffix} alone")
    if strange := [name for name in names if not name.startswith("pyinfercost")]:
        raise SystemExit(f"{wheel.name} has {strange[0]}, which is no part of the package")
    return f"glibc {found[1]}.{found[2]}, {size / 1e6:.2f} MB"


def _auditwheel(*arguments: str) -> str:
    run = subprocess.run([sys.executable, "-m", "auditwheel", *arguments], capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"auditwheel {arguments[0]} failed:\n{run.stdout}{run.stderr}")
    return " ".join(run.stdout.split())

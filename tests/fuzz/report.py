"""The table and the summary of a run."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from .runner import Run, Tally

_HOUR_S = 3600
_COLUMNS = ("door", "inputs", "accepted", "refused", "failed", "faults", "inputs/s", "slowest", "peak")


def sanitized() -> bool:
    """Whether the core runs under the address sanitizer."""
    return "libasan" in os.environ.get("LD_PRELOAD", "") or "libclang_rt.asan" in os.environ.get("LD_PRELOAD", "")


def table(run: Run) -> str:
    """Return the numbers of all doors as text."""
    rows = [_COLUMNS, *(_row(name, tally) for name, tally in run.tallies.items()), _row("all", _total(run))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def summary(run: Run, wall_s: float) -> dict[str, Any]:
    """Return the numbers of a run as a JSON object."""
    total = _total(run)
    return {
        "commit": _commit(),
        "build": "sanitize" if sanitized() else "release",
        "platform": platform.platform(),
        "python": platform.python_version(),
        "seed": run.seed,
        "jobs": run.jobs,
        "hours": wall_s / _HOUR_S,
        "limits": {"cpu_s": run.limits.cpu_s, "memory_bytes": run.limits.memory_bytes},
        "inputs": total.inputs,
        "failed": total.failed,
        "doors": {
            name: {
                "inputs": tally.inputs,
                "accepted": tally.accepted,
                "refused": tally.refused,
                "failed": tally.failed,
                "seconds": tally.seconds,
                "slowest_s": tally.slowest_s,
                "slowest": tally.slowest,
                "peak_bytes": tally.peak_bytes,
                "digest": tally.digest,
                "faults": [
                    {"kind": kind, "what": what, "inputs": count} for (kind, what), count in tally.faults.items()
                ],
            }
            for name, tally in run.tallies.items()
        },
    }


def write_summary(path: Path, run: Run, wall_s: float) -> None:
    """Write the numbers of a run as JSON."""
    path.write_text(json.dumps(summary(run, wall_s), indent=2) + "\n", encoding="utf-8")


def _row(name: str, tally: Tally) -> tuple[str, ...]:
    return (
        name,
        f"{tally.inputs:,}",
        f"{tally.accepted:,}",
        f"{tally.refused:,}",
        f"{tally.failed:,}",
        f"{len(tally.faults):,}",
        f"{tally.inputs / tally.seconds:,.0f}" if tally.seconds else "",
        f"{tally.slowest_s * 1000:,.0f} ms",
        f"{tally.peak_bytes / 2**20:,.0f} MiB",
    )


def _total(run: Run) -> Tally:
    total = Tally(0)
    for tally in run.tallies.values():
        for name in ("accepted", "refused", "failed", "seconds"):
            setattr(total, name, getattr(total, name) + getattr(tally, name))
        total.slowest_s = max(total.slowest_s, tally.slowest_s)
        total.peak_bytes = max(total.peak_bytes, tally.peak_bytes)
        total.faults |= tally.faults
    return total


def _commit() -> str:
    """Return the commit of the working tree, with `+` behind it if files have changed since; empty without git."""
    root = Path(__file__).parents[2]
    try:
        commit, changes = (
            subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()
            for arguments in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit + ("+" if changes else "")

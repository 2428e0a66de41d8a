"""Scan of a weight file larger than half of memory: `python benchmarks/scan_large.py FOLDER --gigabytes 20`.

The file is written block by block and removed at the end. It is scanned in a separate process, whose peak resident
memory, including mapped pages, is read from `VmHWM`.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np

COLUMNS = 8192
ROWS = 65536  # of a bf16 weight of 1.07 GB
BLOCK_ROWS = 4096

_SCANNED = """
import re, sys, time
import pyinfercost as ic
def resident_mb(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1000
import numpy
before = resident_mb("VmRSS")
start = time.perf_counter()
found = ic.sparsity(sys.argv[1], threads=2)
seconds = time.perf_counter() - start
print(f"{found.total.elements:,} elements, {found.total.zeros:,} zeros, {seconds:.1f} s; "
      f"resident {before:.0f} MB before, {resident_mb('VmHWM'):.0f} MB at most")
"""


def write(path: Path, gigabytes: float) -> int:
    """Write weights of the given total size, with every fourth element zero; return the number of zeros."""
    nbytes = 2 * ROWS * COLUMNS
    count = max(1, round(gigabytes * 1e9 / nbytes))
    header = {
        f"layers.{n}.weight": {
            "dtype": "BF16",
            "shape": [ROWS, COLUMNS],
            "data_offsets": [n * nbytes, (n + 1) * nbytes],
        }
        for n in range(count)
    }
    text = json.dumps(header).encode()
    block = np.random.default_rng(0).integers(1, 2**15, size=(BLOCK_ROWS, COLUMNS), dtype=np.uint16)
    block[:, ::4] = 0
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _ in range(count * ROWS // BLOCK_ROWS):
            file.write(block.data)
    return count * ROWS * COLUMNS // 4


def main() -> None:
    """Print the zeros found, the duration, and the peak resident memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=20)
    given = parser.parse_args()
    path = given.folder / "large.safetensors"
    try:
        zeros = write(path, given.gigabytes)
        print(f"{path.stat().st_size / 1e9:.1f} GB, {zeros:,} zeros written")
        subprocess.run([sys.executable, "-c", _SCANNED, path], check=True)
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()

"""Processes of torch.distributed on this machine, one for each rank."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

_SUPPORT = Path(__file__).parent


def printed_by_ranks(worker: str, ranks: int, *arguments: object) -> list[Any]:
    """Return what each rank prints in its last line, as JSON.

    Args:
        worker: Script in this folder; its arguments are the rank, the number of ranks, a free port, and `arguments`.
        ranks: Number of processes.
        arguments: Further arguments.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    last = [str(ranks), str(port), *map(str, arguments)]
    processes = [
        subprocess.Popen(
            [sys.executable, str(_SUPPORT / worker), str(rank), *last],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(ranks)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=300) for process in processes]
    codes = [process.returncode for process in processes]
    assert codes == [0] * ranks, f"{codes}: {outputs[next(i for i, code in enumerate(codes) if code)][1][-2000:]}"
    return [json.loads(output.splitlines()[-1]) for output, _ in outputs]

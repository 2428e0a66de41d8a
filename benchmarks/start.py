"""How long a command takes from start to exit, beside `import torch`: `python -m benchmarks.start`.

Commands and the import alternate, so that load on the machine affects both; the ratio is that of the medians, in wall
and in processor time. The first run of each command, which captures the model, is left out.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROUNDS = 11
COMMANDS = {
    "profile resnet50, -H l4": ("profile", "torchvision:resnet50", "-H", "l4"),
    "profile, another batch and precision": (
        *("profile", "torchvision:resnet50", "-H", "h100-sxm-80gb"),
        *("--batch", "32", "--precision", "fp16"),
    ),
    "profile --format json": ("profile", "torchvision:resnet50", "-H", "l4", "--format", "json"),
    "sweep, 4 batches": ("sweep", "torchvision:resnet50", "-H", "l4", "--batch", "1,8,64,256"),
    "hardware l4": ("hardware", "l4"),
    "--version": ("--version",),
    "completion of a machine": ("profile", "x", "-H", "h1"),
}
_COMPLETED = "completion of a machine"


def seconds(words: list[str], env: dict[str, str], cwd: Path) -> tuple[float, float]:
    """Return the wall and the processor time of a process, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(words, env=env, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Time all commands, and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        cwd = Path(folder)
        env = {**os.environ, "PYINFERCOST_CACHE_DIR": str(cwd / "cache")}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
        runs = {name: ([sys.executable, "-m", "pyinfercost", *words], env) for name, words in COMMANDS.items()}
        line = " ".join(["pyinfercost", *COMMANDS[_COMPLETED]])
        complete = {**env, "_PYINFERCOST_COMPLETE": "bash_complete", "COMP_LINE": line}
        runs[_COMPLETED] = ([sys.executable, "-m", "pyinfercost"], complete)
        runs["import torch"] = ([sys.executable, "-c", "import torch"], env)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for turn in range(ROUNDS + 1):
            for name, (words, variables) in runs.items():
                took = seconds(words, variables, cwd)
                if turn:
                    found[name].append(took)
    of_torch = [median(times) for times in zip(*found["import torch"], strict=True)]
    print(f"{'':40} wall ms  of torch  processor ms  of torch")
    for name, times in found.items():
        wall, cpu = (median(each) for each in zip(*times, strict=True))
        print(f"{name:40} {wall * 1e3:7.0f}  {wall / of_torch[0]:8.3f}  {cpu * 1e3:12.0f}  {cpu / of_torch[1]:8.3f}")


if __name__ == "__main__":
    main()

"""First call in a new process: prints its seconds and its result as JSON, excluding imports and building the model.

Usage: python first_call.py capture|forward|export CONFIG.json
"""

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

# Last, and the script is started by path: the package is the one of the benchmark run.
sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.symbolic import SIZES, LargeModel

warnings.simplefilter("ignore")  # torch.export warns about its own internals


def main() -> None:
    what, config = sys.argv[1:]
    model = LargeModel(config)
    run: Any = getattr(model, what)
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    answer = model.flops(result, SIZES) if what == "capture" else None
    sys.stdout.write(json.dumps({"seconds": seconds, "contraction_flops": answer}))


if __name__ == "__main__":
    main()

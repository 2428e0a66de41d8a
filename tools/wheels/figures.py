"""Counts and estimates of graphs as JSON, to the last bit: `python figures.py [FOLDER]`.

Wheels of all interpreters and architectures print the same bytes. Without a folder of stored graphs (`*.json`), the
graph is a small one that is built here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyinfercost as ic

HARDWARE = ("a100-sxm-80gb", "h100-sxm-80gb", "l4", "mi300x", "epyc-9654", "xeon-8480+", "apple-m1-max", "tpu-v5e")
PRECISIONS = ("native", "fp16", "bf16", "int8")
EXECUTIONS = ("eager", "compiled", "cuda_graph")
BATCHES = (1, 8, 33)


def built() -> ic.Graph:
    """A convolution, a block of attention, and a classifier, with a batch that stays symbolic."""
    builder = ic.GraphBuilder("small")
    batch = builder.size("batch", default=1)
    x = builder.tensor("float32", (batch, 3, 32, 32), role="input", name="x")
    kernel = builder.tensor("float32", (64, 3, 4, 4), role="parameter", name="patch.weight")
    patches = builder.tensor("float32", (batch, 64, 8, 8))
    sizes = {"stride": [4, 4], "padding": [0, 0], "dilation": [1, 1], "groups": 1}
    builder.node("aten.conv2d.default", {"input": x, "weight": kernel, **sizes}, [patches], module="patch")
    tokens = builder.tensor("float32", (batch, 64, 64))
    builder.node("aten.reshape.default", {"self": patches, "shape": [batch, 64, 64]}, [tokens], module="patch")
    attended = builder.tensor("float32", (batch, 64, 64))
    operands = dict.fromkeys(("query", "key", "value"), tokens)
    builder.node("aten.scaled_dot_product_attention.default", operands, [attended], module="attention")
    activated = builder.tensor("float32", (batch, 64, 64))
    builder.node("aten.gelu.default", {"self": attended}, [activated], module="activation")
    weight = builder.tensor("float32", (10, 64), role="parameter", name="head.weight")
    y = builder.tensor("float32", (batch, 64, 10))
    builder.node("aten.linear.default", {"input": activated, "weight": weight}, [y], module="head")
    return builder.build([x], [y])


def figures(graph: ic.Graph) -> dict[str, object]:
    """The counts of each module, and the estimates on all machines."""
    found: dict[str, object] = {}
    for batch in BATCHES:
        sizes = {"batch": batch} if "batch" in graph.sizes else {}
        counts = ic.count(graph, sizes=sizes)
        found[f"{batch}"] = {name: row.to_dict() for name, row in counts.by_module().items()}
        for hardware in HARDWARE:
            for precision in PRECISIONS:
                for execution in EXECUTIONS:
                    point = f"{batch} {hardware} {precision} {execution}"
                    try:
                        estimate = ic.estimate(
                            graph, hardware=hardware, precision=precision, execution=execution, sizes=sizes
                        )
                        found[point] = estimate.to_dict()
                    except ic.Error as error:  # a precision or an execution that the machine does not have
                        found[point] = str(error)
    return found


def main() -> None:
    """Print the figures of all graphs."""
    paths = [path for folder in sys.argv[1:] for path in sorted(Path(folder).glob("*.json"))]
    graphs = {path.name: ic.Graph.from_json(path.read_text(encoding="utf-8")) for path in paths}
    json.dump(
        {name: figures(graph) for name, graph in {**graphs, "built": built()}.items()}, sys.stdout, sort_keys=True
    )


if __name__ == "__main__":
    main()

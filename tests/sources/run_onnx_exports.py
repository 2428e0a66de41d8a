"""Exports modules to ONNX and compares the counts of the files with those of the modules; writes a summary.

`nox -s onnx` runs it: `python tests/sources/run_onnx_exports.py [NAME ...]`. Modules are on the meta device, and the
files have no weights. The optimizer of `torch.onnx.export` is off: it folds batch norms into convolutions and tables
into constants, so that its files have other parameters than the module.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.onnx_exports import exported

import pyinfercost as ic

SUMMARY = Path(__file__).parents[1] / "golden" / "onnx_exports.md"
OPSETS = (18, 25)  # that of torch's own translations, and the newest that torch.onnx.export writes
EXPORTED_BATCH, COUNTED_BATCH = 2, 5
FIGURES = ("contraction_flops", "parameters", "parameter_bytes")


class Case(NamedTuple):
    """A module to export.

    Attributes:
        name: Its name.
        make: Returns the module.
        inputs: Returns its named inputs for a batch.
    """

    name: str
    make: Callable[[], Any]
    inputs: Callable[[int], dict[str, Any]]


def torchvision_cases() -> Iterator[Case]:
    """Yield the classification models of torchvision."""
    import torch
    import torchvision

    for name in torchvision.models.list_models(module=torchvision.models):
        side = int(torchvision.models.get_model_weights(name).DEFAULT.transforms().crop_size[0])

        def inputs(batch: int, side: int = side) -> dict[str, Any]:
            return {"x": torch.empty(batch, 3, side, side)}

        def make(name: str = name) -> Any:
            extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
            return torchvision.models.get_model(name, **extra)

        yield Case(f"torchvision:{name}", make, inputs)


def transformers_cases() -> Iterator[Case]:
    """Yield models of transformers, with four layers."""
    import torch
    import transformers

    def tokens(batch: int) -> dict[str, Any]:
        return {"input_ids": torch.zeros(batch, 64, dtype=torch.int64)}

    def images(batch: int) -> dict[str, Any]:
        return {"pixel_values": torch.empty(batch, 3, 224, 224)}

    def pairs(batch: int) -> dict[str, Any]:
        ids = torch.zeros(batch, 64, dtype=torch.int64)
        return {"input_ids": ids, "decoder_input_ids": ids[:, :16]}

    def sound(batch: int) -> dict[str, Any]:
        return {"input_values": torch.empty(batch, 16000)}

    short: dict[str, Any] = {"num_hidden_layers": 4, "use_cache": False}
    rows: tuple[tuple[str, str, dict[str, Any], Callable[[int], dict[str, Any]]], ...] = (
        ("BertModel", "BertConfig", {"num_hidden_layers": 4}, tokens),
        ("DistilBertModel", "DistilBertConfig", {"n_layers": 4}, tokens),
        ("RobertaForMaskedLM", "RobertaConfig", {"num_hidden_layers": 4}, tokens),
        ("GPT2LMHeadModel", "GPT2Config", {"n_layer": 4, "use_cache": False}, tokens),
        ("LlamaForCausalLM", "LlamaConfig", {**short, "num_key_value_heads": 8}, tokens),
        ("Qwen2ForCausalLM", "Qwen2Config", short, tokens),
        ("GemmaForCausalLM", "GemmaConfig", short, tokens),
        ("T5ForConditionalGeneration", "T5Config", {"num_layers": 4, "use_cache": False}, pairs),
        ("ViTForImageClassification", "ViTConfig", {"num_hidden_layers": 4}, images),
        ("SwinForImageClassification", "SwinConfig", {}, images),
        ("Wav2Vec2Model", "Wav2Vec2Config", {"num_hidden_layers": 4}, sound),
        ("ConvNextForImageClassification", "ConvNextConfig", {}, images),
    )
    for model, config, options, inputs in rows:

        def make(model: str = model, config: str = config, options: dict[str, Any] = options) -> Any:
            return getattr(transformers, model)(getattr(transformers, config)(**options))

        yield Case(f"transformers:{model}", make, inputs)


def compare(case: Case, opset: int) -> tuple[dict[str, tuple[Any, Any]], int, list[str]]:
    """Return the figures of the file and of the module, the nodes of the file's graph, and its ledger."""
    import torch

    with torch.device("meta"):
        module = case.make().eval()
        inputs = case.inputs(EXPORTED_BATCH)
        larger = case.inputs(COUNTED_BATCH)
    dynamic = {name: {0: "batch"} for name in inputs}
    proto = exported(module, (), dynamic, opset, inputs)
    graph = ic.capture(proto)
    file = ic.count(graph, batch=COUNTED_BATCH)
    own = ic.count(ic.capture(module, larger))
    found = {name: (getattr(file.total, name), getattr(own.total, name)) for name in FIGURES}
    return found, len(graph), list(file.unmodelled)


def main(names: list[str]) -> int:
    """Run the cases whose names contain one of the given names; write the summary if all are run."""
    lines = [
        "Modules exported by `torch.onnx.export` with a dynamic batch: contraction FLOPs, parameters and bytes of the",
        "file, at another batch than that of the export, beside those of the module.",
        "",
        "| model | operator set | nodes | contraction FLOPs | parameters | bytes | in the ledger |",
        "|---|---|---|---|---|---|---|",
    ]
    unequal = 0
    for case in (*torchvision_cases(), *transformers_cases()):
        if names and not any(name in case.name for name in names):
            continue
        for opset in OPSETS:
            start = time.process_time()
            try:
                found, nodes, ledger = compare(case, opset)
            except Exception as error:  # what torch cannot export is a row, too
                what = f"{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else ''}"
                lines.append(f"| {case.name} | {opset} | | not exported: {what} | | | |")
                unequal += 1
                print(lines[-1], flush=True)
                continue
            cells = ["equal" if file == own else f"{file} instead of {own}" for file, own in found.values()]
            unequal += any(cell != "equal" for cell in cells) or bool(ledger)
            lines.append(f"| {case.name} | {opset} | {nodes} | {' | '.join(cells)} | {', '.join(ledger)} |")
            print(lines[-1], f"{time.process_time() - start:.1f} s", flush=True)
    if not names:
        SUMMARY.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{unequal} of {len(lines) - 5} differ", flush=True)
    return 1 if unequal else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

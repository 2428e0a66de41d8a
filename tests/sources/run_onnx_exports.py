"""Exports modules to ONNX and compares the counts of the files with those of the modules; writes a summary.

`nox -s onnx` runs it: `python tests/sources/run_onnx_exports.py [--rows FILE] [NAME ...]`. Modules are on the meta
device, and the files have no weights. The optimizer of `torch.onnx.export` is off: it folds batch norms into
convolutions and tables into constants, so that its files have other parameters than the module.

`--rows FILE` keeps each row as soon as it is known. A later run with that file computes the others, and processes that
run at the same time with other names may share it; each writes the summary of all rows in it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.onnx_exports import exported

import pyinfercost as ic
from pyinfercost.sources.loaded_model import build

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
        if name.startswith("vit_"):
            side = 224  # without weights, it is built for images of this size

        def inputs(batch: int, side: int = side) -> dict[str, Any]:
            return {"x": torch.empty(batch, 3, side, side)}

        def make(name: str = name) -> Any:
            # Their second classifiers serve training: the exporter leaves out weights that no forward reads.
            extra = {"init_weights": False, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
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
    unmasked = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}
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
        # Without masks of training, whose embedding no forward reads: the exporter would leave it out.
        ("Wav2Vec2Model", "Wav2Vec2Config", {"num_hidden_layers": 4, **unmasked}, sound),
        ("ConvNextForImageClassification", "ConvNextConfig", {}, images),
    )
    for model, config, options, inputs in rows:

        def make(model: str = model, config: str = config, options: dict[str, Any] = options) -> Any:
            return getattr(transformers, model)(getattr(transformers, config)(**options))

        yield Case(f"transformers:{model}", make, inputs)


class Row(NamedTuple):
    """What was found for one file.

    Attributes:
        name: Name of the case.
        opset: Version of the operators.
        nodes: Nodes of the file's graph.
        figures: Those of the file and of the module, in the order of `FIGURES`.
        ledger: Operators of the file without a cost.
        error: Why there is no file; empty if there is one.
    """

    name: str
    opset: int
    nodes: int
    figures: list[tuple[int, int]]
    ledger: list[str]
    error: str = ""

    @property
    def is_equal(self) -> bool:
        """Whether the file has the figures of the module and an empty ledger."""
        return not self.error and not self.ledger and all(file == own for file, own in self.figures)

    def line(self) -> str:
        """Return the row of the table."""
        if self.error:
            return f"| {self.name} | {self.opset} | | not exported: {self.error} | | | |"
        cells = ["equal" if file == own else f"{file} instead of {own}" for file, own in self.figures]
        return f"| {self.name} | {self.opset} | {self.nodes} | {' | '.join(cells)} | {', '.join(self.ledger)} |"


def compare(case: Case, opsets: list[int]) -> Iterator[Row]:
    """Yield the rows of a case; its module is counted once."""
    import torch

    module = build(case.make)
    with torch.device("meta"):
        inputs = case.inputs(EXPORTED_BATCH)
        larger = case.inputs(COUNTED_BATCH)
    own = ic.count(ic.capture(module, larger)).total
    for opset in opsets:
        try:
            proto = exported(module, (), {name: {0: "batch"} for name in inputs}, opset, inputs)
        except Exception as error:  # what torch cannot export is a row, too
            yield Row(case.name, opset, 0, [], [], _first_line(error))
            continue
        graph = ic.capture(proto)
        file = ic.count(graph, batch=COUNTED_BATCH)
        found = [(int(getattr(file.total, name)), int(getattr(own, name))) for name in FIGURES]
        yield Row(case.name, opset, len(graph), found, list(file.unmodelled))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:100]}".replace("|", "/")


def main(names: list[str], kept: Path | None) -> int:
    """Run the cases whose names contain one of the given names; write the summary of what is known of all."""
    known: dict[tuple[str, int], Row] = {}
    if kept is not None and kept.exists():
        rows = (Row(*json.loads(line)) for line in kept.read_text(encoding="utf-8").splitlines())
        known = {(row.name, row.opset): row for row in rows}
    cases = [*torchvision_cases(), *transformers_cases()]
    for case in cases:
        if names and not any(name in case.name for name in names):
            continue
        start = time.process_time()
        missing = [opset for opset in OPSETS if (case.name, opset) not in known]
        for row in compare(case, missing) if missing else ():
            known[row.name, row.opset] = row
            print(row.line(), f"{time.process_time() - start:.1f} s", flush=True)
            if kept is not None:
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    wanted = [(case.name, opset) for case in cases for opset in OPSETS]
    found = [known[each] for each in wanted if each in known]
    if kept is not None or not names:
        left = sorted({name for name, opset in wanted if (name, opset) not in known})
        rest = [f"{len(found)} of {len(wanted)} files. Not run yet: {', '.join(left)}.", ""] if left else []
        lines = (*_HEAD[:2], "", *rest, *_HEAD[2:], *(row.line() for row in found))
        SUMMARY.write_text("\n".join(lines) + "\n", encoding="utf-8")
    unequal = [row for row in found if not row.is_equal]
    for row in unequal:
        print(row.line())
    print(f"{len(unequal)} of {len(found)} differ", flush=True)
    return 1 if unequal else 0


_HEAD = (
    "Modules exported by `torch.onnx.export` with a dynamic batch: contraction FLOPs, parameters and bytes of the",
    "file, at another batch than that of the export, beside those of the module.",
    "| model | operator set | nodes | contraction FLOPs | parameters | bytes | in the ledger |",
    "|---|---|---|---|---|---|---|",
)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare exported ONNX files with their modules.")
    parser.add_argument("names", nargs="*", help="Parts of the names of cases; all by default.")
    parser.add_argument("--rows", type=Path, help="File that keeps rows.")
    given = parser.parse_args()
    sys.exit(main(given.names, given.rows))

"""Tactics of `ic.advise` applied for real on this CPU, and their measured savings beside the predicted ones.

    nice -n -18 pyinfercost calibrate --threads 1 --output this.toml
    nice -n -18 python -m benchmarks.advice_applied --hardware this.toml --measured applied.json [--every]
        [--rounds 7] [--seconds 0.3] [--only MODEL ...] [--predict] [--json SUMMARY.json]

For each model, the three tactics that the advice ranks first are applied to a module with random weights: channels are
taken out, linear layers quantized by torchao, modules compiled, cast, or exported to ONNX Runtime. Times are taken in
turns with the given model, per item, by as many threads as the file of the calibration has cores. With `--every`, a
fixed list of other changes is measured, too. Measurements are kept in a file; `--predict` compares those with new
predictions and measures nothing.

Printed are each change with its predicted saving, band and measured saving, and the share of pairs in the right order
and of savings within their bands. A pair is of two of the three tactics of a model, or of one of them and the model as
it is.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyinfercost as ic
from pyinfercost.advice.graphs import ModelGraphs
from pyinfercost.advice.setup_figures import ForwardEvaluator
from pyinfercost.advice.setups import SIZES, Setup
from pyinfercost.advice.tactics.formats import applied_to_linear

from .applied.models import MODELS, UNSEEN, Model

APPLICABLE = (
    "width", "sibling", "engine", "eight_bit_engine", "half_precision", "autocast", "execution", "weight_formats",
    "activation_formats", "formats_by_layer", "batch",
)  # fmt: skip
"""Tactics that need nothing but this machine and installed libraries."""

ALL = {**MODELS, **UNSEEN}
_PHASES = ("#decode", "#prefill")
_PRICE = 1.0  # USD per hour: savings are shares, so that any price does
_MORE_ITEMS = 4  # times the given batch, at most
EVERY: tuple[dict[str, Any], ...] = (
    {"execution": "compiled"},
    {"precision": "bf16"},
    {"precision": "amp_bf16"},
    {"precision": "bf16", "execution": "compiled"},
    {"engine": "onnxruntime"},
    {"engine": "onnxruntime", "precision": "int8"},
    {"quantize": "int8_wo"},
    {"quantize": "int8_dynamic"},
    {"quantize": "int8_dynamic", "execution": "compiled"},
    {"quantize": "int8_wo", "execution": "compiled"},
    {"width": 0.5},
    {"width": 0.75},
)
"""Changes that `--every` measures."""


@dataclass(frozen=True)
class Line:
    """A change of a model, with its predicted and its measured saving.

    Attributes:
        model: Name in `MODELS` or `UNSEEN`.
        rank: Place among the tactics of the advice, from 1; 0 for a change that was not among the first three.
        text: The change.
        predicted: Predicted share of seconds per item that it saves.
        low: Least predicted saving within the bands.
        high: Greatest predicted saving.
        measured: Measured saving; None if it was not measured.
        seconds: Predicted and measured seconds per item.
        baseline: Predicted and measured seconds per item of the given model.
        note: What was done, or why it could not be.
    """

    model: str
    rank: int
    text: str
    predicted: float
    low: float
    high: float
    measured: float | None
    seconds: tuple[float, float]
    baseline: tuple[float, float]
    note: str

    @property
    def inside(self) -> bool:
        """Whether the measured saving is within the predicted band."""
        return self.measured is not None and self.low <= self.measured <= self.high


def main() -> None:
    """Predict, measure and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hardware", required=True, help="the file of a calibration of this machine")
    parser.add_argument("--measured", type=Path, required=True, help="file of measurements, read and extended")
    parser.add_argument("--only", nargs="+", choices=ALL, metavar="MODEL", help=f"some of {', '.join(ALL)}")
    parser.add_argument("--every", action="store_true", help="measure a fixed list of changes, too")
    parser.add_argument("--predict", action="store_true", help="measure nothing")
    parser.add_argument("--again", action="store_true", help="measure changes that the file has, too")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each change")
    parser.add_argument("--seconds", type=float, default=0.3, help="least seconds of a turn")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # the model that this process measures
    parser.add_argument("--changes", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure(arguments)
        return
    lines = []
    for name in arguments.only or ALL:
        asked = predicted(ALL[name], arguments)
        if not arguments.predict:
            measure_apart(name, [settings for _, settings, *_ in asked], arguments)
        known = _read(arguments.measured).get(name, {})
        found = [line_of(name, *one, known) for one in asked]
        for line in found:
            print(_told(line), flush=True)
        lines += found
    summary = summarized(lines)
    print(table(lines))
    print(json.dumps(summary, indent=1))
    if arguments.json:
        rows = [{**vars(line), "inside": line.inside} for line in lines]
        arguments.json.write_text(json.dumps({"summary": summary, "rows": rows}, indent=1) + "\n")


# ---- predictions -----------------------------------------------------------------------------------------------------

Asked = tuple[int, dict[str, Any], tuple[float, float, float], tuple[float, float]]
"""Rank, settings, saving with its least and greatest value, and seconds per item with and without the change."""


def predicted(model: Model, arguments: argparse.Namespace) -> list[Asked]:
    """Return the first three tactics of the advice on a model, and other changes that are asked for."""
    batch = model.sizes["batch"]
    advice = ic.advise(
        model.spec, hardware=arguments.hardware, price=_PRICE, risk="retrain", among=_applicable(model),
        limits={"batch": _MORE_ITEMS * batch}, sizes=model.sizes,
    )  # fmt: skip
    before_s = _item_s(advice.baseline.figures)
    found: list[Asked] = []
    for rank, row in enumerate(advice.rows[:3], 1):
        saving = (row.saving_share, row.saving_low_share, row.saving_high_share)
        found.append((rank, dict(row.setup.settings), saving, (_item_s(row.setup.figures), before_s)))
    if arguments.every:
        found += _others(model, arguments.hardware, [_key(settings) for _, settings, *_ in found])
    return found


def _applicable(model: Model) -> list[str]:
    """Return the tactics to try: engines of language models are servers, which are not applied here."""
    serves = model.name.endswith(_PHASES)
    return [name for name in APPLICABLE if not (serves and name in ("engine", "eight_bit_engine"))]


def _item_s(figures: Mapping[str, Any]) -> float:
    return 1.0 / float(figures["throughput_per_s"])


def _others(model: Model, hardware: str, known: Iterable[str]) -> list[Asked]:
    """Return the changes of `EVERY` with their predictions, as far as they can be predicted."""
    evaluator = ForwardEvaluator(ModelGraphs(model.spec, model.sizes))
    given = Setup(ic.Deployment(hardware=hardware), sizes=dict(model.sizes))
    before, _ = evaluator.exact(given)
    found: list[Asked] = []
    for listed in EVERY:
        settings = dict(listed)
        if "quantize" in settings:
            form = applied_to_linear(evaluator.graphs.open(given.variant), settings["quantize"], given)
            settings["quantize"] = form
        if _key(settings) in known or (model.name.endswith(_PHASES) and "engine" in settings):
            continue
        try:
            change = {(f"{SIZES}{name}" if name in model.sizes else name): each for name, each in settings.items()}
            outcome, _ = evaluator.exact(given.changed(change))
        except ic.Error as error:
            print(f"{model.spec}: {_key(settings)}: {error}", file=sys.stderr)
            continue
        ratio = _item_s(outcome.figures) / _item_s(before.figures)
        spread = (before.spread**2 + outcome.spread**2) ** 0.5  # as in `advice.ranking`
        saving = (1 - ratio, 1 - ratio * (1 + spread), 1 - ratio / (1 + spread))
        found.append((0, settings, saving, (_item_s(outcome.figures), _item_s(before.figures))))
    return found


# ---- measurements ----------------------------------------------------------------------------------------------------


def measure_apart(name: str, changes: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """Measure changes of a model in a process of its own, whose heap keeps freed memory as in a calibration."""
    known = {} if arguments.again else _read(arguments.measured).get(name, {})
    wanted = [settings for settings in changes if _key(settings) not in known]
    if not wanted:
        return
    heap = {"MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_MMAP_THRESHOLD_": str(2**25)}
    command = [
        sys.executable, "-m", "benchmarks.advice_applied", "--one", name, "--changes", json.dumps(wanted),
        "--hardware", arguments.hardware, "--measured", str(arguments.measured), "--rounds", str(arguments.rounds),
        "--seconds", str(arguments.seconds),
    ]  # fmt: skip
    subprocess.run(command, check=False, env={**os.environ, **heap, "HF_HUB_OFFLINE": "1"})


def measure(arguments: argparse.Namespace) -> None:
    """Measure the changes of one model and add them to the file."""
    import torch

    from .applied.applying import apply
    from .applied.turns import taken

    model = ALL[arguments.one]
    threads = round(ic.hardware.load(arguments.hardware).cores)
    torch.set_num_threads(threads)
    baseline = apply(model.spec, model.sizes, {}, threads)
    changed, refused = {}, {}
    for settings in json.loads(arguments.changes):
        key = _key(settings)
        try:
            one = apply(model.spec, model.sizes, settings, threads)
            one.forward()
        except Exception as error:  # a library's own
            refused[key] = {"note": f"{type(error).__name__}: {error}"[:300]}
            print(f"{arguments.one}: {key}: {refused[key]['note']}", file=sys.stderr)
            continue
        changed[key] = one
    load = os.getloadavg()[0]
    turns = taken(baseline, changed, arguments.rounds, arguments.seconds)
    loads = [round(load, 2), round(os.getloadavg()[0], 2)]
    stored = _read(arguments.measured)
    own = stored.setdefault(arguments.one, {})
    own |= refused
    own |= {key: {**each.as_json(), "load": loads, "threads": threads} for key, each in turns.items()}
    arguments.measured.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")


def _read(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    return json.loads(path.read_text()) if path.is_file() else {}


def _key(settings: Mapping[str, Any]) -> str:
    """Return a change as a text: the key of its measurement."""
    return ", ".join(f"{name}={value}" for name, value in sorted(settings.items()) if value is not None)


# ---- comparison ------------------------------------------------------------------------------------------------------


def line_of(
    model: str,
    rank: int,
    settings: Mapping[str, Any],
    saving: tuple[float, float, float],
    seconds: tuple[float, float],
    known: Mapping[str, Mapping[str, Any]],
) -> Line:
    """Return a prediction beside its measurement."""
    found = known.get(_key(settings), {"note": "not measured"})
    ratio = found.get("ratio")
    return Line(
        model=model, rank=rank, text=_key(settings), predicted=saving[0], low=saving[1], high=saving[2],
        measured=None if ratio is None else 1 - ratio,
        seconds=(seconds[0], found.get("item_s", float("nan"))),
        baseline=(seconds[1], found.get("baseline_item_s", float("nan"))),
        note=found.get("note", ""),
    )  # fmt: skip


def summarized(lines: Iterable[Line]) -> dict[str, Any]:
    """Return numbers of pairs in order and of savings within bands, of the first three tactics and of all changes."""
    measured = [line for line in lines if line.measured is not None]
    found: dict[str, Any] = {}
    three = [line for line in measured if line.rank]
    groups = {
        "three": [line for line in three if line.model in MODELS],
        "three_of_unseen": [line for line in three if line.model in UNSEEN],
        "all": measured,
    }
    for title, some in groups.items():
        models = dict.fromkeys(line.model for line in some)
        pairs = [
            right
            for model in models
            for right in ordered([(line.predicted, line.measured or 0.0) for line in some if line.model == model])
        ]
        with_given = [
            right
            for model in models
            for right in ordered(
                [(0.0, 0.0), *((line.predicted, line.measured or 0.0) for line in some if line.model == model)]
            )
        ]
        inside = [line.inside for line in some]
        found[title] = {
            "models": len(models),
            "pairs": len(pairs),
            "pairs_in_order": sum(pairs),
            "pairs_with_given": len(with_given),
            "pairs_with_given_in_order": sum(with_given),
            "savings": len(inside),
            "savings_in_band": sum(inside),
        }
    return found


def ordered(points: list[tuple[float, float]]) -> list[bool]:
    """Return of each pair of (predicted, measured) whether both are in the same order."""
    return [(a[0] - b[0]) * (a[1] - b[1]) > 0 for a, b in itertools.combinations(points, 2)]


def _told(line: Line) -> str:
    measured = "not measured" if line.measured is None else f"{line.measured:7.1%}"
    where = " " if line.inside else "*"
    band = f"({line.low:6.0%} .. {line.high:5.0%})"
    own, given = line.seconds, line.baseline
    return (
        f"{line.model:20} {line.rank or ' '} {line.text[:60]:60} {line.predicted:7.1%} {band} {measured} {where}"
        f" {own[0] * 1e3:8.3f} / {own[1] * 1e3:8.3f} ms of"
        f" {given[0] * 1e3:8.3f} / {given[1] * 1e3:8.3f}  {line.note[:60]}"
    )


def table(lines: Iterable[Line]) -> str:
    """Return the first three tactics of each model as a table of Markdown."""
    rows = ["| model | tactic | predicted | band | measured | |", "|---|---|---|---|---|---|"]
    for line in lines:
        if line.rank:
            measured = line.note if line.measured is None else f"{line.measured:.0%}"
            inside = "" if line.measured is None else "inside" if line.inside else "outside"
            band = f"{line.low:.0%} to {line.high:.0%}"
            rows.append(f"| {line.model} | {line.text} | {line.predicted:.0%} | {band} | {measured} | {inside} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()

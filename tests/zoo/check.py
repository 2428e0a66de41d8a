"""Check of one model of the zoo: it is built, captured, counted, and compared with general properties."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from support.left_alone import Snapshot
from torch.nn.modules.module import register_module_forward_pre_hook
from zoo.case import Case, NotBuildableError

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.errors import InputError
from pyinfercost.sources.trace.trace import CaptureError

# Libraries whose products are also counted by a second counter, written apart from the rows.
COUNTED_TWICE = ("transformers", "diffusers")


@dataclass
class Outcome:
    """Outcome of one case.

    Attributes:
        case: `library:name`.
        group: Group on the coverage page.
        record: Entry of the golden file: counts, or the reason why the model cannot be built.
        failures: Descriptions of failed checks.
        seconds: Duration.
    """

    case: str
    group: str
    record: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def library(self) -> str:
        """The part before the colon."""
        return self.case.partition(":")[0]


def check(case: Case) -> Outcome:
    """Build, capture and count a case; failures are part of the outcome, and nothing is raised."""
    outcome = Outcome(str(case), case.group)
    began = time.perf_counter()
    stage = "build"
    try:
        module, args, kwargs = case.build()
        stage = "capture"
        with _Entries() as entries:
            before = Snapshot(module, (args, kwargs))
            graph = ic.capture(module, ic.Inputs(args, kwargs), **case.sizes)
            outcome.failures += [f"left changed: {text}" for text in before.differences()]
            stage = "capture of a forward that raises"
            entries.raise_at = (entries.count + 1) // 2
            outcome.failures += _raising(module, args, kwargs, case.sizes)
            outcome.failures += [f"left changed by a forward that raises: {text}" for text in before.differences()]
        stage = "count"
        sizes = graph.size_values({})  # at their defaults, those that depend on data too
        counts = ic.count(graph, **sizes)
        outcome.record = _record(graph, counts)
        outcome.failures += [] if len(graph) else ["nothing was recorded"]
        outcome.failures += [f"unmodelled: {op} ({times} times)" for op, times in counts.unmodelled.items()]
        stage = "engines, layouts and formats"
        outcome.failures += _of_rewrites(graph)
        stage = "JSON"
        outcome.failures += _through_json(graph, sizes, counts)
        stage = "published figures"
        outcome.failures += _published(case, counts)
        if case.differs:
            outcome.record["differs"] = case.differs
        if case.library in COUNTED_TWICE:
            stage = "second counter"
            reason, failures = counted_again(module, args, kwargs, graph, sizes)
            outcome.record["counted_twice"] = reason or True
            outcome.failures += failures
    except NotBuildableError as error:
        outcome.record = {"not_built": _one_line(str(error))}
    except Exception as error:  # whatever a model's own code raises is a failure of its case
        outcome.failures.append(_one_line(f"{stage}: {type(error).__name__}: {error}"))
    outcome.seconds = time.perf_counter() - began
    return outcome


_FORMATS = ({}, {"kv_cache": "fp8"}, {"kv_cache": "int8"}, {"quantize": "int8_wo"}, {"quantize": "fp8_dynamic"})
_LAYOUTS = ("", "tensor=2", "tensor=8", "pipeline=2", "tensor=2,expert=2", "tensor=4,pipeline=2")


def _of_rewrites(graph: ic.Graph) -> Iterator[str]:
    """Yield formats, layouts and engines whose graphs are invalid, or have lost or doubled products.

    Some models have no such format or layout, and some engines do not run them.
    """
    for number, formats in enumerate(_FORMATS):
        other = yield from _kept(
            f"{formats}", lambda formats=formats: ic.whatif(graph, **formats) if formats else graph
        )
        layouts = _LAYOUTS[:] if number < 2 else _LAYOUTS[:2]
        for layout in layouts if other is not None else ():
            rank = yield from _kept(
                f"{formats} {layout}",
                lambda other=other, layout=layout: ic.devices.rank_graph(other, layout) if layout else other,
            )
            for engine in _core.engines() if rank is not None and "pipeline" not in layout else ():
                words = f"{formats} {layout} {engine}"
                yield from _kept(words, lambda rank=rank, engine=engine: ic.engine_graph(rank, engine))


def _kept(words: str, make: Callable[[], ic.Graph]) -> Generator[str, None, ic.Graph | None]:
    """Yield what is wrong with a graph that is made; return it, or None where there is no such graph."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ic.errors.ConservationWarning)
        try:
            return make()
        except ic.errors.ConservationWarning as lost:
            yield f"{words}: {lost}"
        except InputError as refused:
            if "invalid graph" in str(refused):
                yield f"{words}: {refused}"
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:600]


class _HalfwayError(Exception):
    """Error that the check makes a forward raise."""


class _Entries:
    """Counts the modules that a forward enters, and raises in one of them if `raise_at` is given."""

    def __init__(self) -> None:
        self.count = 0
        self.raise_at: int | None = None
        self._left = contextlib.ExitStack()

    def __enter__(self) -> _Entries:
        self._left.callback(register_module_forward_pre_hook(self._enter).remove)
        return self

    def __exit__(self, *_: object) -> None:
        self._left.close()

    def _enter(self, _: Any, __: Any) -> None:
        if self.raise_at is None:
            self.count += 1
            return
        self.raise_at -= 1
        if self.raise_at == 0:
            raise _HalfwayError("on purpose")


def _raising(module: torch.nn.Module, args: Any, kwargs: Any, sizes: Any) -> list[str]:
    try:
        ic.capture(module, ic.Inputs(args, kwargs), **sizes)
    except CaptureError as error:
        if "_HalfwayError: on purpose" in str(error):
            return []
        return [_one_line(f"a forward that raises halfway gave another error: {error}")]
    return ["a forward that raises halfway was captured without an error"]


def _record(graph: ic.Graph, counts: ic.results.Counts) -> dict[str, Any]:
    total = counts.total
    return {
        "macs": int(total.macs),
        "pointwise_flops": int(total.pointwise_flops),
        "parameters": int(total.parameters),
        "nodes": len(graph),
        "peak_activation_bytes": int(total.peak_activation_bytes),
        "unmodelled": dict(sorted(counts.unmodelled.items())),
    }


def _figures(counts: ic.results.Counts) -> dict[str, Any]:
    return {
        "total": _row(counts.total),
        "by_op": {op: _row(row) for op, row in counts.by_op().items()},
        "memory": [counts.memory.peak_memory_bytes, counts.memory.peak_node, counts.memory.timeline],
        "unmodelled": counts.unmodelled,
    }


def _row(row: Any) -> dict[str, Any]:
    return {**row.to_dict(), "causal_flops": row.causal_flops, "bytes_by_role": row.bytes_by_role}


def _through_json(graph: ic.Graph, sizes: dict[str, Any], counts: ic.results.Counts) -> Iterator[str]:
    here, there = _figures(counts), _figures(ic.count(ic.Graph.from_json(graph.to_json()), **sizes))
    for what, figures in here.items():
        if figures != there[what]:
            yield f"{what} is another after to_json and from_json"


def _published(case: Case, counts: ic.results.Counts) -> list[str]:
    found = []
    flops, parameters = case.flops(), case.parameters()
    if flops is not None and not agrees(int(counts.total.macs), flops / 2):
        found.append(f"{int(counts.total.contraction_flops):,} contraction FLOPs, published are {flops:,}")
    if parameters is not None and not agrees(int(counts.total.parameters), parameters):
        found.append(f"{int(counts.total.parameters):,} parameters, published are {parameters:,}")
    if case.differs:
        return [] if found else ["agrees with the published figures, but is said to differ"]
    return found


def agrees(counted: int, published: float) -> bool:
    """Return whether a count equals a published figure to its digits; zeros at its end are due to rounding."""
    unit = 1
    while published and published % (unit * 10) == 0:
        unit *= 10
    return counted == published if unit == 1 else abs(counted - published) <= unit / 2


def counted_again(
    module: torch.nn.Module, args: Any, kwargs: Any, graph: ic.Graph, sizes: dict[str, Any]
) -> tuple[str, list[str]]:
    """Compare contraction FLOPs with those of the second counter.

    If a real run determines each data-dependent length, the model is captured and compared at these lengths. Otherwise,
    since data also determine numbers of loop iterations, it is compared at the defaults, which are bounds: a difference
    is then not an error, but nothing has been compared.

    Args:
        module: The model.
        args: Its positional inputs.
        kwargs: Its named inputs.
        graph: Its captured graph.
        sizes: Values of its sizes.

    Returns:
        The reason why nothing was compared, or an empty string; and the differences.
    """
    if importlib.util.find_spec("zoo.flop_counter") is None:
        return "there is no second counter", []
    count = importlib.import_module("zoo.flop_counter").torch_counted
    found = count(module, args, kwargs, int(ic.count(graph, **sizes).total.contraction_flops))
    if found.reason:
        return _one_line(found.reason), []
    known = lengths_of_data(sizes, found.lengths)
    if known is not None and known != sizes:
        graph = ic.capture(module, ic.Inputs(args, kwargs), **known)
        sizes = graph.size_values({})
    ours = int(ic.count(graph, **sizes).total.contraction_flops)
    if ours == found.flops:
        return "", []
    if known is None:
        return "data decide how often a loop runs", []
    return "", [f"{ours:,} contraction FLOPs, a second counter finds {found.flops:,}"]


_NUMBERED = re.compile(r"(.+\.nonzero)(_\d+)?")


def lengths_of_data(sizes: dict[str, Any], lengths: Mapping[str, list[int]]) -> dict[str, int] | None:
    """Return a real run's value for each size of a graph; None if a size has no value, or more than one.

    Args:
        sizes: The sizes by name: `experts.nonzero`, `experts.nonzero_2`.
        lengths: Values of the run, by the name of the first size.
    """
    names: dict[str, list[str]] = {}
    for name in sizes:
        numbered = _NUMBERED.fullmatch(name)
        if numbered is None:
            return None
        names.setdefault(numbered[1], []).append(name)
    if any(len(lengths.get(first, [])) != len(group) for first, group in names.items()):
        return None
    return {name: n for first, group in names.items() for name, n in zip(group, lengths[first], strict=True)}

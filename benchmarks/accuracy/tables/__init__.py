"""Conversion of tables to cases: one module per family of tables, whose docstring states its assumptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from . import (
    apple_ops,
    attention,
    collectives,
    fp32_ops,
    gemm,
    language,
    llm_layers,
    loading_times,
    moe,
    open_loop,
    published,
    serving,
    tpu_layers,
    vision,
)

if TYPE_CHECKING:
    from pyinfercost import Hardware

    from ..calls import Call
    from ..captures import Capturing
    from ..cases import Case
    from ..figures import Judged
    from ..measured import Table


@dataclass(frozen=True)
class Kind:
    """Reader of a table.

    Attributes:
        cases: Creates its cases.
        sample_by: Columns whose values are sampled together; without them rows are sampled.
        groups: Columns of which each combination is sampled.
        calls: Creates its calls, instead of cases, if its rows are communication.
        servers: Judges its rows as they are, if each is of a server under load.
        named: Replaces its names of devices by those of the catalog.
        columns: Returns columns that follow from others.
        folder: Folder of the table, relative to that of the measurements.
        renamed: Names of columns in the file -> theirs in the schema.
    """

    cases: Callable[[Table, Capturing], list[Case]]
    sample_by: tuple[str, ...] = ()
    groups: tuple[str, ...] = (
        "device", "software", "dtype", "op", "phase", "kv_dtype", "routing", "layer", "backend", "execution", "mode",
    )  # fmt: skip
    calls: Callable[[Table], list[Call]] | None = None
    servers: Callable[[Table, Mapping[str, Hardware], Capturing], Judged] | None = None
    named: Callable[[Table], Table] = lambda table: table
    columns: Callable[[Table], dict[str, list[str]]] = lambda _: {}
    folder: str = "."
    renamed: Mapping[str, str] = field(default_factory=dict)


def _of_operators(cases: Callable[[Table], list[Case]]) -> Kind:
    return Kind(lambda table, _: cases(table))


def _of_calls(calls: Callable[[Table], list[Call]]) -> Kind:
    return Kind(lambda *_: [], calls=calls)


KINDS = {
    "gemm": _of_operators(gemm.cases),
    "gemm_power": _of_operators(gemm.cases),
    "attention": _of_operators(attention.cases),
    "moe": _of_operators(moe.cases),
    "llm_layers": _of_operators(llm_layers.cases),
    **dict.fromkeys(
        ("fp32_linear", "fp32_bmm", "fp32_conv2d", "fp32_elementwise", "fp32_layernorm", "fp32_softmax"),
        _of_operators(fp32_ops.cases),
    ),
    "tpu_layers": _of_operators(tpu_layers.cases),
    "apple_ops": replace(_of_operators(apple_ops.cases), named=apple_ops.named),
    "collectives": _of_calls(collectives.collectives),
    "all_reduce_engines": _of_calls(collectives.all_reduce_engines),
    "expert_all_to_all": _of_calls(collectives.expert_all_to_all),
    "loading_times": Kind(
        lambda *_: [],
        groups=("device", "loader", "mode", "model"),
        servers=loading_times.loads,
        named=loading_times.named,
        columns=loading_times.columns,
        folder=loading_times.FOLDER,
        renamed={"hardware": "device"},
    ),
    "serving": Kind(lambda *_: [], servers=serving.servers),
    "open_loop_requests": Kind(lambda *_: [], servers=open_loop.servers, sample_by=("device", "gpus", "model")),
    "models_language_fp32": Kind(language.cases, sample_by=("model",)),
    "published_models": Kind(published.cases, sample_by=("model",), columns=published.columns),
    "models_vision": Kind(vision.cases, sample_by=("model",)),
}
"""Readers of all tables, in order of their cost."""

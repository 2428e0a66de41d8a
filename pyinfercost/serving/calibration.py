"""Correction of a server's step costs by what was measured: one point, or the requests of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log, log1p
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .._checks import Range, number, read_json, read_text, shown
from ..errors import InputError
from .recorded_requests import RecordedRequests
from .recorded_traces import ALSO, ARRIVAL, LENGTHS, STAMPS, is_parquet, tables
from .runs import Run, facts_of, simulated
from .scheduler import simulated_scheduler
from .step_cost_factors import CalibrationError, StepCostFactors
from .workload import Workload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .step_tables import StepCosts

    Numbers = NDArray[np.float64]

MeasuredLike: TypeAlias = "Mapping[str, Any] | str | PathLike[str] | tuple[str | PathLike[str], str | PathLike[str]]"
"""Measured latencies as `calibrate_serving` accepts them."""

_LATENCY = Range(1e-9, 1e9, "s")
_NOISE = {"ttft_s": 0.08, "tpot_s": 0.02, "e2e_s": 0.02}
"""Standard deviation of the logarithm of a measured mean: runs of one version differ by 3 % in the time to the first
token, of which clients are a part, and by 1.5 % in that per output token."""
_HOST = log(2.0)  # likewise of the host's times before a measurement
_CLIENT_S = 0.02  # likewise of the time of the client, in seconds
_LEAST_SPREAD = 0.1
_ROUNDS, _HALVINGS = 8, 4
_DONE = 1e-3
_COLUMNS = (ARRIVAL, *LENGTHS, *STAMPS)
_MOST_REPLAYED = 20_000  # requests of a run: each step of the fit simulates them
_METRICS = {
    "time_to_first_token_seconds": "ttft_s",
    "request_time_per_output_token_seconds": "tpot_s",
    "e2e_request_latency_seconds": "e2e_s",
}
_SAMPLE = re.compile(r"vllm:(\w+)_(sum|count)(?:\{[^}]*\})? ([0-9.eE+-]+)")
_BENCH = {"mean_ttft_ms": "ttft_s", "mean_tpot_ms": "tpot_s", "mean_e2el_ms": "e2e_s"}


@dataclass(frozen=True)
class ServingCalibration:
    """Result of `calibrate_serving`.

    Attributes:
        correction: The correction.
        costs: Corrected step costs.
        measured: Measured means by name, in seconds.
        before: Predicted means without the correction.
        after: Predicted means with it.
    """

    correction: StepCostFactors
    costs: StepCosts
    measured: Mapping[str, float]
    before: Mapping[str, float]
    after: Mapping[str, float]

    def to_text(self) -> str:
        """Return what moved, in words."""
        lines = [
            f"{name:<9} {getattr(self.correction, name):.3f}  {words}"
            for name, words in (
                ("decode", "times the predicted steps that decode"),
                ("prefill", "times the predicted steps that read prompts"),
                ("host", "times the predicted host"),
            )
        ]
        lines.append(f"client    {self.correction.client_s * 1e3:.1f} ms in the time to the first token")
        for name, value in self.measured.items():
            before, after = self.before[name], self.after[name]
            lines.append(
                f"{name:<9} measured {value * 1e3:.4g} ms, predicted {before * 1e3:.4g} ms before and "
                f"{after * 1e3:.4g} ms after"
            )
        return "\n".join(lines)


def calibrate_serving(
    costs: StepCosts, measured: MeasuredLike, *, workload: Workload | None = None, **settings: Any
) -> ServingCalibration:
    """Correct step costs by a measurement of one's own server.

    Factors of decode steps, of prompts, of the host, and the time of the client are chosen so that the simulated means
    are the measured ones, each as close to 1 (0 ms) as its error band asks for: the most likely values, if logarithms
    are normal with the bands of the steps and the noise of such runs (Gauss-Newton on the simulator).

    Args:
        costs: Step costs of the server, from `step_costs`.
        measured: Means, `{"ttft_s": 0.12, "tpot_s": 0.013}`, also of `e2e_s`; or the requests of a run as columns:
            `arrival_s`, `prompt_tokens` (or `input_tokens`), `output_tokens`, `first_token_s` and `last_token_s`, in
            seconds on one clock, not a number where a stamp is unknown; or a CSV or Parquet file with these, such as
            `pyinfercost monitor export` writes, of which the last 20,000 requests are used; or the JSON that `vllm
            bench serve` wrote; or a text file with the `/metrics` page of vLLM, or a pair of them, from before and
            after the load.
        workload: The load under which means were measured; requests of a run are their own.
        **settings: Settings of the scheduler, as of `serve`.

    Returns:
        The correction, corrected step costs, and means before and after.

    Raises:
        CalibrationError: Measurements are missing or out of range, or a simulated request was refused.

    Examples:
        >>> phases = ic.serving.phases_of("hf:llama-3-8b.json")
        >>> on = ic.Deployment(hardware="h100-sxm-80gb", precision="bf16", engine="vllm")
        >>> costs = ic.serving.step_costs(phases.decode, phases.prefill, on=on)
        >>> load = ic.Workload(rate_per_s=4, prompt=1024, output=128, requests=200)
        >>> found = ic.calibrate_serving(costs, {"ttft_s": 0.05, "tpot_s": 0.0085}, workload=load)
        >>> {name: f"{seconds * 1e3:.1f} ms" for name, seconds in found.after.items()}
        {'ttft_s': '49.3 ms', 'tpot_s': '8.5 ms'}
    """
    means, load = _measured(measured, workload)
    run = _run(costs, load, settings)
    target = {name: means[name] for name in _NOISE if name in means}

    def predicted(correction: StepCostFactors) -> dict[str, float]:
        found = _means(replace(run, costs=correction.of(costs)))
        return {name: found[name] for name in target}

    fitted = _fitted(costs, target, predicted)
    return ServingCalibration(fitted, fitted.of(costs), target, predicted(StepCostFactors()), predicted(fitted))


def _fitted(costs: StepCosts, target: Mapping[str, float], predicted: Any) -> StepCostFactors:
    import numpy as np

    names = list(target)
    wanted = np.log([target[name] for name in names])
    noise = np.array([_NOISE[name] for name in names])
    priors = np.array(
        [*(log1p(max(_LEAST_SPREAD, spread)) for spread in (costs.spread, costs.prefill_spread)), _HOST, _CLIENT_S]
    )

    def correction_of(x: Numbers) -> StepCostFactors:
        decode, prefill, host = (exp(float(np.clip(each, -6.0, 6.0))) for each in x[:3])
        return StepCostFactors(decode=decode, prefill=prefill, host=host, client_s=max(0.0, float(x[3])))

    def residuals(x: Numbers) -> Numbers:
        found = predicted(correction_of(x))
        made: Numbers = np.concatenate([(np.log([found[name] for name in names]) - wanted) / noise, x / priors])
        return made

    steps = np.array([0.05, 0.05, 0.1, 2e-3])
    at = np.zeros(4)
    here = residuals(at)
    for _ in range(_ROUNDS):
        slopes = np.stack([(residuals(at + step) - here) / step.max() for step in np.diag(steps)], axis=1)
        move = -np.linalg.lstsq(slopes, here, rcond=None)[0]
        for _ in range(_HALVINGS):
            tried = at + move
            tried[3] = max(0.0, tried[3])
            there = residuals(tried)
            if there @ there < here @ here:
                break
            move = move / 2
        else:
            break
        done = float(np.abs(tried[:3] - at[:3]).max()) < _DONE
        at, here = tried, there
        if done:
            break
    return correction_of(at)


def _run(costs: StepCosts, workload: Workload, settings: Mapping[str, Any]) -> Run:
    facts = facts_of(workload)
    scheduler = simulated_scheduler(costs, settings)
    most = scheduler.max_num_seqs or costs.most_sequences
    blocks = scheduler.num_gpu_blocks or costs.pool_blocks or most * (facts.longest // costs.block_tokens + 2)
    return Run(costs, scheduler, workload, facts, 1, "least_loaded", blocks)


def _means(run: Run) -> dict[str, float]:
    found = simulated(run)
    figures = run.figures(found)
    if figures["finished"] < figures["requests"]:
        raise CalibrationError(
            f"{figures['requests'] - figures['finished']} of {figures['requests']} simulated requests were not "
            "answered; pass the blocks of the cache and the longest context of the server (num_gpu_blocks, "
            "max_model_len)"
        )
    return {name: figures["latencies"][name]["mean"] for name in _NOISE}


def _measured(measured: MeasuredLike, workload: Workload | None) -> tuple[dict[str, float], Workload]:
    """Return measured means, and the load under which they were measured."""
    given: object = measured
    if isinstance(measured, (str, PathLike)):
        given = _read(measured)
    elif isinstance(measured, tuple):
        given = _of_metrics([Path(fspath(each)) for each in measured])
    if not isinstance(given, Mapping):
        raise CalibrationError(f"measured is {shown(measured)}; expected means, columns of requests, or a file")
    columns: dict[str, Any] = {ALSO.get(str(name), str(name)): values for name, values in given.items()}
    if all(name in columns for name in _COLUMNS):
        return _of_requests(columns)
    means = {name: given[name] for name in _NOISE if given.get(name) is not None}
    means |= {_BENCH[name]: float(given[name]) / 1e3 for name in _BENCH if given.get(name) is not None}
    unknown = [name for name in given if name not in (*_NOISE, *_BENCH)]
    if not means or (unknown and not any(name in given for name in _BENCH)):
        raise CalibrationError(
            f"measured has {', '.join(map(str, given)) or 'nothing'}; expected some of {', '.join(_NOISE)} in seconds, "
            f"or the columns {', '.join(_COLUMNS)}"
        )
    if workload is None:
        raise CalibrationError("workload is not given; pass the load under which the means were measured")
    return {name: number(value, name, _LATENCY, CalibrationError) for name, value in means.items()}, workload


def _of_requests(columns: Mapping[str, Sequence[float]]) -> tuple[dict[str, float], Workload]:
    import numpy as np

    arrival, prompt, output, first, last = (np.asarray(columns[name], dtype=np.float64) for name in _COLUMNS)
    if first.shape != arrival.shape or last.shape != arrival.shape or (first < arrival).any() or (last < first).any():
        raise CalibrationError(
            "a request has its first token before it arrives, or its last one before the first; expected columns of "
            "one length on one clock"
        )
    replay = RecordedRequests.of(arrival, prompt, output)
    times = {
        "ttft_s": first - arrival,
        "e2e_s": last - arrival,
        "tpot_s": (last - first)[output > 1] / (output[output > 1] - 1),
    }
    known = {name: values[np.isfinite(values)] for name, values in times.items()}
    means = {name: float(values.mean()) for name, values in known.items() if values.size}
    found = {name: value for name, value in means.items() if value > 0}
    if not found:
        raise CalibrationError(
            f"no request has {' or '.join(STAMPS)}; expected stamps of some, as a monitor in the process of the model "
            "records them, or means"
        )
    return found, Workload(trace=replay)


def _read(path: str | PathLike[str]) -> Mapping[str, Any]:
    file = Path(fspath(path))
    if file.suffix.lower() in (".txt", ".prom"):
        return _of_metrics([file])
    if file.suffix.lower() != ".csv" and not is_parquet(file):
        measured: Mapping[str, Any] = read_json(file, CalibrationError)
        return measured
    return _recorded(file)


def _recorded(file: Path) -> Mapping[str, Any]:
    """Return the columns of the last requests of a table."""
    import numpy as np

    parts: dict[str, list[Numbers]] = {name: [] for name in _COLUMNS}
    try:
        for table in tables(file):
            if table.bad:
                place = min(table.bad)
                raise CalibrationError(f"line {int(table.lines[place])} of {file.name}: {table.bad[place]}")
            for name, values in parts.items():
                values.append(table.columns.get(name, np.full(table.lines.size, np.nan)))
                values[:] = [np.concatenate(values)[-_MOST_REPLAYED:]]
    except CalibrationError:
        raise
    except InputError as error:
        raise CalibrationError(f"{file} is no table with numbers in {', '.join(_COLUMNS)} ({error})") from None
    found = {name: np.concatenate(values) if values else np.zeros(0) for name, values in parts.items()}
    for name in LENGTHS:
        if not found[name].size or np.isnan(found[name]).any():
            raise CalibrationError(f"{file} has requests without {name}; expected a number in each row")
    return found


def _of_metrics(pages: Sequence[Path]) -> dict[str, float]:
    """Return the means of histograms of vLLM's metrics: since its start, or between two pages."""
    totals: dict[tuple[str, str], float] = {}
    for page, sign in zip(pages, (1.0,) if len(pages) == 1 else (-1.0, 1.0), strict=True):
        text = read_text(page, CalibrationError)
        for name, what, value in _SAMPLE.findall(text):
            totals[name, what] = totals.get((name, what), 0.0) + sign * float(value)
    found = {
        mean: totals[name, "sum"] / totals[name, "count"]
        for name, mean in _METRICS.items()
        if totals.get((name, "count"), 0.0) > 0 and (name, "sum") in totals
    }
    if not found:
        raise CalibrationError(
            f"{pages[-1]} has no requests in {', '.join(f'vllm:{name}' for name in _METRICS)}; expected the /metrics "
            "page of vLLM after a load, and before it the page from before"
        )
    return found

"""Traffic in one argument: a generator's text, a request trace, or a workload."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .._checks import exists, shown
from .arrival_texts import KINDS
from .arrivals import AtOnce, ClosedLoop
from .recorded_requests import RecordedRequests
from .requests import WorkloadError
from .trace_formats import FORMATS
from .traces import Trace, read_trace
from .workload import Workload

if TYPE_CHECKING:
    from .lengths import LengthsLike

TrafficLike: TypeAlias = "str | PathLike[str] | Trace | RecordedRequests | Workload"
"""Traffic: `"diurnal:mean=20,peak=3"`, `"trace.csv"`, `"azure-functions:1350_inv.csv#12"`, or an object."""

_FUNCTION = "#"


def open_trace(text: str | PathLike[str], *, seed: int = 0) -> Trace:
    """Open a request trace that a text names: `PATH`, or `FORMAT:PATH`.

    Of Azure Functions, `PATH#FUNCTION` is one function: its row from 1, or the first characters of its hash.

    Raises:
        TraceError: The file is of no known format.
        MissingFileError: There is no such file.
    """
    path, name = str(text), None
    before, colon, rest = path.partition(":")
    if colon and before in FORMATS:
        name, path = before, rest
    function = None
    if _FUNCTION in path and not exists(Path(path)):
        path, _, function = path.rpartition(_FUNCTION)
    return read_trace(path, name, function=function, seed=seed)


def _has_format(text: str) -> bool:
    return text.partition(":")[0] in FORMATS


def parse_traffic(
    value: TrafficLike,
    *,
    prompt: LengthsLike | None = None,
    output: LengthsLike | None = None,
    requests: int | None = None,
    duration_s: float | None = None,
    scale: float = 1.0,
    start_s: float = 0.0,
    end_s: float | None = None,
    seed: int = 0,
) -> Workload:
    """Return the workload that a value denotes.

    Args:
        value: A text of arrivals with their rate, such as `"poisson:20"`, `"gamma:20,cv=4"`,
            `"diurnal:mean=20,peak=3,weekend=0.5,growth=10%/month"` or `"mmpp:mean=20,burst=5,share=0.1,length_s=60"`;
            a file, `"trace.csv"` or `"FORMAT:trace.csv"`, with `#12` for one of Azure's functions; or a `Trace`, a
            `RecordedRequests` or a `Workload`.
        prompt: Tokens of prompts, for arrivals, and for traces that have none; without both, requests have no tokens.
        output: Tokens of answers, likewise.
        requests: Number of requests; fewer if there are not as many.
        duration_s: Time after which no request arrives.
        scale: So many times the requests in the same time (`Workload.scaled`).
        start_s: Time at which the part that is used begins; it becomes time 0.
        end_s: Time at which it ends. With `86_400` and `172_800` it is the second day. Arrivals without `requests` and
            `duration_s` go on until then.
        seed: Decides the random numbers.

    Raises:
        InputError: The value is none of these, a value is out of range, or two contradict each other.

    Examples:
        >>> traffic = ic.parse_traffic("poisson:20", prompt=256, output=64, requests=1000)
        >>> traffic.arrivals, traffic.requests
        ('poisson:20', 1000)
    """
    given: dict[str, Any] = {"prompt": prompt, "output": output, "requests": requests, "duration_s": duration_s}
    if isinstance(value, Workload):
        for name, each in given.items():
            if each is not None:
                raise WorkloadError(f"{name} is {shown(each)} beside a Workload, which has its own; leave it out")
        found = value
    elif isinstance(value, str) and value.partition(":")[0].strip() in KINDS:
        if requests is None and duration_s is None:
            given["duration_s"] = end_s
        found = Workload(arrivals=value, seed=seed, **given)
    elif isinstance(value, str) and "=" in value and not exists(Path(value)) and not _has_format(value):
        raise WorkloadError(f"traffic is {shown(value)}; expected a file, FORMAT:FILE, or one of {', '.join(KINDS)}")
    elif isinstance(value, (Trace, RecordedRequests, str, PathLike)):
        trace = value if isinstance(value, (Trace, RecordedRequests)) else open_trace(value, seed=seed)
        found = Workload(trace=trace, seed=seed, **given)
    else:
        raise WorkloadError(
            f"traffic is {shown(value)}; expected a text such as 'poisson:20' or 'diurnal:mean=20,peak=3', a file, "
            "'FORMAT:FILE', a Trace, a RecordedRequests or a Workload"
        )
    if isinstance(found.process, (AtOnce, ClosedLoop)) and (found.trace is None or not found.trace.timed):
        raise WorkloadError(
            f"traffic is {shown(value)}, without times; expected arrivals with a rate, such as poisson:20"
        )
    if scale != 1:
        found = found.scaled(scale, seed=seed)
    if start_s or end_s is not None:
        found = found.between(start_s, 1e12 if end_s is None else end_s)
    return found

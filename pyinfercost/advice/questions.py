"""Requests and objective of a server or a fleet, as options of the command line and as code, for all its setups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..serving.traces import Trace
from ..serving.traffic import open_trace
from ..serving.workload import FEW_REQUESTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..serving.workload import Workload

Words = tuple[str, ...]
"""Words of a command line."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """The requests and the objective of a server or a fleet.

    Attributes:
        command: The command that answers it: `"serve"` or `"fleet"`.
        words: Its options, without options of a setup; None if the command line cannot describe the requests.
        lines: Lines of Python that make the requests.
        arguments: The arguments of the call, as code, without arguments of a setup.
        requests: The requests in words.
    """

    command: str
    words: Words | None
    lines: tuple[str, ...]
    arguments: str
    requests: str


def served_question(workload: Workload, slo: str, words: Words | None = None) -> Question:
    """Return the question of a server under a workload.

    Args:
        workload: The requests.
        slo: Limits of latencies, as text.
        words: Options of the command line that make the workload; None for those that follow from it.
    """
    known = workload_words(workload) if words is None else words
    limits = ("--slo", slo) if slo else ()
    code = workload_code(workload)
    return Question(
        command="serve",
        words=None if known is None else (*known, *limits),
        lines=(f"workload = {code}",) if code else ("# workload: as it was given",),
        arguments="workload=workload" + (f", slo={slo!r}" if slo else ""),
        requests=workload_text(workload),
    )


def fleet_question(fields: Mapping[str, Any], slo: str) -> Question:
    """Return the question of a fleet under traffic.

    Args:
        fields: Arguments of `fleet` about the traffic and how it is simulated, by name.
        slo: Limits of latencies, as text.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    asked = {**given, **({"slo": slo} if slo else {})}
    plain = all(isinstance(value, (str, int, float)) for value in asked.values())
    words: list[str] = []
    for name, value in asked.items():
        words += option_words(name, value)
    return Question(
        command="fleet",
        words=tuple(words) if plain else None,
        lines=(),
        arguments=", ".join(f"{name}={value!r}" for name, value in asked.items()),
        requests=str(given.get("traffic", "")),
    )


def option_words(name: str, value: Any) -> Words:
    """Return an option of the command line: a flag for truth values, else its name and its value."""
    option = "output-tokens" if name == "output" else name.replace("_", "-")  # --output is the file to write
    if isinstance(value, bool):
        return (f"--{option}" if value else f"--no-{option}",)
    return f"--{option}", number_text(value)


def number_text(value: Any) -> str:
    """Return a value as text; a number that is read back is equal."""
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)


def workload_words(workload: Workload) -> Words | None:
    """Return the options of `serve` that make a workload; None if there are none for it."""
    if workload.changed or workload.duration_s is not None or workload.turns is not None:
        return None
    words: list[str] = []
    if workload.trace is not None:
        trace = workload.trace
        if not isinstance(trace, Trace) or not _is_as_read(trace):
            return None  # it was made elsewhere, or its rows are read by other rules
        words += ["--trace", f"{trace.format}:{trace.path}"]
        if workload.requests is not None:
            words += ["--requests", str(workload.requests)]
    else:
        if workload.prompt is None or workload.output is None:
            return None
        words += ["--prompt", str(workload.prompt), "--output-tokens", str(workload.output)]
        words += ["--requests", str(workload.requests or FEW_REQUESTS)]
    if workload.rate_per_s is not None:
        words += ["--rate", f"{number_text(float(workload.rate_per_s))}/s"]
    if workload.clients is not None:
        words += ["--concurrency", str(workload.clients)]
    if workload.arrivals is not None:
        if not isinstance(workload.arrivals, str):
            return None
        words += ["--arrivals", workload.arrivals]
    if workload.prefixes is not None:
        words += ["--prefixes", str(workload.prefixes)]
    if workload.seed:
        words += ["--seed", str(workload.seed)]
    return tuple(words)


def _is_as_read(trace: Trace) -> bool:
    """Return whether a trace is read by the default rules of its file."""
    return open_trace(f"{trace.format}:{trace.path}") == trace


def workload_code(workload: Workload) -> str:
    """Return an expression that makes a workload; empty if it has objects without one."""
    if workload.changed or workload.turns is not None:
        return ""
    given: dict[str, Any] = {}
    trace = ""
    if workload.trace is not None:
        if not isinstance(workload.trace, Trace) or not _is_as_read(workload.trace):
            return ""
        trace = f"trace=ic.read_trace({str(workload.trace.path)!r}, {workload.trace.format!r})"
    for name in ("rate_per_s", "clients", "arrivals", "requests", "duration_s"):
        value = getattr(workload, name)
        if value is not None:
            given[name] = value
    for name in ("prompt", "output"):
        if getattr(workload, name) is not None:
            given[name] = str(getattr(workload, name))
    if workload.seed:
        given["seed"] = workload.seed
    if not all(isinstance(value, (str, int, float)) for value in given.values()):
        return ""
    words = [*filter(None, [trace]), *(f"{name}={value!r}" for name, value in given.items())]
    if workload.prefixes is not None:
        words.append(f"prefixes=ic.{workload.prefixes!r}")
    return f"ic.Workload({', '.join(words)})"


def workload_text(workload: Workload) -> str:
    """Return a workload in words."""
    if workload.trace is not None:
        name = workload.trace.path.name if isinstance(workload.trace, Trace) else "recorded requests"
        return f"the requests of {name}"
    if workload.clients is not None:
        arrivals = f"{workload.clients:,} clients"
    elif workload.rate_per_s is not None:
        arrivals = f"{workload.rate_per_s:g} requests/s"
    else:
        arrivals = workload.arrivals if isinstance(workload.arrivals, str) else "requests"
    tokens = f" of {workload.prompt} prompt and {workload.output} output tokens" if workload.prompt is not None else ""
    return arrivals + tokens

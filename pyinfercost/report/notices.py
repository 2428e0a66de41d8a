"""Sentences of notices by code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..results.units import percent, quantity, significant

if TYPE_CHECKING:
    from ..results.notices import Notice


def sentence(notice: Notice) -> str:
    """Return the sentence of a notice."""
    words = _WORDS[notice.code]
    return words.format(**notice.values) if isinstance(words, str) else words(**notice.values)


_STEPS = {
    "weights": "weights and products of decode steps take",
    "attention": "attention of decode steps takes",
    "drafts": "drafts take",
    "host": "the host between steps takes",
    "prompts": "prompts take",
}
"""Part of the time of steps -> subject and verb."""


def _cache_limit(preempted: int) -> str:
    lost = f", and {preempted:,} sequences lost theirs" if preempted else ""
    return f"memory for caches: requests wait for blocks{lost}"


def _steps(part: str, share: float) -> str:
    return f"{_STEPS[part]} about {100 * share:.0f} % of the time of steps"


def _never_within(idle_s: Mapping[str, float]) -> str:
    cases = "; ".join(f"{name} {seconds:.4g} s" for name, seconds in idle_s.items())
    return f"No request is within the objective, and none can be: an idle server of this kind takes {cases}."


def _not_within(least_s: Mapping[str, float]) -> str:
    least = "; ".join(f"{name} {seconds:.4g} s at least" for name, seconds in least_s.items())
    return f"No request is within the objective under this load ({least}); an idle server would be."


def _longest(tokens: int, context: int, flag: str) -> str:
    of = f", fewer than the context of the model, {context:,}" if context else ""
    return f"The cache holds {tokens:,} tokens{of}; start the engine with {flag}."


def _fleet_above_capacity(rate_per_s: float, capacity_per_s: float, late_share: float, replicas: int) -> str:
    return (
        f"The rate of {rate_per_s:.4g} requests/s is above the capacity of {capacity_per_s:.4g}: the queue grows as "
        f"long as requests come, and so do waits, and {100 * late_share:.3g} % of the requests are late; "
        f"{replicas:,} replicas sustain it."
    )


_EFFECTS = {
    "model": "all figures",
    "traffic": "all figures",
    "slo": "late shares, and which fleet is the best",
    "hardware": "times, energy and cost, too",
    "precision": "bytes and times, too",
    "engine": "kernels, bytes and times, too",
    "serving": "times and tokens, too",
    "execution": "times, too",
    "threads": "times, too",
    "instances": "times, energy and memory, too",
    "sustained": "times, too",
    "devices": "times, energy and memory, too",
    "layout": "kernels, times, energy and memory, too",
    "host": "times, too",
    "price": "costs, too",
    "utilization": "costs, too",
}
"""Term of two sides that differs -> the figures that this changes."""


def _differs(name: str, before: object, after: object) -> str:
    return f"{_both(name, before, after)}; this changes {_EFFECTS[name]}"


def _size_differs(name: str, before: object, after: object) -> str:
    return f"size {_both(name, before, after)}; this may change all figures"


def _both(name: str, before: object, after: object) -> str:
    one, other = ("not given" if value in (None, "") else value for value in (before, after))
    return f"{name} differs: {one} before, {other} after"


def _unmodelled(when: str, calls: Mapping[str, int]) -> str:
    return f"not modelled {when}, and in no figure there: {', '.join(f'{op} x{n}' for op, n in calls.items())}"


def _no_fleet(slo: str, when: str) -> str:
    return f"no fleet holds {slo or 'the objective'} {when}; figures of the best one are not known"


def _slower(
    execution: str,
    other: str,
    ratio: float,
    effect: str,
    added_s: float,
    op_shares: Mapping[str, float],
    model: str = "",
    hardware: str = "",
    sizes: Mapping[str, int] | None = None,
) -> str:
    at = "".join(f", {size} {value}" for size, value in (sizes or {}).items())
    ops = " and ".join(f"{op} ({percent(share)} %)" for op, share in op_shares.items())
    return (
        f"{f'{model} on {hardware}{at}: ' if model else ''}{execution} takes {significant(ratio)} times as long as "
        f"{other}: kernels with the effect {effect!r} take {quantity(added_s, 's')} more, foremost the kernels of {ops}"
    )


def _needed(requests: str, replicas: int, given: int | None) -> str:
    need = f"{requests} need {replicas:,} replica{'s' * (replicas != 1)}"
    there = f", and there {'are' if given != 1 else 'is'} {given:,}"
    return f"{need} of this server" if given is None else need + there


def _busiest_days(days: float, most: int, simulated: int) -> str:
    chosen = "day was" if simulated == 1 else f"{simulated} days were"
    return f"of {days:.3g} days with more than {most:,} requests, the busiest {chosen} simulated: other days cost less"


def _sampled(share: float, most: int) -> str:
    return (
        f"simulated with {share:.3g} of the requests, which are more than {most:,}: all of them cost about "
        f"{1 / share:.3g} times as much, with replicas that are better used"
    )


def _slo(slo: str, missed: str) -> str:
    return f"requests have to hold {slo}" + (f", and do not now: {missed}" if missed else "")


_WORDS: Mapping[str, str | Callable[..., str]] = {
    # Requests that a server does not answer.
    "unfinished": "not finished when the run was stopped",
    "too_long": "refused: the prompt leaves no token of the longest sequence, {tokens:,}",
    "too_large": "refused: longer than the cache of {tokens:,} tokens",
    "too_many_tokens": "refused: the prompt is longer than a step of {tokens:,} tokens, and enable_chunked_prefill is "
    "off",
    "timed_out": "given up by the client",
    # Limits of a server.
    "above_capacity": "the rate is above the capacity",
    "cache_limit": _cache_limit,
    "sequences_limit": "sequences: {sequences:,} run at most in a server, and requests wait for a place",
    "no_limit": "no limit was reached",
    "no_steps": "no steps were run",
    "steps": _steps,
    "missed": "{condition} is {value_s:.4g} s, and the limit {limit_s:g} s",
    # Notes of a server.
    "queue_grows": "The rate of {rate_per_s:.4g} requests/s is above the capacity of {capacity_per_s:.4g}: the queue "
    "grows as long as requests come, and so do latencies; {replicas} replicas sustain it.",
    "truncated": "{requests:,} answers were cut at the longest sequence, {tokens:,} tokens.",
    "interrupted": "The run was stopped: figures are those of the requests that were answered, without bands.",
    "few_requests": "Fewer than ten requests are beyond the 99th percentile; simulate more requests.",
    "equal_pauses": "Pauses of clients are simulated as equal, at their mean.",
    "never_within": _never_within,
    "not_within": _not_within,
    "narrowed": "{engine} loads the float32 weights of this model in 16 bits, as by default.",
    "longest_sequence": _longest,
    # Notes of a fleet.
    "fleet_above_capacity": _fleet_above_capacity,
    "late_without_objective": "Without an objective, requests are late that wait longer than the mean service, "
    "{longest_wait_s:.4g} s; pass slo.",
    "bound": "a bound, not simulated: replicas exist while requests need them, and no request waits",
    "memory_in_tokens": "engines are simulated with memory in tokens and without prefix caches; detail full simulates "
    "each step",
    "assumed_interruptions": "spot machines are assumed to be interrupted {interruptions_per_h:g} times an hour, with "
    "a notice of {notice_s:g} s; pass interruptions",
    # Changes.
    "differs": _differs,
    "size_differs": _size_differs,
    "unmodelled": _unmodelled,
    "no_fleet": _no_fleet,
    "misses": "the fleet {when} misses {slo}",
    # Comparisons.
    "slower": _slower,
    "expert_loads": "experts have {load} loads in {engine}; --layout expert_load=... states others",
    "model_narrowed": "{engine} loads the float32 weights of {model} in 16 bits",
    # Advice.
    "assumed_price": "no price was given: {price}, the cheapest known of {machine}, is assumed",
    "refused": "{why}: they are in no figure, and no other setup may refuse more",
    "needed": _needed,
    "busiest_days": _busiest_days,
    "sampled": _sampled,
    "simulated": "{requests:,} requests in {hours:.3g} h were simulated for each fleet, and a month repeats them",
    "no_slo": "no limits of latencies were given: plans may make requests slower; pass slo=",
    "slo": _slo,
}
"""Code -> its sentence, as a template or a function of the values."""

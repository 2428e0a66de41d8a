"""The load of an engine in an interval, from the difference of two of its pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..results.live import Distribution, Series, series
from .step_predictions import StepLoad, mean_context

if TYPE_CHECKING:
    from .engine_totals import Change


def busy_s(change: Change, seconds: float, running: Sequence[float]) -> float:
    """Return the time in which requests were in service, by the best that the page has.

    - Time in which the device works: SGLang's `gpu_execution_seconds`, TGI's `batch_inference_duration`.
    - Executions of batches x their mean time, which each request of a batch counts: Triton.
    - Sequence-seconds of decoding and prefill over the mean number of sequences in a step: vLLM. While several
      sequences decode, the prefill of another one counts twice, as far as the interval lasts.
    - The share of the readings at both ends at which requests ran.

    Args:
        change: Increments since the page before.
        seconds: Length of the interval, which the result does not exceed.
        running: Requests in service at its ends, as far as known.
    """
    parts = change.parts
    if parts.get("busy_s"):
        return min(seconds, parts["busy_s"])
    if parts.get("batches") and parts.get("batch_requests"):
        return min(seconds, parts["batches"] * parts.get("batch_s", 0.0) / parts["batch_requests"])
    worked_s = parts.get("decode_s", 0.0) + parts.get("prefill_s", 0.0)
    if worked_s and parts.get("steps"):
        return min(seconds, worked_s / max(1.0, parts.get("decode_tokens", 0.0) / parts["steps"]))
    if "steps" in parts or "batches" in parts or not running:
        return min(seconds, change.counters.get(series("service_s"), 0.0))
    return seconds * sum(each > 0 for each in running) / len(running)


class LoadReader:
    """Loads of one interval after another."""

    def __init__(self) -> None:
        self._before: Mapping[Series, Distribution] = {}
        self._steps: Distribution | None = None

    def load(
        self,
        change: Change,
        totals: Mapping[Series, float],
        shapes: Mapping[Series, Distribution],
        step_tokens: Distribution | None,
        seconds: float,
        running: Sequence[float],
    ) -> StepLoad:
        """Return the load of an interval.

        Args:
            change: Increments since the page before.
            totals: Counters since the start of the observer.
            shapes: Distributions likewise.
            step_tokens: Tokens of steps since the start; None if unknown.
            seconds: Length of the interval.
            running: Requests in service at its ends, as far as known.
        """
        parts, counters = change.parts, change.counters
        before, self._before = self._before, shapes
        steps_before, self._steps = self._steps, step_tokens
        ok = series("requests", outcome="ok")
        answered = counters.get(ok, 0.0)
        prompts, ttft_s = answered, None
        if (ttft := shapes.get(series("ttft_s"))) is not None:
            earlier = before.get(series("ttft_s"))
            prompts = float(ttft.count - (earlier.count if earlier else 0))
            ttft_s = ttft.total - (earlier.total if earlier else 0.0)
        decode_s, decode_tokens = parts.get("decode_s", 0.0), parts.get("decode_tokens", 0.0)
        decode_steps = parts.get("decode_steps")
        if "decode_s" not in parts and decode_steps:
            # The tokens of a step are decoded together, and each waits for the whole step.
            decode_tokens = max(0.0, counters.get(series("output_tokens"), 0.0) - answered)
            decode_s = parts.get("decode_steps_s", 0.0) * decode_tokens / decode_steps
        all_answered = max(1.0, totals.get(ok, 0.0))
        lengths = shapes.get(series("request_prompt_tokens"))
        prompt_mean = totals.get(series("prompt_tokens"), 0.0) / all_answered
        if lengths is not None and lengths.count:
            prompt_mean = lengths.mean
        return StepLoad(
            seconds=seconds,
            decode_s=decode_s,
            decode_tokens=decode_tokens,
            steps=parts.get("steps"),
            decode_steps=decode_steps,
            step_tokens=None if step_tokens is None else step_tokens.since(steps_before),
            running=sum(running) / len(running) if running else 0.0,
            prompts=prompts,
            ttft_s=ttft_s,
            queue_s=_queue_s(prompts, counters, shapes, before),
            prompt_tokens=counters.get(series("prompt_tokens"), 0.0) or prompt_mean * prompts,
            cached_tokens=counters.get(series("cached_prompt_tokens"), 0.0),
            context_mean=mean_context(
                prompt_mean,
                shapes.get(series("request_output_tokens")),
                totals.get(series("output_tokens"), 0.0) / all_answered,
            ),
        )


def _queue_s(
    prompts: float,
    counters: Mapping[Series, float],
    shapes: Mapping[Series, Distribution],
    before: Mapping[Series, Distribution],
) -> float:
    """Return the time in the queue of some prompts.

    Engines count a time in the queue when its request ends, and the time to the first token before, so that the sums of
    an interval are of different requests: means are compared.
    """
    waits = shapes.get(series("queue_wait_s"))
    if waits is None:
        return counters.get(series("queue_s"), 0.0)
    earlier = before.get(series("queue_wait_s"))
    number, total = waits.count, waits.total
    if earlier is not None and number > earlier.count:
        number, total = number - earlier.count, total - earlier.total
    return prompts * total / number if number else 0.0

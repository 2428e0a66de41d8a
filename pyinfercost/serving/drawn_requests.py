"""Requests drawn from arrivals, lengths, prefixes and conversations, or read from a trace, before changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from .arrivals import ClosedLoop
from .conversations import Conversations, conversations
from .lengths import Lengths
from .prefixes import Prefixes
from .requests import CHUNK, Requests, WorkloadError

if TYPE_CHECKING:
    import numpy as np

    from .arrival_texts import Arrivals
    from .arrivals import ArrivalRun, Times
    from .recorded_requests import RecordedRequests
    from .traces import Trace

_PROMPTS, _OUTPUTS, _TIMES, _THINKS, _GROUPS, _STATES = range(6)  # streams of random numbers
_LEAST_TAKEN, _MOST_TAKEN = 64, 4096  # arrivals that are made together where few may be needed


@dataclass(frozen=True)
class DrawnRequests:
    """Requests of a workload; its fields, with the number of requests as `limit` (None without one)."""

    process: Arrivals
    prompt: Lengths | None
    output: Lengths | None
    prefixes: Prefixes | None
    turns: Conversations | None
    trace: Trace | RecordedRequests | None
    seed: int
    limit: int | None
    duration_s: float | None

    def chunks(self) -> Iterator[Requests]:
        """Yield the requests in order, up to their number or time.

        Raises:
            WorkloadError: The rate declines to nothing before there are as many requests.
        """
        import numpy as np

        if self.trace is not None:
            made = self._of_trace(self.trace)
        elif self.turns is None:
            made = self._drawn()
        else:
            run = self._begin()
            starts = partial(self._chunk, run)
            made = conversations(self.turns, *self._lengths(), starts, self._rng)
        left = self.limit
        for chunk in made:
            kept = chunk
            if self.duration_s is not None:
                kept = kept.part(slice(0, int(np.searchsorted(kept.arrival_s, self.duration_s, side="right"))))
            if left is not None:
                kept = kept.part(slice(0, left))
                left -= len(kept)
            if len(kept):
                if kept.arrival_s[-1] == np.inf:
                    raise WorkloadError(
                        "the rate declines to nothing before there are as many requests; pass fewer, or duration_s"
                    )
                yield kept
            if len(kept) < len(chunk) or left == 0:
                return

    def _rng(self, stream: int, chunk: int) -> np.random.Generator:
        """Return the random numbers of a stream in a chunk."""
        import numpy as np

        return np.random.default_rng(np.random.SeedSequence([self.seed, stream, chunk]))

    def _begin(self) -> ArrivalRun:
        """Return a run of the arrivals."""
        return self.process.begin(self._rng(_STATES, 0))

    def _drawn(self) -> Iterator[Requests]:
        run, number_ = self._begin(), 0
        while True:
            yield self._chunk(run, number_, CHUNK)
            number_ += 1

    def _chunk(self, run: ArrivalRun, chunk: int, count: int) -> Requests:
        """Return the requests of the next chunk, of which each has `count`."""
        import numpy as np

        prompt = output = np.zeros(count, dtype=np.int32)
        if self.prompt is not None and self.output is not None:
            prompt = self.prompt.draw(self._rng(_PROMPTS, chunk), count)
            output = self.output.draw(self._rng(_OUTPUTS, chunk), count)
        found = Requests(self._times(run, chunk, count), prompt, output)
        if isinstance(self.process, ClosedLoop):
            found = replace(found, think_s=self.process.thinks(self._rng(_THINKS, chunk), count))
        if self.prefixes is not None:
            prefix = self.prefixes.draw(self._rng(_GROUPS, chunk), count)
            tokens = np.where(prefix >= 0, self.prefixes.tokens, 0).astype(np.int32)
            found = replace(found, prefix=prefix, prefix_tokens=tokens, prompt_tokens=prompt + tokens)
        return found

    def _times(self, run: ArrivalRun, chunk: int, count: int) -> Times:
        """Return the arrivals of a chunk; infinite ones in the place of those after `duration_s` or `requests`."""
        import numpy as np

        rng = self._rng(_TIMES, chunk)
        if self.turns is not None:
            found = run.take(rng, count)
            if count and found[-1] == np.inf:
                raise WorkloadError("the rate declines to nothing; pass a smaller decline to a workload with turns")
            return found
        needed = count if self.limit is None else min(count, self.limit - chunk * count)
        if self.duration_s is None and needed == count:
            return run.take(rng, count)
        found = np.full(count, np.inf)
        until = np.inf if self.duration_s is None else self.duration_s
        taken = int(min(_MOST_TAKEN, max(_LEAST_TAKEN, self.process.rate_per_s * until)))
        for first in range(0, needed, taken):
            part = found[first : min(first + taken, needed)]
            part[:] = run.take(rng, part.size)
            if part[-1] > until:
                break
        return found

    def _lengths(self) -> tuple[Lengths, Lengths]:
        """Return lengths of prompts and of answers."""
        if self.prompt is None or self.output is None:
            raise WorkloadError("prompt or output is not given; pass the tokens of both")
        return self.prompt, self.output

    def _of_trace(self, trace: Trace | RecordedRequests) -> Iterator[Requests]:
        # One sequence of random numbers each: lengths and times do not depend on where chunks of the trace end.
        of_prompts, of_outputs, of_times = (self._rng(stream, 0) for stream in (_PROMPTS, _OUTPUTS, _TIMES))
        run = self._begin()
        for chunk in trace.chunks():
            found = chunk
            if not trace.has_lengths and self.prompt is not None and self.output is not None:
                found = replace(
                    found,
                    prompt_tokens=self.prompt.draw(of_prompts, len(chunk)),
                    output_tokens=self.output.draw(of_outputs, len(chunk)),
                )
            if not trace.timed:
                found = replace(found, arrival_s=run.take(of_times, len(chunk)))
            yield found

"""Workloads: requests with their arrivals, lengths, shared prefixes and conversations, in chunks of arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite
from os import PathLike
from typing import TYPE_CHECKING, Any

from .._checks import MOST, Range, number, shown, whole
from .arrival_texts import parse_arrivals
from .arrivals import AtOnce, ClosedLoop, GammaArrivals
from .conversations import Turns, conversations
from .lengths import MOST_TOKENS, Lengths, parse_lengths
from .replay import Replay
from .requests import CHUNK, Requests, WorkloadError, joined
from .rules import Between, Repeated, Rule, Thinned, ruled, scaling
from .traces import Trace, read_trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .arrival_texts import Arrivals, ArrivalsLike
    from .arrivals import ArrivalRun, Times
    from .lengths import LengthsLike

_REQUESTS = Range(1, 10**12, "requests")
_SECONDS = Range(1e-9, 1e12, "s")
_SEED = Range(0, 2**63 - 1)
_PROMPTS, _OUTPUTS, _TIMES, _THINKS, _GROUPS, _STATES = range(6)  # streams of random numbers
FEW_REQUESTS = 1000
"""Requests of a workload that states neither their number nor a time."""
_LEAST_TAKEN, _MOST_TAKEN = 64, 4096  # arrivals that are made together where few may be needed


@dataclass(frozen=True)
class Prefixes:
    """Prefixes that prompts share, such as instructions of an application.

    Attributes:
        tokens: Tokens of a prefix. They come before the tokens of `Workload.prompt`.
        groups: Number of different prefixes.
        share: Share of the requests that have one.
        skew: Exponent of the popularity of a prefix: the i-th of them is as likely as i^-skew; 0 for equal shares.
    """

    tokens: int
    groups: int = 1
    share: float = 1.0
    skew: float = 0.0

    def __post_init__(self) -> None:
        self.__dict__.update(
            tokens=whole(self.tokens, "tokens", Range(1, MOST_TOKENS), WorkloadError),
            groups=whole(self.groups, "groups", Range(1, MOST), WorkloadError),
            share=number(self.share, "share", Range(0.0, 1.0), WorkloadError),
            skew=number(self.skew, "skew", Range(0.0, 100.0), WorkloadError),
        )

    def __str__(self) -> str:
        """The text that `parse_prefixes` accepts."""
        defaults = {"groups": 1, "share": 1.0, "skew": 0.0}
        others = [f"{name}={getattr(self, name)}" for name, each in defaults.items() if getattr(self, name) != each]
        return ",".join([str(self.tokens), *others])

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Return the prefix of each of `count` requests; -1 without one."""
        import numpy as np

        weights = np.arange(1, self.groups + 1, dtype=np.float64) ** -self.skew
        cumulative = np.cumsum(weights / weights.sum())
        found = np.searchsorted(cumulative, rng.random(count), side="right").astype(np.int64)
        return np.where(rng.random(count) < self.share, np.minimum(found, self.groups - 1), -1)


_PREFIXES: Mapping[str, type[int] | type[float]] = {"tokens": int, "groups": int, "share": float, "skew": float}


def parse_prefixes(text: str) -> Prefixes:
    """Parse prefixes that prompts share.

    Args:
        text: The tokens of a prefix, then other fields: `"1000"`, `"1000,groups=8,share=0.5,skew=1"`.

    Raises:
        WorkloadError: A name is no field of `Prefixes`, or a value is no number or out of range.
    """
    given: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals:
            name, value = "tokens", name
        try:
            given[name] = _PREFIXES[name](value)
        except (KeyError, ValueError):
            raise WorkloadError(
                f"prefixes have {shown(part)}; expected tokens, then some of groups=8, share=0.5, skew=1"
            ) from None
    if "tokens" not in given:
        raise WorkloadError(f"prefixes are {shown(text)}, without tokens; expected such as 1000,groups=8")
    return Prefixes(**given)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Requests of a service: when they arrive, and how long prompts and answers are.

    A workload is a recipe: `chunks` makes its requests, the same ones each time, a chunk at a time.

    Attributes:
        rate_per_s: Mean rate of requests of an open loop; of conversations with `turns`.
        clients: Clients of a closed loop, instead of a rate. Without either, all requests arrive at once.
        arrivals: How requests arrive: `"poisson"` (the default of a rate), `"gamma:cv=4"`,
            `"bursts:size=8,spacing_s=0.01"`, `"diurnal:peak=3,weekend=0.5"`, `"mmpp:burst=5,share=0.1,length_s=60"`,
            `"closed:think_s=2"`, `"at-once"`, or an object of `arrivals` or `varying_arrivals`. A text may have the
            rate, `"gamma:20,cv=4"` or `"diurnal:mean=20,peak=3"`, in the place of `rate_per_s`.
        prompt: Tokens of prompts: a number, `"uniform:100-200"`, `"lognormal:mean=512,cv=1.2"`, observed lengths, or
            an object of `lengths`. Without `prompt` and `output`, requests have no tokens, like those of a model of
            images.
        output: Tokens of answers, likewise.
        requests: Number of requests; without it those of `duration_s`, of the trace, or 1,000.
        duration_s: Time after which no request arrives.
        prefixes: Prefixes that prompts share.
        turns: Conversations.
        trace: Requests of a real service, instead of arrivals; its lengths replace `prompt` and `output` where it has
            them.
        seed: Decides the random numbers.

    Raises:
        InputError: A value is out of range, or two contradict each other.
    """

    rate_per_s: float | None = None
    clients: int | None = None
    arrivals: ArrivalsLike | None = None
    prompt: LengthsLike | None = None
    output: LengthsLike | None = None
    requests: int | None = None
    duration_s: float | None = None
    prefixes: Prefixes | None = None
    turns: Turns | None = None
    trace: Trace | Replay | None = None
    seed: int = 0
    _changes: tuple[Rule, ...] = field(default=(), repr=False)
    _arrivals: Arrivals = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {"seed": whole(self.seed, "seed", _SEED, WorkloadError)}
        if self.requests is not None:
            checked["requests"] = whole(self.requests, "requests", _REQUESTS, WorkloadError)
        if self.duration_s is not None:
            checked["duration_s"] = number(self.duration_s, "duration_s", _SECONDS, WorkloadError)
        for name, kind in (("prefixes", Prefixes), ("turns", Turns)):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise WorkloadError(f"{name} is {shown(value)}; expected a {kind.__name__}")
        if self.trace is not None:
            self._check_trace()
        made = parse_arrivals(self.arrivals, rate_per_s=self.rate_per_s, clients=self.clients)
        for name, other in (("prompt", "output"), ("output", "prompt")):
            if getattr(self, name) is not None:
                checked[name] = parse_lengths(getattr(self, name), name)
            elif any(getattr(self, each) is not None for each in (other, "prefixes", "turns")):
                raise WorkloadError(f"{name} is not given; pass the tokens of it, such as {name}=256")
        if self.duration_s is not None and isinstance(made, (AtOnce, ClosedLoop)) and self.trace is None:
            raise WorkloadError(
                f"duration_s is {shown(self.duration_s)}, and arrivals have no times of their own; pass requests"
            )
        if self.turns is not None and isinstance(made, (AtOnce, ClosedLoop)):
            raise WorkloadError("turns go with a rate of conversations; pass rate_per_s")
        self.__dict__.update(checked, _arrivals=made)

    def _check_trace(self) -> None:
        if not isinstance(self.trace, (Trace, Replay)):
            raise WorkloadError(f"trace is {shown(self.trace)}; expected the result of read_trace, or a Replay")
        given = [name for name in ("prefixes", "turns", "clients") if getattr(self, name) is not None]
        if given:
            raise WorkloadError(f"{given[0]} is given beside trace, which has its own requests; leave it out")
        if self.trace.timed and (self.rate_per_s is not None or self.arrivals is not None):
            raise WorkloadError(
                "rate_per_s or arrivals is given beside a trace with times; scale its times with trace.at_rate, or "
                "pass read_trace(..., times=False)"
            )

    @classmethod
    def read(cls, path: str | PathLike[str], **options: Any) -> Workload:
        """Return the workload of a request trace.

        Args:
            path: The file.
            **options: Fields of `Workload` and arguments of `read_trace`.
        """
        own = {name: options.pop(name) for name in tuple(options) if name in cls.__dataclass_fields__}
        return cls(trace=read_trace(path, **options), **own)

    @property
    def process(self) -> Arrivals:
        """How requests arrive."""
        return self._arrivals

    @property
    def prompts(self) -> Lengths | None:
        """Lengths of prompts, without what they share; None for those of a trace."""
        return self.prompt  # type: ignore[return-value]

    @property
    def outputs(self) -> Lengths | None:
        """Lengths of answers; None for those of a trace."""
        return self.output  # type: ignore[return-value]

    def chunks(self) -> Iterator[Requests]:
        """Yield the requests in order, in chunks of at most 65,536.

        Memory is that of one chunk; with `turns` also that of the conversations that go on.

        Raises:
            WorkloadError: The rate declines to nothing before there are as many requests.
        """
        yield from ruled(self._limited(), self._changes)

    def _limited(self) -> Iterator[Requests]:
        """Yield the requests up to their number or time, before changes."""
        import numpy as np

        if self.trace is not None:
            made = self._of_trace(self.trace)
        elif self.turns is None:
            made = self._drawn()
        else:
            run = self._begin()
            starts = partial(self._drawn_chunk, run)
            made = conversations(self.turns, *self._lengths(), starts, self.rng)
        left = self._limit
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

    @property
    def _limit(self) -> int | None:
        """Number of requests; None without a limit."""
        if self.requests is None and self.duration_s is None and self.trace is None:
            return FEW_REQUESTS
        return self.requests

    def all(self) -> Requests:
        """Return all requests in one value."""
        return joined(list(self.chunks()))

    def rng(self, stream: int, chunk: int) -> np.random.Generator:
        """Return the random numbers of a stream in a chunk."""
        import numpy as np

        return np.random.default_rng(np.random.SeedSequence([self.seed, stream, chunk]))

    def _begin(self) -> ArrivalRun:
        """Return a run of the arrivals."""
        return self._arrivals.begin(self.rng(_STATES, 0))

    def _drawn(self) -> Iterator[Requests]:
        run, number_ = self._begin(), 0
        while True:
            yield self._drawn_chunk(run, number_, CHUNK)
            number_ += 1

    def _drawn_chunk(self, run: ArrivalRun, chunk: int, count: int) -> Requests:
        """Return the requests of the next chunk, of which each has `count`."""
        import numpy as np

        prompt = output = np.zeros(count, dtype=np.int32)
        if self.prompts is not None and self.outputs is not None:
            prompt = self.prompts.draw(self.rng(_PROMPTS, chunk), count)
            output = self.outputs.draw(self.rng(_OUTPUTS, chunk), count)
        found = Requests(self._times(run, chunk, count), prompt, output)
        if isinstance(self._arrivals, ClosedLoop):
            found = replace(found, think_s=self._arrivals.thinks(self.rng(_THINKS, chunk), count))
        if self.prefixes is not None:
            prefix = self.prefixes.draw(self.rng(_GROUPS, chunk), count)
            tokens = np.where(prefix >= 0, self.prefixes.tokens, 0).astype(np.int32)
            found = replace(found, prefix=prefix, prefix_tokens=tokens, prompt_tokens=prompt + tokens)
        return found

    def _times(self, run: ArrivalRun, chunk: int, count: int) -> Times:
        """Return the arrivals of a chunk; infinite ones in the place of those after `duration_s` or `requests`."""
        import numpy as np

        rng = self.rng(_TIMES, chunk)
        if self.turns is not None:
            found = run.take(rng, count)
            if count and found[-1] == np.inf:
                raise WorkloadError("the rate declines to nothing; pass a smaller decline to a workload with turns")
            return found
        needed = count if self._limit is None else min(count, self._limit - chunk * count)
        if self.duration_s is None and needed == count:
            return run.take(rng, count)
        found = np.full(count, np.inf)
        until = np.inf if self.duration_s is None else self.duration_s
        taken = int(min(_MOST_TAKEN, max(_LEAST_TAKEN, self._arrivals.rate_per_s * until)))
        for first in range(0, needed, taken):
            part = found[first : min(first + taken, needed)]
            part[:] = run.take(rng, part.size)
            if part[-1] > until:
                break
        return found

    def _lengths(self) -> tuple[Lengths, Lengths]:
        """Return lengths of prompts and of answers."""
        if self.prompts is None or self.outputs is None:
            raise WorkloadError("prompt or output is not given; pass the tokens of both")
        return self.prompts, self.outputs

    def _of_trace(self, trace: Trace | Replay) -> Iterator[Requests]:
        # One sequence of random numbers each: lengths and times do not depend on where chunks of the trace end.
        of_prompts, of_outputs, of_times = (self.rng(stream, 0) for stream in (_PROMPTS, _OUTPUTS, _TIMES))
        run = self._begin()
        for chunk in trace.chunks():
            found = chunk
            if not trace.has_lengths and self.prompts is not None and self.outputs is not None:
                found = replace(
                    found,
                    prompt_tokens=self.prompts.draw(of_prompts, len(chunk)),
                    output_tokens=self.outputs.draw(of_outputs, len(chunk)),
                )
            if not trace.timed:
                found = replace(found, arrival_s=run.take(of_times, len(chunk)))
            yield found

    # ---- changes ----

    @property
    def changed(self) -> bool:
        """Whether requests were cut, thinned or repeated."""
        return bool(self._changes)

    def at_rate(self, rate_per_s: float) -> Workload:
        """Return the workload at another mean rate: times of a trace are scaled, and arrivals are drawn at the rate.

        Raises:
            WorkloadError: It is a closed loop, has all requests at once, or was changed by rules before.
        """
        if self._changes:
            raise WorkloadError("the workload was cut, thinned or repeated; change its rate before")
        if self.trace is not None and self.trace.timed:
            return replace(self, trace=self.trace.at_rate(rate_per_s))
        if isinstance(self._arrivals, ClosedLoop) or (isinstance(self._arrivals, AtOnce) and self.arrivals is not None):
            raise WorkloadError(f"arrivals is {shown(self.arrivals)}, without a rate to change; pass another one")
        if isinstance(self._arrivals, AtOnce):
            return replace(self, arrivals=GammaArrivals(rate_per_s=rate_per_s))
        return replace(self, rate_per_s=None, arrivals=self._arrivals.at_rate(rate_per_s))

    def scaled(self, factor: float, *, jitter_s: float = 0.0, seed: int = 0) -> Workload:
        """Return so many times the requests in the same time.

        Arrivals are drawn at the higher or lower rate, and those of bins of a trace from so many times their counts.
        Other requests are thinned by a factor below 1: each stays with this probability. Above 1, each is repeated and,
        if the factor is not whole, thinned then.

        Args:
            factor: Requests / requests before.
            jitter_s: Copies but the first arrive up to so much later, uniformly.
            seed: Of the requests that stay, and of the jitter.
        """
        rules = scaling(factor, jitter_s, seed)
        limit = None if self._limit is None else max(1, round(self._limit * factor))
        if self.trace is None and not self._changes and isfinite(self._arrivals.rate_per_s):
            return replace(self.at_rate(self._arrivals.rate_per_s * factor), requests=limit)
        if isinstance(self.trace, Trace) and not self._changes and self.trace.timed:
            return replace(self, trace=self.trace.scaled(factor, jitter_s=jitter_s, seed=seed), requests=limit)
        return replace(self, _changes=(*self._changes, *rules))

    def thinned(self, share: float, *, seed: int = 0) -> Workload:
        """Return the workload in which each request stays with a probability, whatever happens to the others."""
        return replace(self, _changes=(*self._changes, Thinned(share, seed)))

    def between(self, start_s: float, end_s: float) -> Workload:
        """Return the requests from one time to another; times begin at `start_s`.

        The requests of the following day are `between(86_400, 172_800)`. Limits of the workload hold before.
        """
        self._check_timed("between")
        return replace(self, _changes=(*self._changes, Between(start_s, end_s)))

    def repeated(self, copies: int, *, jitter_s: float = 0.0, seed: int = 0) -> Workload:
        """Return the workload with several copies of each request, as `Trace.repeated` does."""
        return replace(self, _changes=(*self._changes, Repeated(copies, jitter_s, seed)))

    def _check_timed(self, change: str) -> None:
        if isinstance(self._arrivals, (AtOnce, ClosedLoop)) and not (self.trace is not None and self.trace.timed):
            raise WorkloadError(f"arrivals have no times of their own, and {change} changes them; pass a rate")

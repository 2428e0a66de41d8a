"""Workloads: requests with their arrivals, lengths, shared prefixes and conversations, in chunks of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import isfinite
from os import PathLike
from typing import TYPE_CHECKING, Any

from .._checks import MOST, Range, shown
from ..inputs.settings import SAME, Parsed, Settings, converted, number, whole
from .arrival_texts import parse_arrivals
from .arrivals import AtOnce, ClosedLoop, GammaArrivals, parse_rate
from .conversations import Conversations
from .drawn_requests import DrawnRequests
from .lengths import Lengths, parse_lengths
from .prefixes import Prefixes
from .recorded_requests import RecordedRequests
from .requests import Requests, WorkloadError, joined
from .rules import Between, Repeated, Rule, Thinned, ruled, scaling
from .traces import Trace, read_trace

if TYPE_CHECKING:
    from .arrival_texts import Arrivals, ArrivalsLike
    from .lengths import LengthsLike

_REQUESTS = Range(1, 10**12, "requests")
_SECONDS = Range(1e-9, 1e12, "s")
_SEED = Range(0, 2**63 - 1)
FEW_REQUESTS = 1000
"""Requests of a workload that states neither their number nor a time."""
MANY_REQUESTS = 10_000
"""Requests of a workload that the command line describes."""


def _as_given(value: Any) -> Any:
    """Return a value that is read later, together with others."""
    return value


class Workload(Settings):
    """Requests of a service: when they arrive, and how long prompts and answers are.

    A workload is a recipe: `chunks` makes its requests, the same ones each time, a chunk at a time.

    Raises:
        InputError: A value is out of range, or two contradict each other.
    """

    kind = "workload"
    error = WorkloadError
    rate_per_s: Parsed[float | str | None, float | None] = converted(
        partial(parse_rate, name="rate_per_s"),
        'Mean rate of requests of an open loop, or text such as `"90/min"`; of conversations with `turns`.',
        default=None,
        option="Requests per second, minute or hour, such as 4/s or 90/min.",
        metavar="RATE",
    )
    clients: int | None = whole(
        Range(1, MOST),
        "Clients of a closed loop, instead of a rate. Without either, all requests arrive at once.",
        default=None,
        option="Clients, instead of a rate.",
        metavar="N",
    )
    arrivals: ArrivalsLike | None = converted(
        _as_given,
        'How requests arrive: `"poisson"` (the default of a rate), `"gamma:cv=4"`, `"bursts:size=8,spacing_s=0.01"`, '
        '`"diurnal:peak=3,weekend=0.5"`, `"mmpp:burst=5,share=0.1,length_s=60"`, `"closed:think_s=2"`, `"at-once"`, '
        'or an object of `arrivals` or `varying_arrivals`. A text may have the rate, `"gamma:20,cv=4"` or '
        '`"diurnal:mean=20,peak=3"`, in the place of `rate_per_s`.',
        default=None,
        option="poisson (default), gamma:cv=4, bursts:size=8, diurnal:peak=3, mmpp:burst=5,share=0.1,length_s=60, "
        "at-once; with the rate in it instead of --rate: poisson:20, diurnal:mean=20,peak=3.",
        metavar="KIND",
    )
    prompt: Parsed[LengthsLike | None, Lengths | None] = converted(
        partial(parse_lengths, name="prompt"),
        'Tokens of prompts: a number, `"uniform:100-200"`, `"lognormal:mean=512,cv=1.2"`, observed lengths, or an '
        "object of `lengths`. Without `prompt` and `output`, requests have no tokens, as for a model of images.",
        default=None,
        option="Tokens of prompts: 1024, uniform:100-2000, lognormal:mean=512,cv=1.2.",
        metavar="TOKENS",
    )
    output: Parsed[LengthsLike | None, Lengths | None] = converted(
        partial(parse_lengths, name="output"),
        "Tokens of answers, likewise.",
        default=None,
        option=SAME,
        metavar="TOKENS",
    )
    requests: int | None = whole(
        _REQUESTS,
        "Number of requests; without it those of `duration_s`, of the trace, or 1,000.",
        default=None,
        option=f"Number of requests; default: {MANY_REQUESTS:,}.",
        metavar="N",
    )
    duration_s: float | None = number(_SECONDS, "Time after which no request arrives.", default=None)
    prefixes: Parsed[Prefixes | str | None, Prefixes | None] = converted(
        Prefixes.parse,
        'Prefixes that prompts share: `Prefixes`, or text such as `"1000,groups=8"`.',
        default=None,
        option="Prefixes that prompts share, before the tokens of --prompt: 1000,groups=8,share=0.5,skew=1.",
        metavar="TOKENS[,NAME=VALUE...]",
    )
    turns: Parsed[Conversations | str | None, Conversations | None] = converted(
        Conversations.parse, 'Conversations: `Conversations`, or text such as `"4,gap_s=30"`.', default=None
    )
    trace: Trace | RecordedRequests | None = converted(
        _as_given,
        "Requests of a real service, instead of arrivals; its lengths replace `prompt` and `output` where it has them.",
        default=None,
        option="Requests of a request trace, in the place of --prompt and --output-tokens; with --rate its times are "
        "scaled. FILE#12 is one of Azure's functions.",
        metavar="[FORMAT:]FILE",
    )
    seed: int = whole(
        _SEED, "Decides the random numbers.", default=0, option="Decides the random numbers; default: 0.", metavar="N"
    )

    @classmethod
    def _named(cls, name: str) -> str:
        return name

    def _check(self) -> None:
        if self.trace is not None:
            self._check_trace()
        made = parse_arrivals(self.arrivals, rate_per_s=self.rate_per_s, clients=self.clients)
        for name, other in (("prompt", "output"), ("output", "prompt")):
            if getattr(self, name) is None and any(
                getattr(self, each) is not None for each in (other, "prefixes", "turns")
            ):
                raise WorkloadError(f"{name} is not given; pass the tokens of it, such as {name}=256")
        if self.duration_s is not None and isinstance(made, (AtOnce, ClosedLoop)) and self.trace is None:
            raise WorkloadError(
                f"duration_s is {shown(self.duration_s)}, and arrivals have no times of their own; pass requests"
            )
        if self.turns is not None and isinstance(made, (AtOnce, ClosedLoop)):
            raise WorkloadError("turns go with a rate of conversations; pass rate_per_s")
        self.__dict__.update(_arrivals=made, _changes=())

    def _check_trace(self) -> None:
        if not isinstance(self.trace, (Trace, RecordedRequests)):
            raise WorkloadError(
                f"trace is {shown(self.trace)}; expected the result of read_trace, or a RecordedRequests"
            )
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
        own = {each.name: options.pop(each.name) for each in cls.fields if each.name in options}
        return cls(trace=read_trace(path, **options), **own)

    @property
    def process(self) -> Arrivals:
        """How requests arrive."""
        found: Arrivals = self.__dict__["_arrivals"]
        return found

    @property
    def _changes(self) -> tuple[Rule, ...]:
        found: tuple[Rule, ...] = self.__dict__["_changes"]
        return found

    def chunks(self) -> Iterator[Requests]:
        """Yield the requests in order, in chunks of at most 65,536.

        Memory is for one chunk; with `turns` also for the conversations that go on.

        Raises:
            WorkloadError: The rate declines to nothing before there are as many requests.
        """
        drawn = DrawnRequests(
            process=self.process,
            prompt=self.prompt,
            output=self.output,
            prefixes=self.prefixes,
            turns=self.turns,
            trace=self.trace,
            seed=self.seed,
            limit=self._limit,
            duration_s=self.duration_s,
        )
        yield from ruled(drawn.chunks(), self._changes)

    @property
    def _limit(self) -> int | None:
        """Number of requests; None without a limit."""
        if self.requests is None and self.duration_s is None and self.trace is None:
            return FEW_REQUESTS
        return self.requests

    def all(self) -> Requests:
        """Return all requests in one value."""
        return joined(list(self.chunks()))

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
            return self.replace(trace=self.trace.at_rate(rate_per_s))
        if isinstance(self.process, ClosedLoop) or (isinstance(self.process, AtOnce) and self.arrivals is not None):
            raise WorkloadError(f"arrivals is {shown(self.arrivals)}, without a rate to change; pass another one")
        if isinstance(self.process, AtOnce):
            return self.replace(arrivals=GammaArrivals(rate_per_s=rate_per_s))
        return self.replace(rate_per_s=None, arrivals=self.process.at_rate(rate_per_s))

    def scaled(self, factor: float, *, jitter_s: float = 0.0, seed: int = 0) -> Workload:
        """Return so many times the requests in the same time.

        Arrivals are drawn at the higher or lower rate; of bins of a trace, from their counts times the factor.
        Other requests are thinned by a factor below 1: each stays with this probability. Above 1, each is repeated and,
        if the factor is not whole, thinned then.

        Args:
            factor: Requests / requests before.
            jitter_s: Copies but the first arrive up to so much later, uniformly.
            seed: Of the requests that stay, and of the jitter.
        """
        rules = scaling(factor, jitter_s, seed)
        limit = None if self._limit is None else max(1, round(self._limit * factor))
        if self.trace is None and not self._changes and isfinite(self.process.rate_per_s):
            return self.at_rate(self.process.rate_per_s * factor).replace(requests=limit)
        if isinstance(self.trace, Trace) and not self._changes and self.trace.timed:
            return self.replace(trace=self.trace.scaled(factor, jitter_s=jitter_s, seed=seed), requests=limit)
        return self._ruled(*rules)

    def thinned(self, share: float, *, seed: int = 0) -> Workload:
        """Return the workload in which each request stays with a probability, whatever happens to the others."""
        return self._ruled(Thinned(share, seed))

    def between(self, start_s: float, end_s: float) -> Workload:
        """Return the requests from one time to another; times begin at `start_s`.

        The requests of the following day are `between(86_400, 172_800)`. Limits of the workload hold before.
        """
        self._check_timed("between")
        return self._ruled(Between(start_s, end_s))

    def repeated(self, copies: int, *, jitter_s: float = 0.0, seed: int = 0) -> Workload:
        """Return the workload with several copies of each request, as `Trace.repeated` does."""
        return self._ruled(Repeated(copies, jitter_s, seed))

    def replace(self, **changes: Any) -> Workload:
        """Return the workload with other settings; requests are cut, thinned and repeated as before."""
        made = super().replace(**changes)
        made.__dict__["_changes"] = self._changes
        return made

    def _ruled(self, *rules: Rule) -> Workload:
        """Return the workload with more changes."""
        made = self.replace()
        made.__dict__["_changes"] = (*self._changes, *rules)
        return made

    def _check_timed(self, change: str) -> None:
        if isinstance(self.process, (AtOnce, ClosedLoop)) and not (self.trace is not None and self.trace.timed):
            raise WorkloadError(f"arrivals have no times of their own, and {change} changes them; pass a rate")

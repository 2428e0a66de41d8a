"""Workloads: requests with their arrivals, lengths, shared prefixes and conversations, in chunks of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from .._checks import MOST, Range, number, shown, whole
from .arrivals import AtOnce, ClosedLoop, parse_arrivals
from .conversations import Turns, conversations
from .lengths import MOST_TOKENS, Lengths, parse_lengths
from .replay import Replay
from .requests import CHUNK, Requests, WorkloadError, joined
from .traces import Trace, read_trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .arrivals import Arrivals, ArrivalsLike
    from .lengths import LengthsLike

_REQUESTS = Range(1, 10**12, "requests")
_SECONDS = Range(1e-9, 1e12, "s")
_SEED = Range(0, 2**63 - 1)
_PROMPTS, _OUTPUTS, _TIMES, _THINKS, _GROUPS = range(5)  # streams of random numbers
_FEW = 1000


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

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Return the prefix of each of `count` requests; -1 without one."""
        import numpy as np

        weights = np.arange(1, self.groups + 1, dtype=np.float64) ** -self.skew
        cumulative = np.cumsum(weights / weights.sum())
        found = np.searchsorted(cumulative, rng.random(count), side="right").astype(np.int64)
        return np.where(rng.random(count) < self.share, np.minimum(found, self.groups - 1), -1)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Requests of a service: when they arrive, and how long prompts and answers are.

    A workload is a recipe: `chunks` makes its requests, the same ones each time, a chunk at a time.

    Attributes:
        rate_per_s: Mean rate of requests of an open loop; of conversations with `turns`.
        clients: Clients of a closed loop, instead of a rate. Without either, all requests arrive at once.
        arrivals: How requests arrive: `"poisson"` (the default of a rate), `"gamma:cv=4"`,
            `"bursts:size=8,spacing_s=0.01"`, `"diurnal:depth=0.8"`, `"closed:think_s=2"`, `"at-once"`, or an object of
            `arrivals`.
        prompt: Tokens of prompts: a number, `"uniform:100-200"`, `"lognormal:mean=512,cv=1.2"`, observed lengths, or
            an object of `lengths`.
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
        if self.trace is None:
            for name in ("prompt", "output"):
                if getattr(self, name) is None:
                    raise WorkloadError(f"{name} is not given; pass the tokens of it, such as {name}=256")
        for name in ("prompt", "output"):
            if getattr(self, name) is not None:
                checked[name] = parse_lengths(getattr(self, name), name)
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
        for name in ("prompt", "output"):
            if not self.trace.has_lengths and getattr(self, name) is None:
                raise WorkloadError(f"{name} is not given, and the trace has no lengths; pass {name}=")

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
        """
        limit = self.requests
        if limit is None and self.duration_s is None and self.trace is None:
            limit = _FEW
        if self.trace is not None:
            made = self._of_trace(self.trace)
        elif self.turns is None:
            made = self._drawn()
        else:
            made = conversations(self.turns, *self._lengths(), self.drawn_chunk, self.rng)
        left = limit
        for chunk in made:
            kept = chunk
            if self.duration_s is not None:
                import numpy as np

                kept = kept.part(slice(0, int(np.searchsorted(kept.arrival_s, self.duration_s, side="right"))))
            if left is not None:
                kept = kept.part(slice(0, left))
                left -= len(kept)
            if len(kept):
                yield kept
            if len(kept) < len(chunk) or left == 0:
                return

    def all(self) -> Requests:
        """Return all requests in one value."""
        return joined(list(self.chunks()))

    def rng(self, stream: int, chunk: int) -> np.random.Generator:
        """Return the random numbers of a stream in a chunk."""
        import numpy as np

        return np.random.default_rng(np.random.SeedSequence([self.seed, stream, chunk]))

    def _drawn(self) -> Iterator[Requests]:
        at, number_ = 0.0, 0
        while True:
            chunk = self.drawn_chunk(number_, CHUNK, at)
            yield chunk
            at, number_ = float(chunk.arrival_s[-1]), number_ + 1

    def drawn_chunk(self, chunk: int, count: int, at: float) -> Requests:
        """Return the requests of a chunk, of which each has `count`, where the arrival before it was at `at`."""
        import numpy as np

        prompts, outputs = self._lengths()
        prompt = prompts.draw(self.rng(_PROMPTS, chunk), count)
        found = Requests(
            arrival_s=self._arrivals.times(self.rng(_TIMES, chunk), count, at, chunk * count),
            prompt_tokens=prompt,
            output_tokens=outputs.draw(self.rng(_OUTPUTS, chunk), count),
        )
        if isinstance(self._arrivals, ClosedLoop):
            found = replace(found, think_s=self._arrivals.thinks(self.rng(_THINKS, chunk), count))
        if self.prefixes is not None:
            prefix = self.prefixes.draw(self.rng(_GROUPS, chunk), count)
            tokens = np.where(prefix >= 0, self.prefixes.tokens, 0).astype(np.int32)
            found = replace(found, prefix=prefix, prefix_tokens=tokens, prompt_tokens=prompt + tokens)
        return found

    def _lengths(self) -> tuple[Lengths, Lengths]:
        """Return lengths of prompts and of answers."""
        if self.prompts is None or self.outputs is None:
            raise WorkloadError("prompt or output is not given; pass the tokens of both")
        return self.prompts, self.outputs

    def _of_trace(self, trace: Trace | Replay) -> Iterator[Requests]:
        at, number_, first = 0.0, 0, 0
        for chunk in trace.chunks():
            found = chunk
            if not trace.has_lengths:
                prompts, outputs = self._lengths()
                found = replace(
                    found,
                    prompt_tokens=prompts.draw(self.rng(_PROMPTS, number_), len(chunk)),
                    output_tokens=outputs.draw(self.rng(_OUTPUTS, number_), len(chunk)),
                )
            if not trace.timed:
                times = self._arrivals.times(self.rng(_TIMES, number_), len(chunk), at, first)
                found = replace(found, arrival_s=times)
                at = float(times[-1]) if len(times) else at
            yield found
            number_, first = number_ + 1, first + len(chunk)

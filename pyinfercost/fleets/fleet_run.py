"""`FleetRun`: settings of all fleets of a simulation, without their machines, autoscalers and traffic."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .._checks import Range
from ..inputs.settings import SAME, Parsed, Settings, converted, flag, number, whole, word
from ..serving.lengths import parse_lengths
from ..serving.objectives import parse_slo
from ..serving.rules import FACTOR
from .replicas import DETAILS, FleetError
from .terms import Terms, TermsLike

if TYPE_CHECKING:
    from ..serving.lengths import Lengths, LengthsLike
    from ..serving.objectives import Condition, SLOLike

ROUTINGS = ("least_loaded", "first")
"""How requests are shared by replicas."""

_SECONDS = Range(1e-9, 1e12, "s")
_TIME = Range(0.0, 1e12, "s")
_DELAY = Range(0.0, 1e7, "s")
_TIMEOUT = Range(1e-3, 1e9, "s")


class FleetRun(Settings):
    """Limits, terms and settings of a simulation of fleets, which are the same for all of them."""

    kind = "fleet"
    error = FleetError
    slo: Parsed[SLOLike | None, tuple[Condition, ...]] = converted(
        parse_slo,
        'Limits of latencies, as in `serve`: `"ttft_p99<2,tpot_p50<0.03"`; `queue` is the wait before service.',
        default=(),
        option='Objective: "ttft_p95<2,tpot_p95<50ms"; queue is the wait for service.',
        metavar="LIMITS",
    )
    terms: Parsed[TermsLike | None, Terms | None] = converted(
        Terms.parse,
        "Costs besides the hours of machines, hours that are paid ahead, and interruptions: `Terms`, or their text.",
        default=None,
    )
    detail: str = word(
        DETAILS,
        'Of engines: `"fast"`, memory by tokens and no prefix caches, or `"full"`, each of its steps.',
        default="fast",
        option="Of engines: fast (default), memory by tokens, or full, each of its steps.",
    )
    routing: str | None = word(
        ROUTINGS,
        '`"least_loaded"`, or `"first"`: replicas are filled one after the other. None for `"first"` with slots, which '
        'are as fast with others as alone, and with `"lambda"`, `"cloudrun"` and `"zero"`, whose replicas leave when '
        "they are idle; for the other one elsewhere.",
        default=None,
        option="How requests are shared by replicas; by default first for slots and for platforms that scale with "
        "requests, and least_loaded for others.",
    )
    prompt: Parsed[LengthsLike | None, Lengths | None] = converted(
        partial(parse_lengths, name="prompt"),
        "Tokens of prompts, where the traffic has none.",
        default=None,
        option=SAME,
        metavar="TOKENS",
    )
    output: Parsed[LengthsLike | None, Lengths | None] = converted(
        partial(parse_lengths, name="output"),
        "Tokens of answers, likewise.",
        default=None,
        option=SAME,
        metavar="TOKENS",
    )
    duration_s: float | None = number(
        _SECONDS,
        "Time after which no request arrives; by default a day for generated traffic, and two for a plan.",
        default=None,
        option=SAME,
    )
    scale: float = number(
        FACTOR,
        "So many times the requests in the same time.",
        default=1.0,
        option="So many times the requests; default: 1.",
        metavar="FACTOR",
    )
    start_s: float = number(
        _TIME,
        "Time of the traffic at which the simulation begins.",
        default=0.0,
        option="Time of the traffic at which it begins.",
    )
    end_s: float | None = number(
        _TIME, "Time at which requests end.", default=None, option="Time of the traffic at which it ends."
    )
    cold_start_s: float | None = number(
        _DELAY,
        "Seconds until a replica is ready, in the place of the sum of its parts.",
        default=None,
        option="Seconds until a replica is ready.",
    )
    varies_cold_starts: bool = flag(
        "Whether cold starts vary within their bands.",
        default=False,
        option="Let cold starts vary within their bands.",
    )
    timeout_s: float | None = number(
        _TIMEOUT,
        "Time after which a request that no replica has taken gives up.",
        default=None,
        option="Time after which a request without a replica gives up.",
    )
    max_batch_size: int = whole(
        Range(1, 4096),
        "Most items of a batch of a model without an engine.",
        default=8,
        option="Most items of a batch of a model without an engine; default: 8.",
        metavar="N",
    )
    max_queue_delay_s: float = number(
        _DELAY,
        "Time that an item waits for others of its batch.",
        default=0.0,
        option=SAME,
    )
    seed: int = whole(
        Range(0, 2**63 - 1),
        "Decides the random numbers.",
        default=0,
        option="Decides the random numbers; default: 0.",
        metavar="N",
    )

    @classmethod
    def _named(cls, name: str) -> str:
        return name

"""Steady state of many servers in closed form: at a fixed number of clients, and at a Poisson rate.

Iterations of an engine are averaged instead of followed. An answer takes L = (output - 1) / tokens per step steps of
decoding, and a prompt is read in k steps: without waiting, a request is replaced by the next one after L + k steps.
With N requests inside, a step that one of them decodes in has 1 + (N - 1) L / (L + k) decoding sequences, and others
begin (N - 1) / (L + k) prompts in it, whose number is taken as Poisson. Tables of steps give the mean time S of such a
step and the time R of reading, and Little's law the throughput X = N / (R + L S). If prompts would take more than the
budget of a step, they take all of it, and requests wait. An engine that reads prompts in steps of their own decodes in
none of them: there k is 0.

At a Poisson rate, the server is a queue whose rate of service with n requests inside is X(n): the flow-equivalent
server of closed networks (Chandy, Herzog and Woo, 1975). The probability of n requests is proportional to the product
of rate / X(i), i = 1 ... n, for any distribution of lengths if service is shared equally.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import isfinite
from typing import TYPE_CHECKING, Any

from .. import _core
from .._checks import Range, number, shown
from .lengths import MOST_TOKENS
from .servers import LoadError, Servers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .step_tables import StepCosts
    from .workload import Workload

    Numbers = NDArray[np.float64]

_RATE = Range(1e-9, 1e9, "requests/s")
_CLIENTS = Range(1e-6, 1e9, "requests")
_LENGTH = Range(1.0, MOST_TOKENS, "tokens")
_SQUARE = Range(1.0, float(MOST_TOKENS) ** 2)
_SHARE = Range(0.0, 0.999)
_LIMIT = Range(1e-9, 1e9, "s")
VALID_UTILIZATION = 0.9
"""Utilization up to which the mean waits at a Poisson rate are meant to hold; beyond, bursts decide."""


@dataclass(frozen=True, kw_only=True)
class OfferedLoad:
    """Mean offered load of a server.

    Attributes:
        prompt: Mean tokens of prompts.
        output: Mean tokens of answers.
        clients: Requests that are in all copies of the server at any time.
        rate_per_s: Poisson rate of requests, instead of `clients`.
        prompt_square: Mean square of the tokens of prompts; 0 for equal lengths.
        output_square: Mean square of the tokens of answers; 0 for equal lengths.
        prefix_hit: Share of the tokens of prompts that are in the cache.
        ttft_s: Limit of an objective: longest time to the first token; 0 for none.
        tpot_s: Limit of an objective: longest time per output token; 0 for none.
    """

    prompt: float
    output: float
    clients: float | None = None
    rate_per_s: float | None = None
    prompt_square: float = 0.0
    output_square: float = 0.0
    prefix_hit: float = 0.0
    ttft_s: float = 0.0
    tpot_s: float = 0.0

    def __post_init__(self) -> None:
        checked = {
            "prompt": number(self.prompt, "prompt", _LENGTH, LoadError),
            "output": number(self.output, "output", _LENGTH, LoadError),
            "prefix_hit": number(self.prefix_hit, "prefix_hit", _SHARE, LoadError),
        }
        for name in ("ttft_s", "tpot_s"):
            checked[name] = number(getattr(self, name), name, _LIMIT._replace(zero=True), LoadError)
        for name in ("prompt", "output"):
            square = number(getattr(self, f"{name}_square"), f"{name}_square", _SQUARE._replace(zero=True), LoadError)
            least = checked[name] ** 2
            if square and square < least * (1 - 1e-9):
                raise LoadError(
                    f"{name}_square is {square:.6g}, below the square of the mean {checked[name]:.6g}; pass the mean "
                    "of the squares"
                )
            checked[f"{name}_square"] = max(square, least)
        if (self.clients is None) == (self.rate_per_s is None):
            raise LoadError(
                f"clients is {shown(self.clients)} and rate_per_s is {shown(self.rate_per_s)}; pass one of them"
            )
        self.__dict__.update(checked)
        if self.clients is not None:
            self.__dict__["clients"] = number(self.clients, "clients", _CLIENTS, LoadError)
        if self.rate_per_s is not None:
            self.__dict__["rate_per_s"] = number(self.rate_per_s, "rate_per_s", _RATE, LoadError)

    @classmethod
    def of(cls, workload: Workload, *, ttft_s: float = 0.0, tpot_s: float = 0.0) -> OfferedLoad:
        """Return the load of a workload with lengths of its own and a rate or clients.

        Raises:
            LoadError: The workload is a trace, has conversations, or all its requests arrive at once.
        """
        if workload.trace is not None or workload.turns is not None:
            raise LoadError("the workload is a trace or has turns, which change over time; simulate it")
        if workload.prompt is None or workload.output is None:
            raise LoadError("requests have no tokens; pass prompt and output to the workload")
        shared = 0 if workload.prefixes is None else workload.prefixes.share * workload.prefixes.tokens
        prompt, output = workload.prompt, workload.output
        return cls(
            prompt=prompt.mean + shared,
            output=output.mean,
            clients=workload.process.clients or None,
            rate_per_s=workload.process.rate_per_s if isfinite(workload.process.rate_per_s) else None,
            prompt_square=prompt.mean_square + 2 * shared * prompt.mean + shared**2,
            output_square=output.mean_square,
            prefix_hit=min(_SHARE.high, shared / (prompt.mean + shared)),
            ttft_s=ttft_s,
            tpot_s=tpot_s,
        )


# ---- steady states ---------------------------------------------------------------------------------------------------

COLUMNS = _core.STEADY_STATE_COLUMNS
"""Columns of `closed_form`."""


def closed_form(
    servers: Servers | Sequence[StepCosts], loads: OfferedLoad | Sequence[OfferedLoad] | Mapping[str, Any]
) -> dict[str, Numbers]:
    """Return figures of the steady states of servers under loads.

    Args:
        servers: Deployments; for many calls, `Servers` with their tables.
        loads: One load, several, or columns: the fields of `OfferedLoad` as numbers or arrays that numpy can broadcast
            to (deployments, loads).

    Returns:
        Columns of shape (deployments, loads): mean time to the first token, per output token, and of a request; output
        tokens per second of all copies, and per device; USD for a million output tokens, with all paid devices; joules
        per output token; sequences that run at most; share of requests that lose their memory at least once; share that
        meets the objective; running sequences of a copy; requests per second; utilization, the load over the
        highest that is sustained; and the mean wait before a prompt is read. At a rate at or above capacity, times are
        infinite and the throughput is the capacity. Not a number where a price or an energy is unknown.
    """
    known = servers if isinstance(servers, Servers) else Servers(servers)
    try:
        found = _core.steady_states(known.core, _columns(loads, len(known)))
    except ValueError as error:
        raise LoadError(str(error)) from error
    for row, costs in enumerate(known.costs):
        if costs.client_s:
            for name in ("ttft_s", "e2e_s"):
                found[name][row] += costs.client_s
    return found


_OPTIONAL = {field.name: field.default for field in fields(OfferedLoad) if field.name not in ("prompt", "output")}


def _columns(loads: OfferedLoad | Sequence[OfferedLoad] | Mapping[str, Any], deployments: int) -> dict[str, Numbers]:
    import numpy as np

    if isinstance(loads, OfferedLoad):
        loads = [loads]
    if isinstance(loads, Mapping):
        unknown = sorted(set(loads) - {"prompt", "output", *_OPTIONAL})
        if unknown or not {"prompt", "output"} <= set(loads):
            raise LoadError(
                f"loads have the columns {', '.join(loads)}; expected prompt, output, and {', '.join(_OPTIONAL)}"
            )
        given = dict(loads)
    else:
        if not loads:
            raise LoadError("there are no loads; pass at least one")
        given = {name: [getattr(load, name) for load in loads] for name in ("prompt", "output", *_OPTIONAL)}
    arrays = {
        name: np.asarray(given.get(name, default), dtype=np.float64)
        for name, default in (("prompt", None), ("output", None), *_OPTIONAL.items())
    }
    for name in ("prompt", "output"):
        square = arrays[f"{name}_square"]
        arrays[f"{name}_square"] = np.where(square == 0, arrays[name] ** 2, square)
    # None is not a number: a load has clients or a rate.
    shape = np.broadcast_shapes((deployments, 1), *(np.atleast_1d(array).shape for array in arrays.values()))
    return {name: np.broadcast_to(array, shape) for name, array in arrays.items()}

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
from typing import TYPE_CHECKING, Any

from .._checks import Range, number, shown
from .lengths import MOST_TOKENS
from .servers import LoadError, Servers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .step_tables import StepCosts
    from .workload import Workload

    Numbers = NDArray[np.float64]

_MILLION = 1e6
_RATE = Range(1e-9, 1e9, "requests/s")
_CLIENTS = Range(1e-6, 1e9, "requests")
_LENGTH = Range(1.0, MOST_TOKENS, "tokens")
_SQUARE = Range(1.0, float(MOST_TOKENS) ** 2)
_SHARE = Range(0.0, 0.999)
_LIMIT = Range(1e-9, 1e9, "s")
VALID_UTILIZATION = 0.9
"""Utilization up to which the mean waits at a Poisson rate are meant to hold; beyond, bursts decide."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked of a server, by its means.

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
    def of(cls, workload: Workload, *, ttft_s: float = 0.0, tpot_s: float = 0.0) -> Load:
        """Return the load of a workload with lengths of its own and a rate or clients.

        Raises:
            LoadError: The workload is a trace, has conversations, or all its requests arrive at once.
        """
        if workload.prompts is None or workload.outputs is None or workload.turns is not None:
            raise LoadError("the workload is a trace or has turns, which change over time; simulate it")
        shared = 0 if workload.prefixes is None else workload.prefixes.share * workload.prefixes.tokens
        prompt, output = workload.prompts, workload.outputs
        return cls(
            prompt=prompt.mean + shared,
            output=output.mean,
            clients=workload.process.clients or None,
            rate_per_s=None if workload.process.clients or workload.rate_per_s is None else workload.rate_per_s,
            prompt_square=prompt.mean_square + 2 * shared * prompt.mean + shared**2,
            output_square=output.mean_square,
            prefix_hit=min(_SHARE.high, shared / (prompt.mean + shared)),
            ttft_s=ttft_s,
            tpot_s=tpot_s,
        )


# ---- steady states ---------------------------------------------------------------------------------------------------

COLUMNS = (
    "ttft_s",
    "tpot_s",
    "e2e_s",
    "tokens_per_s",
    "tokens_per_s_per_device",
    "usd_per_million_tokens",
    "joules_per_token",
    "max_concurrency",
    "preempted_share",
    "slo_share",
    "running",
    "requests_per_s",
    "utilization",
    "wait_s",
)
"""Columns of `closed_form`."""


def closed_form(
    servers: Servers | Sequence[StepCosts], loads: Load | Sequence[Load] | Mapping[str, Any]
) -> dict[str, Numbers]:
    """Return figures of the steady states of servers under loads.

    Args:
        servers: Deployments; of many calls, `Servers` holds their tables.
        loads: One load, several, or columns: the fields of `Load` as numbers or arrays that numpy can broadcast to
            (deployments, loads), without checks of each.

    Returns:
        Columns of shape (deployments, loads): mean time to the first token, per output token, and of a request; output
        tokens per second of all copies, and per device; USD for a million output tokens, with all paid devices; joules
        per output token; sequences that run at most; share of requests that lose their memory, roughly; share that
        meets the objective; running sequences of a copy; requests per second; utilization, the load over the
        highest that is sustained; and the mean wait before a prompt is read. At a rate at or above capacity, times are
        infinite and the throughput is the capacity. Not a number where a price or an energy is unknown.
    """
    import numpy as np

    known = servers if isinstance(servers, Servers) else Servers(servers)
    columns = _columns(loads, len(known.costs))
    shape = columns["prompt"].shape
    flat = {name: values.reshape(-1) for name, values in columns.items()}
    server = np.repeat(np.arange(len(known.costs)), shape[1])
    found = {name: np.empty(server.size) for name in COLUMNS}
    for first in range(0, server.size, _BLOCK):
        part = slice(first, first + _BLOCK)
        made = _steady(known, server[part], {name: values[part] for name, values in flat.items()})
        for name in COLUMNS:
            found[name][part] = made[name]
    return {name: found[name].reshape(shape) for name in COLUMNS}


_BLOCK = 4096  # pairs whose columns stay in the caches


def _steady(servers: Servers, server: NDArray[np.intp], load: Mapping[str, Numbers]) -> dict[str, Numbers]:
    """Return the columns of pairs of a server and a load."""
    import numpy as np

    state = _Steady(servers, server, load)
    by_rate = np.isfinite(load["rate_per_s"])
    if by_rate.all():
        return state.at_rate(load["rate_per_s"])
    if not by_rate.any():
        return state.at_clients(load["clients"])
    one, other = state.at_rate(np.where(by_rate, load["rate_per_s"], 1.0)), state.at_clients(load["clients"])
    return {name: np.where(by_rate, one[name], other[name]) for name in COLUMNS}


_OPTIONAL = {field.name: field.default for field in fields(Load) if field.name not in ("prompt", "output")}


def _columns(loads: Load | Sequence[Load] | Mapping[str, Any], deployments: int) -> dict[str, Numbers]:
    import numpy as np

    if isinstance(loads, Load):
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
    # None is not a number: a load has clients or a rate.
    shape = np.broadcast_shapes((deployments, 1), *(np.atleast_1d(array).shape for array in arrays.values()))
    columns = {name: np.broadcast_to(array, shape) for name, array in arrays.items()}
    for name in ("prompt", "output"):
        columns[f"{name}_square"] = np.maximum(columns[f"{name}_square"], columns[name] ** 2)
    if (np.isfinite(columns["clients"]) == np.isfinite(columns["rate_per_s"])).any():
        raise LoadError("a load has clients and rate_per_s, or neither; pass one of them")
    return columns


class _Steady:
    """Steady states of pairs of a server and a load, as columns."""

    def __init__(self, servers: Servers, server: NDArray[np.intp], load: Mapping[str, Numbers]) -> None:
        import numpy as np

        self._servers, self._server = servers, server
        self._of = {name: values[server] for name, values in servers.numbers.items()}
        self._load = load
        of = self._of
        prompt, output, hit = load["prompt"], load["output"], load["prefix_hit"]
        self._steps = np.maximum(output - 1, 0.0) / of["yields"]  # L, that decode an answer
        self._new = prompt * (1 - hit)
        # A decode step meets long answers more often; the first token comes from the prompt.
        age = load["output_square"] / (2 * output)
        self._context = prompt + age
        blocks = of["block"] / 2  # of a last block that is half full
        held = prompt + np.where(of["reserves"] > 0, age + of["reserves"] * (output - age), age) + blocks
        self.most = np.maximum(1.0, np.minimum(of["most"], np.floor(of["pool"] / held)))
        self._fits = of["pool"] >= prompt + output
        self._held = held
        # Attention grows with the square of a prompt: a longer one stands for all.
        self._long = load["prompt_square"] / prompt * (1 - hit)

    def _reading(self, chunk: Numbers, before: Numbers) -> tuple[Numbers, Numbers]:
        return self._servers.surface("prefill", ("chunks", "befores"), self._server, chunk, before)

    def _device(self, running: Numbers, tokens: Numbers, ends: Numbers) -> tuple[Numbers, Numbers]:
        """Return seconds and joules of the device in a step with tokens of prompts, without their attention."""
        import numpy as np

        of, servers, server = self._of, self._servers, self._server
        width = of["width"]
        sampled = running * width + ends
        products = servers.line("tokens", "tokens", server, running * width + tokens)
        outputs = servers.line("outputs", "sampled", server, sampled)
        attention = servers.surface("decode", ("sequences", "contexts"), server, running, self._context)
        drafts: Any = servers.line("drafts", "sequences", server, running + ends) if servers.drafts else (0.0, 0.0)
        share = np.minimum(running, 1.0)  # fewer than one sequence: a step without any is no step
        some = np.minimum(sampled, 1.0)
        found = [
            products[which] + some * (outputs[which] + drafts[which]) + share * attention[which] for which in range(2)
        ]
        return found[0], found[1]

    def _pure(self, running: Numbers) -> tuple[Numbers, Numbers]:
        """Return seconds and joules of a step that decodes alone, of one sequence at least."""
        import numpy as np

        of, servers, server = self._of, self._servers, self._server
        one = np.maximum(running, 1.0)
        products = servers.line("recorded", "sequences", server, one)
        outputs = servers.line("outputs", "sampled", server, one * of["width"])
        attention = servers.surface("decode", ("sequences", "contexts"), server, one, self._context)
        drafts: Any = servers.line("drafts", "sequences", server, one) if servers.drafts else (0.0, 0.0)
        device, joules = (products[w] + outputs[w] + attention[w] + drafts[w] for w in range(2))
        return self._with_host(device, joules, of["host_step"] + of["host_sequence"] * one)

    def _with_host(self, device: Numbers, joules: Numbers, host: Numbers) -> tuple[Numbers, Numbers]:
        import numpy as np

        seconds = np.where(self._of["overlaps"] > 0, np.maximum(device, host), device + host)
        return seconds, joules + self._of["idle_w"] * (seconds - device)

    def _mixed(self, running: Numbers, prompts: Numbers, parts: Numbers) -> tuple[Numbers, Numbers]:
        """Return seconds and joules of a step that reads `prompts` chunks, each a part of 1 / parts of a prompt."""
        of = self._of
        decoding = running * of["mixes"]
        chunk = self._new / parts
        device, joules = self._device(decoding, prompts * chunk, prompts / parts)
        long = self._long / parts
        before = self._load["prompt"] * self._load["prefix_hit"] + self._long * (parts - 1) / (2 * parts)
        reading = self._reading(long, before)
        share = prompts * chunk / long
        host = of["host_step"] + of["host_sequence"] * (decoding + prompts) + of["host_prefill"]
        return self._with_host(device + share * reading[0], joules + share * reading[1], host)

    def _round(self, inside: Numbers) -> dict[str, Numbers]:
        """Return means of a copy with `inside` requests, of which as many run as fit."""
        import numpy as np

        of, new = self._of, self._new
        steps = np.maximum(self._steps, _TINY)
        held = np.maximum(np.minimum(inside, self.most), 1.0)
        mixes = of["mixes"]
        budget = np.where(of["chunks"] > 0, of["budget"], np.maximum(of["budget"], new))
        room = np.maximum(budget - mixes * held * of["width"], _LEAST_ROOM * budget)
        whole = np.ceil(new / room - _TINY)  # chunks of a prompt that is read alone
        cycle = np.where(mixes > 0, steps + whole, steps)
        begun = held / cycle  # prompts in a step
        limit = room / new
        limited = begun > limit
        load = np.minimum(begun / limit, 1.0)
        # Chunks of several prompts fill a step: the fuller it is, the fewer there are.
        parts = np.maximum(1.0, whole + (np.maximum(1.0, new / room) - whole) * load)
        begun = np.minimum(begun, limit)
        others = np.where(limited, begun, begun * (held - 1) / held)
        running = np.where(limited, begun * steps, 1 + (held - 1) * steps / cycle)
        some = np.maximum(-np.expm1(-others * parts), np.minimum(1.0, others * new / room))
        most = np.maximum(1.0, room * parts / new)  # chunks that a step has room for
        chunks = np.clip(others * parts / np.maximum(some, _TINY), 1.0, most)
        pure_s, pure_j = self._pure(running)
        mixed_s, mixed_j = self._mixed(running, chunks, parts)
        # A step with one's own prompt has those of others that wait for the same step.
        own = np.minimum(1 + others * parts, most)
        reading_s = parts * self._mixed(running - np.where(limited, 0.0, 1.0), own, parts)[0]
        step_s = np.where(mixes > 0, (1 - some) * pure_s + some * mixed_s, pure_s + some * mixed_s)
        free = held / (reading_s + steps * step_s)
        rate = np.where(limited, np.minimum(free, begun / step_s), free)
        # Steps of each kind in a second: those with prompts are as many as chunks need.
        with_prompts = np.minimum(rate * parts / np.where(limited, most, own), 1 / mixed_s)
        alone = np.maximum(0.0, 1 - with_prompts * mixed_s) / pure_s
        return {
            "rate": rate,
            "running": np.where(limited, running, held * steps / cycle),
            "reading_s": reading_s * of["fill"],
            "step_s": step_s,
            "some": some,
            "pure_s": pure_s,
            "mixed_s": mixed_s,
            "watts": with_prompts * mixed_j + alone * pure_j,
            "held": held,
        }

    def at_clients(self, clients: Numbers) -> dict[str, Numbers]:
        """Return columns at a fixed number of requests in all copies."""
        import numpy as np

        inside = np.maximum(np.nan_to_num(clients, nan=1.0) / self._of["copies"], 1.0)
        means = self._round(inside)
        e2e_s = inside / means["rate"]  # Little's law: who is not running waits
        wait_s = np.maximum(e2e_s - means["reading_s"] - self._steps * means["step_s"], 0.0)
        ones = np.ones(inside.size)
        return self._figures(means, means["rate"], wait_s, ones, means["watts"])

    def at_rate(self, rate_per_s: Numbers) -> dict[str, Numbers]:
        """Return columns at a Poisson rate of all copies."""
        import numpy as np

        rate = rate_per_s / self._of["copies"]
        # The number inside on a grid up to the most that run; log of its probability by the product of rate / X(i).
        grid = 1 + (self.most - 1) * (np.geomspace(1, _SPAN, _GRID)[:, None] - 1) / (_SPAN - 1)
        states = [self._round(inside) for inside in grid]
        served = np.stack([state["rate"] for state in states])
        capacity = served[-1]
        utilization = rate / capacity
        stable = utilization < 1
        slope = np.log(rate) - np.log(served)
        widths = np.diff(grid, axis=0)
        logs = np.concatenate([slope[:1], slope[:1] + np.cumsum(widths * (slope[1:] + slope[:-1]) / 2, axis=0)])
        # Numbers between knots count with them; the first knot is one request, and none is apart.
        weights = np.concatenate([widths[:1] / 2, (widths[1:] + widths[:-1]) / 2, widths[-1:] / 2])
        weights[0] += 0.5
        top = np.maximum(0.0, logs.max(axis=0))
        chance = weights * np.exp(logs - top)
        empty = np.exp(-top)
        rho = np.minimum(utilization, 1 - _TINY)
        tail = np.exp(logs[-1] - top) * rho / (1 - rho)  # all that wait, a geometric series
        total = empty + chance.sum(axis=0) + tail
        queue = np.exp(logs[-1] - top) * rho / (1 - rho) ** 2 / total
        chance, empty, tail = chance / total, empty / total, tail / total
        chance[-1] += tail

        def mean(name: str, by: Numbers) -> Numbers:
            values = np.stack([state[name] for state in states])
            found: Numbers = (values * by).sum(axis=0) / by.sum(axis=0)
            return found

        means = {name: mean(name, chance) for name in ("running", "held", "some", "pure_s", "mixed_s")}
        # An answer is seen by as many requests as leave; one that comes meets the number before it.
        means["step_s"] = mean("step_s", chance * served)
        before = np.concatenate([(empty + chance[0] * 0)[None], chance[:-1]])
        means["reading_s"] = mean("reading_s", np.where(np.arange(_GRID)[:, None] > 0, chance, chance + before))
        busy = 1 - empty
        some = means["some"]
        square = (1 - some) * means["pure_s"] ** 2 + some * means["mixed_s"] ** 2
        step = (1 - some) * means["pure_s"] + some * means["mixed_s"]
        wait_s = busy * square / (2 * step) + queue / rate
        means["running"] = means["running"] * busy
        watts = busy * mean("watts", chance) + empty * self._of["idle_w"]
        found = self._figures(means, np.minimum(rate, capacity), np.where(stable, wait_s, np.inf), utilization, watts)
        last = states[-1]
        found["tpot_s"] = np.where(stable, found["tpot_s"], last["step_s"] / self._of["yields"])
        return found

    def _figures(
        self, means: Mapping[str, Numbers], rate: Numbers, wait_s: Numbers, utilization: Numbers, watts: Numbers
    ) -> dict[str, Numbers]:
        import numpy as np

        of, load = self._of, self._load
        tpot_s = means["step_s"] / of["yields"]
        ttft_s = wait_s + means["reading_s"]
        all_rate = rate * of["copies"]
        tokens = all_rate * load["output"]
        # Steps with prompts among those of an answer are Poisson: they spread its time per token.
        steps = np.maximum(self._steps, 1.0)
        more_s = np.abs(means["mixed_s"] - np.where(of["mixes"] > 0, means["pure_s"], 0.0))
        spread_s = np.sqrt(means["some"] / steps) * more_s / of["yields"]
        in_tpot = np.where(load["tpot_s"] > 0, _normal(load["tpot_s"] - tpot_s, spread_s), 1.0)
        room_s = load["ttft_s"] - means["reading_s"]
        late = np.where(
            np.isfinite(wait_s), np.exp(-np.maximum(room_s, 0) / np.maximum(np.nan_to_num(wait_s), _TINY)), 1.0
        )
        in_ttft = np.where(load["ttft_s"] > 0, np.where(room_s < 0, 0.0, 1 - late), 1.0)
        # Of the tokens that a completed request frees, a new one takes those of its prompt; the growth of the others
        # takes the rest. What is admitted into that rest is taken back.
        full = (means["held"] >= self.most * (1 - 1e-9)) & (self.most < of["most"]) & (of["reserves"] < 1)
        taken = np.where(full, (1 - of["reserves"]) * load["output"] / (load["prompt"] + load["output"]), 0.0)
        found = {
            "ttft_s": ttft_s,
            "tpot_s": tpot_s,
            "e2e_s": ttft_s + self._steps * means["step_s"],
            "tokens_per_s": tokens,
            "tokens_per_s_per_device": tokens / of["devices"],
            "usd_per_million_tokens": _MILLION * of["usd_per_s"] / tokens,
            "joules_per_token": watts / (rate * load["output"]),
            "preempted_share": taken,
            "slo_share": in_ttft * in_tpot,
            "running": means["running"],
            "requests_per_s": all_rate,
            "wait_s": wait_s,
        }
        # A request that is longer than the memory never runs.
        found = {name: np.where(self._fits, values, np.nan) for name, values in found.items()}
        most = np.where(self._fits, self.most * of["copies"], 0.0)
        return {**found, "max_concurrency": most, "utilization": utilization}


_GRID, _SPAN = 28, 256.0  # numbers of requests inside, closer to each other where they are few
_LEAST_ROOM = 0.05  # of a budget that decoding sequences fill
_TINY = 1e-12


def _normal(value: Numbers, deviation: Numbers) -> Numbers:
    """Return the normal distribution function, within 2e-4 (logistic with a cubic term)."""
    import numpy as np

    z = np.clip(value / np.maximum(deviation, 1e-15), -8.0, 8.0)
    found: Numbers = 1 / (1 + np.exp(-(1.5976 * z + 0.070565992 * z**3)))
    return found

"""Simulated servers: untrusted tables, settings, requests and batches."""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan
from random import Random

import numpy as np

from pyinfercost import _core

from ..door import Door, Figure, is_bad, require
from ..mutate import INTEGERS, REALS, integer, real, text
from ..values import Value

_WHOLE = {
    "blocks": (2, 40, 1000),
    "block_tokens": (1, 8, 16),
    "max_sequences": (1, 4, 32),
    "max_tokens": (64, 256, 8192),
    "chunk_tokens": (0, 16, 64),
    "max_model_tokens": (0, 0, 100),
    "recv_interval": (1, 3),
    "retract_steps": (20,),
    "most_reserved": (4096, 8),
    "stream_interval": (1, 4),
}
_SHARES = ("watermark", "reserve_share", "least_reserve_share")
_FLAGS = (
    *("chunked_prefill", "reserve_prompt", "prefix_cache", "by_priority", "mixed_chunks", "evicts", "equal_progress"),
    *("fixed_lengths", "first_token_buffered"),
)
_LONGEST = 300
"""Tokens of an output where each step is visited."""


class Simulations(Door):
    """`StepCosts`, `SimulatedServer`, `SimulatedCluster` and `simulate`; `simulate_batches`."""

    share = 15_000

    def draw(self, random: Random) -> Value:
        """Return tables, settings and requests; most are sound, with one or two numbers that are not."""
        count = random.choice((0, 1, 3, 8, 8, 20))
        value: Value = {
            "tokens": [1, 64, 1024],
            "tokens_s": [0.01, 0.02, 0.1],
            "decode_s": [[1e-4, 1e-3], [2e-4, 9e-3]],
            "host_step_s": random.choice((0.0, 1e-3)),
            "overlaps_host": random.random() < 0.5,
            "engine": random.choice(("vllm", "sglang", "trtllm")) if random.random() < 0.97 else text(random),
            "routing": random.choice(("round_robin", "least_loaded", "prefix_aware")),
            "servers": random.choice((1, 1, 2, 3)),
            "prefill_servers": random.choice((0, 0, 1)),
            "drafts": random.choice((0, 0, 2)),
            "acceptance": [0.7, 0.5],
            "max_concurrency": random.choice((0, 0, 2)),
            "timeout_s": random.choice((0.0, 0.0, 0.5)),
            "queue_timeout_s": random.choice((0.0, 0.0, 0.2)),
            "poll_s": random.choice((0.0, 0.0, 0.1)),
            "prefill_fill": random.choice((1.0, 1.0, 2.5)),
            "lockstep": random.choice((1, 1, 1, 2, 3)),
            "load": {
                "prompt": 200.0,
                "output": 40.0,
                "prompt_square": 5e4,
                "output_square": 2e3,
                "prefix_hit": 0.25,
                "clients": 4.0,
                "rate_per_s": 2.0,
                "ttft_s": 0.5,
                "tpot_s": 0.02,
            },
            "by_rate": random.random() < 0.5,
            "arrival_s": sorted(random.choice((0.0, 0.1, 0.5, 1.0, 3.0)) for _ in range(count)),
            "prompt": [random.choice((1, 8, 17, 60, 200)) for _ in range(count)],
            "output": [random.choice((1, 2, 9, 40, 120)) for _ in range(count)],
            "priority": [random.randrange(3) for _ in range(count)],
            "ids": [random.randrange(4) for _ in range(2 * count)],
            "prefix_tokens": random.choice((8, 16, 16, 32)),
        }
        value |= {name: random.choice(choices) for name, choices in _WHOLE.items()}
        value |= {name: random.choice((0.0, 0.25, 0.7)) for name in _SHARES}
        value |= {name: random.random() < 0.5 for name in _FLAGS}
        for _ in range(random.choice((0, 0, 1, 2))):
            self._spoil(value, random)
        return value

    @staticmethod
    def _spoil(value: Value, random: Random) -> None:
        names = (
            *_WHOLE,
            *_SHARES,
            "tokens",
            "tokens_s",
            "arrival_s",
            "prompt",
            "output",
            "acceptance",
            "poll_s",
            "ids",
        )
        name = random.choice((*_WHOLE, *_SHARES, *names, "prefill_fill", "load"))
        if name == "load":
            value[name][random.choice(list(value[name]))] = random.choice(REALS)
        elif isinstance(value[name], list):
            if value[name]:
                numbers = INTEGERS if name in ("prompt", "output", "ids") else REALS
                value[name][random.randrange(len(value[name]))] = random.choice(numbers)
        else:
            value[name] = integer(random) if name in _WHOLE else real(random)

    def run(self, value: Value) -> Iterator[Figure]:
        """Make all of it, simulate it, and check what no input may break."""
        tokens = value["tokens"]
        costs = _core.StepCosts(
            tokens=tokens,
            tokens_s=value["tokens_s"],
            tokens_j=value["tokens_s"],
            decode_sequences=[1, 8],
            decode_contexts=[1, 100],
            decode_s=value["decode_s"],
            decode_j=value["decode_s"],
            host_step_s=value["host_step_s"],
            overlaps_host=value["overlaps_host"],
        )
        drafts = value["drafts"]
        try:
            server = _core.SimulatedServer(
                costs=costs,
                engine=value["engine"],
                drafts=drafts,
                acceptance=value["acceptance"][:drafts],
                prefill_fill=value["prefill_fill"],
                **{name: value[name] for name in (*_WHOLE, *_SHARES, *_FLAGS)},
            )
            cluster = _core.SimulatedCluster(
                [server] * value["servers"],
                samples=16,
                **{name: value[name] for name in ("routing", "prefill_servers", "max_concurrency")},
                **{name: value[name] for name in ("timeout_s", "queue_timeout_s", "poll_s", "lockstep")},
            )
            count = len(value["arrival_s"])
            output = [min(each, _LONGEST) for each in value["output"]] if drafts else value["output"]
            requests = _core.SimulatedRequests(
                value["arrival_s"],
                np.array(value["prompt"], dtype=np.int64),
                np.array(output, dtype=np.int64),
                priority=value["priority"],
                prefix_from=2 * np.arange(count + 1),
                prefix_ids=np.array(value["ids"], dtype=np.int64),
                prefix_tokens=value["prefix_tokens"],
            )
        except (TypeError, OverflowError) as error:
            # A number beyond 64 bits is none of these arguments' types: the binding or numpy says so.
            said = any(word in str(error) for word in ("incompatible", "; expected a whole number from "))
            require(said or isinstance(error, OverflowError), "a refusal says why", str(error))
            return
        steady = self._steady(costs, value)
        require(not any(is_bad(each) for each in steady if not isnan(each)), "figures in closed form are at least 0")
        found = _core.simulate([(cluster, requests)])[0]
        done = np.isin(found.outcome, [_core.SIMULATED_OUTCOMES.index(each) for each in ("finished", "truncated")])
        require(_core.SIMULATED_OUTCOMES.index("unfinished") not in found.outcome, "every request leaves")
        require(np.isfinite(found.finish_s[done]).all(), "what is finished has a time")
        require((found.finish_s[done] >= found.queued_s[done]).all(), "what is finished was sent before")
        for name, totals in found.servers.items():
            require(not any(is_bad(each) for each in totals.tolist()), "totals are at least 0 and finite", name)
        yield "end_s", found.end_s
        yield "request_seconds", found.request_seconds
        batches = _core.simulate_batches(
            value["arrival_s"], batch_s=value["tokens_s"], batch_j=value["tokens_s"], max_delay_s=value["poll_s"]
        )
        require((batches["start_s"] >= value["arrival_s"]).all(), "no batch starts before its requests arrive")
        yield "busy_s", batches["busy_s"]

    @staticmethod
    def _steady(costs: _core.StepCosts, value: Value) -> list[float]:
        """Return the figures of the closed form that must be finite for any load that is accepted."""
        server = _core.SteadyServer(costs=costs, pool_tokens=1e4, usd_per_s=1e-3, budget=max(1, value["max_tokens"]))
        nothing = "clients" if value["by_rate"] else "rate_per_s"
        columns = {name: np.array([[each]]) for name, each in {**value["load"], nothing: float("nan")}.items()}
        found = _core.steady_states([server], columns)
        return [float(found[name][0, 0]) for name in ("max_concurrency", "preempted_share", "slo_share", "running")]

"""An engine's iterations, one by one in Python: what the closed form averages."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from pyinfercost.serving.step_tables import StepCosts


@dataclass
class Request:
    """A request of the reference."""

    arrival_s: float
    prompt: int
    output: int
    read: int = 0
    made: int = 0
    first_s: float = 0.0


@dataclass
class Served:
    """Means over the requests that came and left after the first ones."""

    ttft_s: float
    tpot_s: float
    e2e_s: float
    requests_per_s: float
    joules_per_token: float
    requests: list[Request] = field(repr=False)


def serve(
    costs: StepCosts,
    *,
    prompt: tuple[int, int],
    output: tuple[int, int],
    requests: int,
    clients: int = 0,
    rate_per_s: float = 0.0,
    budget: int = 8192,
    mixes: bool = True,
    seed: int = 0,
    warm: float = 0.3,
) -> Served:
    """Serve requests with uniform lengths as vLLM does with unlimited memory, or prompts in steps of their own."""
    rng = np.random.default_rng(seed)
    prompts = rng.integers(prompt[0], prompt[1] + 1, requests)
    outputs = rng.integers(output[0], output[1] + 1, requests)
    times = np.zeros(requests) if clients else np.cumsum(rng.exponential(1 / rate_per_s, requests))
    coming = deque(Request(float(t), int(p), int(o)) for t, p, o in zip(times, prompts, outputs, strict=True))
    waiting: deque[Request] = deque()
    running: list[Request] = []
    done: list[tuple[Request, float]] = []
    now = joules = 0.0
    marks: list[tuple[float, float]] = []
    while len(done) < requests:
        while coming and (len(running) + len(waiting) < clients if clients else coming[0].arrival_s <= now):
            request = coming.popleft()
            if clients:
                request.arrival_s = now
            waiting.append(request)
        if not running and not waiting:
            idle = coming[0].arrival_s - now
            now, joules = coming[0].arrival_s, joules + idle * costs.idle_w
            continue
        decoding = [request for request in running if request.read == request.prompt]
        reading = [request for request in running if request.read < request.prompt]
        if not mixes and (reading or waiting):
            decoding = []
        room = budget - len(decoding)
        chunks: list[tuple[Request, int]] = []
        for request in reading:
            tokens = min(room, request.prompt - request.read)
            chunks.append((request, tokens))
            room -= tokens
        while waiting and room > 0 and len(running) < costs.most_sequences:
            request = waiting.popleft()
            tokens = min(room, request.prompt)
            chunks.append((request, tokens))
            running.append(request)
            room -= tokens
        context = sum(request.prompt + request.made for request in decoding)
        ends = [request for request, tokens in chunks if request.read + tokens == request.prompt]
        step_s, step_j = costs.core.step(
            len(decoding), context, [(tokens, request.read) for request, tokens in chunks], len(ends)
        )
        now, joules = now + step_s, joules + step_j
        for request, tokens in chunks:
            request.read += tokens
        for request in ends:
            request.made, request.first_s = 1, now
        for request in decoding:
            request.made += 1
        for request in [*decoding, *ends]:
            if request.made >= request.output:
                running.remove(request)
                done.append((request, now))
                marks.append((now, joules))
    kept = done[int(warm * requests) : int((1 - warm / 2) * requests)]
    begin, end = (marks[done.index(kept[place])] for place in (0, -1))
    several = [(request, last) for request, last in kept if request.output > 1]
    return Served(
        ttft_s=float(np.mean([request.first_s - request.arrival_s for request, _ in kept])),
        tpot_s=float(np.mean([(last - request.first_s) / (request.output - 1) for request, last in several])),
        e2e_s=float(np.mean([last - request.arrival_s for request, last in kept])),
        requests_per_s=(len(kept) - 1) / (end[0] - begin[0]),
        joules_per_token=(end[1] - begin[1]) / sum(request.output for request, _ in kept[1:]),
        requests=[request for request, _ in kept],
    )

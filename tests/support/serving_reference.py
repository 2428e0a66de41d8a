"""The schedulers of vLLM, SGLang and TensorRT-LLM over the slow server, written from their rules."""

from __future__ import annotations

import math
from typing import Any

from support.serving_reference_engine import Engine, Request


class Vllm(Engine):
    """vLLM V1: running first, then waiting, one budget."""

    @staticmethod
    def usable(blocks: int) -> int:
        return blocks - 1

    def longest_prompt(self) -> float:
        return math.inf if self.set.get("chunked_prefill", True) else self.max_tokens

    def fits(self, request: Request) -> bool:
        return self.blocks_of(request.prompt + request.output - 1 + self.drafts) <= self.pool.capacity

    def form(self) -> tuple[list[Request], list[tuple[Request, int]]]:
        budget = self.max_tokens
        threshold = self.chunk if self.chunk and len(self.running) + len(self.waiting) > 1 else math.inf
        scheduled: dict[Request, int] = {}
        preempted = False
        index = 0
        stop = False
        while index < len(self.running) and budget > 0 and not stop:
            request = self.running[index]
            if request.decodes:
                wanted = 1 + self.drafts
                if wanted > budget:
                    break
                reach = self.in_cache(request) + wanted
            else:
                wanted = int(min(request.target - request.computed, threshold, budget))
                reach = request.computed + wanted
            while self.missing(request, reach) > self.pool.free():
                if self.set.get("by_priority", False):
                    victim = max(self.running, key=lambda r: (r.priority, r.number))
                else:
                    victim = self.running[-1]
                if victim in scheduled:
                    budget += scheduled.pop(victim)
                if self.running.index(victim) < index:
                    index -= 1
                preempted = True
                self.preempt(victim, True, self.in_cache(victim))
                if victim is request:
                    stop = True
                    break
            if stop:
                break
            self.reserve(request, reach)
            scheduled[request] = wanted
            if not request.decodes:
                self.publish(request, reach)
            budget -= wanted
            index += 1
        watermark = int(self.set.get("watermark", 0) * self.set["blocks"])
        while not preempted and self.waiting and budget > 0 and len(self.running) < self.max_sequences:
            request = self.waiting[0]
            blocks = self.hit(request)
            wanted = int(min(request.tokens() - len(blocks) * self.block, threshold))
            if not self.set.get("chunked_prefill", True) and wanted > budget:
                break
            wanted = min(wanted, budget)
            reach = len(blocks) * self.block + wanted
            full = request.tokens() if self.set.get("reserve_prompt", True) else reach
            idle = sum(block.users == 0 for block in blocks)
            needed = max(self.blocks_of(full), self.blocks_of(reach)) - len(blocks) + idle
            if needed + (watermark if self.running else 0) > self.pool.free():
                break
            self.start(request, blocks)
            self.reserve(request, reach)
            self.publish(request, reach)
            scheduled[request] = wanted
            budget -= wanted
        decoding = [r for r in scheduled if r.decodes]
        return decoding, [(r, tokens) for r, tokens in scheduled.items() if not r.decodes]


class Sglang(Engine):
    """SGLang: prompts first, a share of the output reserved."""

    def __init__(self, costs: Any, settings: dict[str, Any], seed: int) -> None:
        super().__init__(costs, settings, seed)
        self.initial = min(1.0, settings.get("reserve_share", 0.7))
        self.least = min(1.0, settings.get("reserve_share", 0.7) * settings.get("least_reserve_share", 0.14))
        self.decay = (self.initial - self.least) / settings.get("reserve_decay_steps", 600)
        self.base = self.initial
        self.decays = 0
        self.full = False
        self.most = settings.get("most_reserved", 4096)

    def fits(self, request: Request) -> bool:
        wanted = request.prompt + request.output + self.drafts + self.block
        return wanted < self.pool.capacity * self.block

    def left(self) -> None:
        self.full = False

    def idle(self) -> None:
        self.base = self.initial
        self.decays = 0

    def rest(self, request: Request) -> int:
        """Return the tokens to come that count."""
        return min(request.output - request.generated, self.most)

    def form(self) -> tuple[list[Request], list[tuple[Request, int]]]:
        decoding = [r for r in self.running if r.decodes]
        parts = [r for r in self.running if not r.decodes]
        if not decoding:
            self.full = False
        chunks: list[tuple[Request, int]] = []
        if (self.waiting and not self.full) or parts:
            chunks = self.prefill(decoding, parts)
        if not chunks:
            return self.decode(decoding), []
        if self.set.get("mixed_chunks", False) and decoding:
            lacking = sum(self.missing(r, r.tokens() + self.drafts) for r in decoding)
            if lacking <= self.pool.free():
                for request in decoding:
                    self.reserve(request, request.tokens() + self.drafts)
                return decoding, chunks
        return [], chunks

    def prefill(self, decoding: list[Request], parts: list[Request]) -> list[tuple[Request, int]]:
        """Return the chunks of a step with prompts."""
        allocatable = self.max_sequences - len(decoding)
        if allocatable <= 0 and not parts:
            self.full = True
            return []
        mixed_tokens = len(decoding) if self.set.get("mixed_chunks", False) else 0
        share = max(self.base - self.decay * self.decays, min(self.base, self.least))
        if self.set.get("fixed_lengths", False):
            share = 1.0
        current = self.pool.free() * self.block - mixed_tokens
        total = current - sum(self.rest(r) for r in decoding) * share
        inputs = self.max_tokens - mixed_tokens
        chunk = self.chunk - mixed_tokens if self.chunk else math.inf
        chunks: list[tuple[Request, int]] = []

        def account(tokens: int, output: int) -> None:
            nonlocal total, current, inputs, chunk
            whole = self.blocks_of(tokens) * self.block
            total -= whole + self.block + output
            current -= whole + self.block
            inputs -= whole
            chunk -= whole

        divided = False
        for request in parts:
            left = request.target - request.computed
            most = min(chunk, int(total))
            if most <= 0:
                most = chunk
            room = (len(request.blocks) + self.pool.free()) * self.block - request.computed
            tokens = int(min(left, most, room))
            if tokens <= 0:
                return []
            self.reserve(request, request.computed + tokens)
            chunks.append((request, tokens))
            account(tokens, 0 if tokens < left else min(request.output, self.most))
            divided = tokens < left
        while self.waiting:
            if total > 0 and current > 0 and (inputs <= 0 or chunk <= 0):
                break
            if len(chunks) >= allocatable:
                self.full = True
            if self.full:
                break
            request = self.waiting[0]
            blocks = self.hit(request)
            idle = sum(block.users == 0 for block in blocks) * self.block
            left = request.tokens() - len(blocks) * self.block
            if left + self.rest(request) + self.block >= total - idle:
                self.full = bool(chunks) or bool(decoding)
                break
            whole = self.blocks_of(left) * self.block
            if not self.chunk and chunks and whole >= inputs:
                break
            tokens = left
            if whole > chunk:
                if divided:
                    break
                tokens = int(chunk) // self.block * self.block
                if tokens <= 0:
                    break
                divided = True
            total -= idle
            current -= idle
            self.start(request, blocks)
            self.reserve(request, request.computed + tokens)
            chunks.append((request, tokens))
            account(tokens, 0 if tokens < left else min(request.output, self.most))
            if total <= 0 or current <= 0:
                self.full = True
                break
            if inputs <= 0 or chunk <= 0:
                break
        return chunks

    def decode(self, decoding: list[Request]) -> list[Request]:
        """Return those that decode, after those were retracted that have no room."""

        def lacking() -> int:
            return sum(self.missing(r, r.tokens() + self.drafts) for r in decoding)

        if lacking() > self.pool.free():
            self.full = False
            while lacking() > self.pool.free():
                if len(decoding) == 1:
                    victim = next(r for r in self.running if r is not decoding[0])
                else:
                    # Sorted as SGLang does; the last one goes.
                    kept = sorted(decoding, key=lambda r: r.rank)
                    kept.sort(key=lambda r: (r.generated, -r.prompt), reverse=True)
                    victim = kept[-1]
                    decoding.remove(victim)
                self.preempt(victim, False, min(victim.prompt, self.in_cache(victim)))
            decoded = sum(r.generated for r in decoding)
            ahead = self.set.get("retract_steps", 20) * len(decoding)
            self.base = min(1.0, (decoded + ahead) / (sum(r.output for r in decoding) + 1))
            self.decays = 0
        else:
            self.decays += 1
        for request in decoding:
            self.reserve(request, request.tokens() + self.drafts)
        return decoding


class Trtllm(Engine):
    """TensorRT-LLM: memory first, then tokens."""

    def longest_prompt(self) -> float:
        return math.inf if self.set.get("chunked_prefill", True) else self.max_tokens

    def whole(self, request: Request) -> int:
        """Return the blocks of a request at its end."""
        return self.blocks_of(request.prompt + request.output + self.drafts)

    def fits(self, request: Request) -> bool:
        return self.whole(request) <= self.pool.capacity

    def may_start(self, request: Request) -> bool:
        """Whether memory for a request is free."""
        if len(self.running) >= self.max_sequences:
            return False
        if self.set.get("evicts", False):
            blocks = self.hit(request)
            shared = sum(block.users > 0 for block in blocks)
            return self.blocks_of(request.tokens()) - shared <= self.pool.free()
        return sum(self.whole(r) for r in self.running) + self.whole(request) <= self.pool.capacity

    def form(self) -> tuple[list[Request], list[tuple[Request, int]]]:
        paused = False
        index = 0
        while index < len(self.running):
            request = self.running[index]
            reach = request.tokens() + self.drafts if request.decodes else 0
            if self.missing(request, reach) > self.pool.free():
                victim = self.running[-1]
                self.preempt(victim, True, self.in_cache(victim))
                paused = True
                continue
            self.reserve(request, reach)
            index += 1
        decoding = [r for r in self.running if r.decodes]
        budget = self.max_tokens - len(decoding) * (1 + self.drafts)
        prompts = [r for r in self.running if not r.decodes]
        chunked = self.set.get("chunked_prefill", True)
        unit = max(1, self.chunk)
        if chunked and self.set.get("equal_progress", False):
            while not paused and self.waiting and self.may_start(self.waiting[0]):
                request = self.waiting[0]
                self.start(request, self.hit(request))
                self.reserve(request, request.target)
                prompts.append(request)
            parts = [0] * len(prompts)
            grew = True
            while grew:
                grew = False
                for i, request in enumerate(prompts):
                    more = min(unit, request.target - request.computed - parts[i])
                    if 0 < more <= budget:
                        parts[i] += more
                        budget -= more
                        grew = True
            return decoding, [(r, part) for r, part in zip(prompts, parts, strict=True) if part]
        chunks: list[tuple[Request, int]] = []

        def size(left: int, alone: bool) -> int:
            if left <= budget or (alone and not chunks and not chunked):
                return left
            return max(0, budget) // unit * unit if chunked else 0

        stop = paused
        for request in prompts:
            tokens = size(request.target - request.computed, False)
            if tokens:
                chunks.append((request, tokens))
            else:
                stop = True
            budget -= tokens
        while not stop and self.waiting and self.may_start(self.waiting[0]):
            request = self.waiting[0]
            blocks = self.hit(request)
            tokens = size(request.tokens() - len(blocks) * self.block, not self.running)
            if not tokens:
                break
            self.start(request, blocks)
            self.reserve(request, request.target)
            chunks.append((request, tokens))
            budget -= tokens
        return decoding, chunks


ENGINES: dict[str, type[Engine]] = {"vllm": Vllm, "sglang": Sglang, "trtllm": Trtllm}


def serve(costs: Any, engine: str, settings: dict[str, Any], requests: list[Request], seed: int = 0) -> Engine:
    """Serve requests on one server, in the order of their arrival.

    Returns:
        The server at the end; the requests have their times.
    """
    server = ENGINES[engine](costs, settings, seed)
    ahead = list(requests)
    for request in ahead:
        request.wanted = request.output
    while ahead or server.waiting or server.running:
        if not server.waiting and not server.running:
            server.now = max(server.now, ahead[0].arrival_s)
        while ahead and ahead[0].arrival_s <= server.now:
            request = ahead.pop(0)
            request.outcome = server.refusal(request) or request.outcome
            if request.outcome == "unfinished":
                server.waiting.append(request)
                server.order()
        if server.waiting or server.running:
            server.step()
            came = bool(ahead) and ahead[0].arrival_s < server.now  # during the step
            if not server.waiting and not server.running and not came:
                server.idle()
    return server

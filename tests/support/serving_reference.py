"""A slow simulator of servers, written from the rules of the engines: every step, every sequence, every block.

Time advances step by step, each sequence is visited in each, and blocks are objects in one queue. It has nothing in
common with the core but the rules, and the costs of a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

MASK = 2**64 - 1


def mixed(value: int) -> int:
    """Mix the bits of a number as SplitMix64 does."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def uniform(seed: int, request: int, token: int) -> float:
    """Return the draw of a request's token."""
    return float(mixed(mixed(mixed(mixed(seed) ^ request)) ^ token) >> 11) * 2.0**-53


@dataclass(eq=False)
class Block:
    """A block of the pool, with the name of what stands in it, if others may use it."""

    name: Any = None
    users: int = 0


class Pool:
    """Blocks in a queue: free ones without contents first, then those freed longest ago."""

    def __init__(self, blocks: int, caches: bool) -> None:
        self.queue = [Block() for _ in range(blocks)]
        self.known: dict[Any, Block] = {}
        self.caches = caches
        self.capacity = blocks

    def free(self) -> int:
        """Count blocks that nobody uses."""
        return len(self.queue)

    def take(self) -> Block:
        """Take the first block of the queue."""
        block = self.queue.pop(0)
        if self.known.get(block.name) is block:
            del self.known[block.name]
        block.name = None
        block.users = 1
        return block

    def use(self, block: Block) -> None:
        """Use a block that has contents."""
        if block.users == 0:
            self.queue.remove(block)
        block.users += 1

    def name(self, block: Block, name: Any) -> None:
        """Let others find a block; a second copy keeps its contents, but is not found."""
        if block.name is None:
            block.name = name
            self.known.setdefault(name, block)

    def give_back(self, blocks: Iterable[Block]) -> None:
        """Free blocks, the first of which is used again first."""
        kept, empty = [], []
        for block in blocks:
            block.users -= 1
            if block.users == 0:
                (kept if self.caches and block.name is not None else empty).append(block)
        self.queue = empty + self.queue + kept


@dataclass(eq=False)
class Request:
    """A request and its state."""

    number: int
    arrival_s: float
    prompt: int
    output: int
    priority: int = 0
    names: list[Any] = field(default_factory=list)
    wanted: int = 0
    version: int = 0
    generated: int = 0
    computed: int = 0
    target: int = 0
    blocks: list[Block] = field(default_factory=list)
    decodes: bool = False
    rank: int = 0
    outcome: str = "unfinished"
    scheduled_s: float = math.nan
    first_token_s: float = math.nan
    finish_s: float = math.nan
    late_s: float = 0.0
    preemptions: int = 0
    cached: int | None = None

    def tokens(self) -> int:
        """Count prompt and generated tokens."""
        return self.prompt + self.generated


class Engine:
    """What the engines share: a clock, lists, blocks."""

    def __init__(self, costs: Any, settings: dict[str, Any], seed: int) -> None:
        self.costs = costs
        self.set = settings
        self.seed = seed
        self.block = settings.get("block_tokens", 16)
        self.max_sequences = settings.get("max_sequences", 256)
        self.max_tokens = settings.get("max_tokens", 8192)
        self.chunk = settings.get("chunk_tokens", 0)
        self.drafts = settings.get("drafts", 0)
        self.longest = settings.get("max_model_tokens", 0)
        self.pool = Pool(self.usable(settings["blocks"]), settings.get("prefix_cache", False))
        self.waiting: list[Request] = []
        self.running: list[Request] = []
        self.now = 0.0
        self.rank = 0
        self.busy_s = 0.0
        self.steps = 0
        self.preempted = 0

    @staticmethod
    def usable(blocks: int) -> int:
        """Return the blocks that hold tokens."""
        return blocks

    def blocks_of(self, tokens: int) -> int:
        """Return the blocks that tokens need."""
        return -(-tokens // self.block)

    # Blocks and prefixes.

    def hit(self, request: Request) -> list[Block]:
        """Return the leading blocks of a request that are in the cache."""
        found: list[Block] = []
        if self.pool.caches:
            for at in range((request.tokens() - 1) // self.block):
                block = self.pool.known.get(self.name_of(request, at))
                if block is None:
                    break
                found.append(block)
        return found

    @staticmethod
    def name_of(request: Request, at: int) -> Any:
        """Return what a block of a request holds; blocks without an id are its own, since it was last freed."""
        return request.names[at] if at < len(request.names) else ("own", request.number, request.version, at)

    def reserve(self, request: Request, tokens: int) -> None:
        """Take blocks so that a request has room for tokens."""
        while len(request.blocks) < self.blocks_of(tokens):
            request.blocks.append(self.pool.take())

    def missing(self, request: Request, tokens: int) -> int:
        """Return the blocks that a request lacks for tokens."""
        return max(0, self.blocks_of(tokens) - len(request.blocks))

    def publish(self, request: Request, tokens: int, only_ids: bool = True) -> None:
        """Name the full blocks of the first tokens of a request."""
        if not self.pool.caches:
            return
        for at in range(min(tokens // self.block, len(request.blocks))):
            if at < len(request.names) or not only_ids:
                self.pool.name(request.blocks[at], self.name_of(request, at))

    def release(self, request: Request, kept: int) -> None:
        """Free the blocks of a request; contents of its first `kept` tokens stay."""
        request.version += 1
        for block in request.blocks[len(request.names) :]:
            self.pool.known.pop(block.name, None)
            block.name = None
        self.publish(request, kept, only_ids=False)
        self.pool.give_back(reversed(request.blocks))
        request.blocks = []

    # Lists.

    def in_cache(self, request: Request) -> int:
        """Count the tokens of a request in the cache between two steps."""
        return request.tokens() - 1 if request.decodes else request.computed

    def order(self) -> None:
        """Sort those that wait, if there are priorities."""
        if self.set.get("by_priority", False):
            self.waiting.sort(key=lambda r: (r.priority, r.number))

    def start(self, request: Request, blocks: list[Block]) -> None:
        """Move a request from those that wait to those that run."""
        self.waiting.remove(request)
        self.running.append(request)
        self.rank += 1
        request.rank = self.rank
        for block in blocks:
            self.pool.use(block)
        request.blocks = list(blocks)
        request.computed = len(blocks) * self.block
        request.target = request.tokens()
        if math.isnan(request.scheduled_s):  # one that was started and paused before it ran starts anew
            request.cached = request.computed

    def preempt(self, request: Request, front: bool, kept: int) -> None:
        """Let a request start again."""
        self.running.remove(request)
        self.release(request, kept)
        request.decodes = False
        request.computed = 0
        request.preemptions += 1
        self.preempted += 1
        self.waiting.insert(0 if front else len(self.waiting), request)
        self.order()

    def refusal(self, request: Request) -> str:
        """Return why a request is refused, or nothing."""
        if self.longest and request.prompt >= self.longest:
            return "too_long"
        if request.prompt > self.longest_prompt():
            return "too_many_tokens"
        if self.longest:
            request.output = min(request.output, self.longest - request.prompt)
        return "" if self.fits(request) else "too_large"

    def longest_prompt(self) -> float:
        """Return the longest prompt."""
        return math.inf

    def fits(self, request: Request) -> bool:
        """Whether an empty server can serve a request."""
        raise NotImplementedError

    def form(self) -> tuple[list[Request], list[tuple[Request, int]]]:
        """Return those that decode in the next step, and chunks of prompts."""
        raise NotImplementedError

    # Time.

    def step(self) -> list[Request]:
        """Run one step; return the requests that end."""
        decoding, chunks = self.form()
        while not decoding and not chunks:  # a request preempted itself; an empty step takes no time
            decoding, chunks = self.form()
        sizes = []
        completed = 0
        for request, tokens in chunks:
            if math.isnan(request.scheduled_s):
                request.scheduled_s = self.now
            sizes.append((tokens, request.computed))
            request.computed += tokens
            completed += request.computed == request.target
        context = sum(request.tokens() for request in decoding)
        seconds, _ = self.costs.step(len(decoding), context, sizes, completed, 1 + self.drafts)
        self.now += seconds
        self.busy_s += seconds
        self.steps += 1
        ended = []
        for request in sorted(decoding, key=lambda r: r.rank):
            got = 1
            if self.drafts:
                draw = uniform(self.seed, request.number, request.generated)
                chance = 1.0
                for each in self.set["acceptance"]:
                    chance *= each
                    got += draw < chance
            request.generated += min(got, request.output - request.generated)
            if request.generated == request.output:
                self.end(request)
                ended.append(request)
        for request, _ in chunks:
            self.publish(request, request.computed)
            if request.computed == request.target:
                request.generated += 1
                request.late_s = (self.set.get("prefill_fill", 1.0) - 1) * seconds
                if math.isnan(request.first_token_s):
                    request.first_token_s = self.now + request.late_s
                if request.generated == request.output:
                    self.end(request)
                    ended.append(request)
                else:
                    request.decodes = True
        return ended

    def end(self, request: Request) -> None:
        """Let a request leave."""
        request.finish_s = self.now + request.late_s
        request.outcome = "finished" if request.output == request.wanted else "truncated"
        kept = request.tokens() - 1
        self.release(request, kept)
        self.running.remove(request)
        self.left()

    def left(self) -> None:
        """Note that a request has left."""

    def idle(self) -> None:
        """Note that nothing runs or waits."""


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

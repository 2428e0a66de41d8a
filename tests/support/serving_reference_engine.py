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

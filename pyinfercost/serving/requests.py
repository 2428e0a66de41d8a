"""Requests of a service as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .._checks import Range, whole
from ..errors import InputError
from .lengths import MOST_TOKENS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHUNK = 65_536
"""Requests of a chunk: the same workload has the same requests, however they are read."""


_COLUMNS = (
    "arrival_s",
    "prompt_tokens",
    "output_tokens",
    "think_s",
    "prefix",
    "prefix_tokens",
    "conversation",
    "turn",
    "function",
    "service_s",
)
"""Arrays with one value for each request."""


class WorkloadError(InputError):
    """A workload whose parts are out of range or contradict each other."""


@dataclass(frozen=True)
class Requests:
    """Requests as arrays of one length n, in the order of their arrival.

    Attributes:
        arrival_s: Arrivals in seconds from the start, ascending, float64; zeros in a closed loop.
        prompt_tokens: Tokens of prompts with all that they share, int32; zeros for requests without tokens.
        output_tokens: Tokens of answers, int32, likewise.
        think_s: Of a closed loop: time before each request, after an answer, float64; None otherwise.
        prefix: Group of each shared prefix, -1 without one, int64; None without prefixes.
        prefix_tokens: Tokens of that prefix, int32; None without prefixes.
        conversation: Number of the conversation of each request, int64; None without conversations.
        turn: Number of its turn, from 0, int32; None without conversations.
        function: Of several functions: number of the function of each request, int64; None otherwise.
        service_s: Seconds that each request takes, where a trace says so, float64; None otherwise.
        hash_offsets: Of a trace with hashes: where the hashes of each request begin and end, int64, n + 1 of them.
        hashes: Hashes of blocks of prompts, int64: equal for equal tokens with equal tokens before them.
        hash_tokens: Tokens of a block that has a hash.
    """

    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    think_s: NDArray[np.float64] | None = None
    prefix: NDArray[np.int64] | None = None
    prefix_tokens: NDArray[np.int32] | None = None
    conversation: NDArray[np.int64] | None = None
    turn: NDArray[np.int32] | None = None
    function: NDArray[np.int64] | None = None
    service_s: NDArray[np.float64] | None = None
    hash_offsets: NDArray[np.int64] | None = None
    hashes: NDArray[np.int64] | None = None
    hash_tokens: int = 0

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.arrival_s)

    @property
    def shares(self) -> bool:
        """Whether prompts may share tokens with others."""
        return self.prefix is not None or self.conversation is not None or self.hashes is not None

    def part(self, places: slice | NDArray[Any]) -> Requests:
        """Return some of the requests."""
        import numpy as np

        kept = {name: getattr(self, name) for name in _COLUMNS}
        changes: dict[str, Any] = {name: None if array is None else array[places] for name, array in kept.items()}
        found = replace(self, **changes)
        if self.hash_offsets is None or self.hashes is None:
            return found
        numbers = np.arange(len(self))[places]
        begins, ends = self.hash_offsets[numbers], self.hash_offsets[numbers + 1]
        return replace(found, hash_offsets=_offsets(ends - begins), hashes=self.hashes[_ranges(begins, ends)])

    def block_hashes(self, block_tokens: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the hashes of the whole blocks of prompts that others may share.

        Equal hashes stand for equal tokens after equal tokens. Blocks of prefixes have hashes of their group, those
        behind the prefix of the conversation; prompts of neither kind have none. A block of which a prefix has only a
        part is not shared by its group. Of a trace, hashes are the trace's own: a block of `block_tokens` that lies
        in a longer block with a hash has one made of it.

        Args:
            block_tokens: Tokens of a block of the engine's cache.

        Returns:
            Where the hashes of each request begin and end, n + 1 numbers, and the hashes.

        Raises:
            WorkloadError: `block_tokens` does not divide the blocks of a trace, nor they it.
        """
        import numpy as np

        block = whole(block_tokens, "block_tokens", Range(1, MOST_TOKENS), WorkloadError)
        if self.hash_offsets is not None and self.hashes is not None:
            return self._of_trace(block, self.hash_offsets, self.hashes)
        count = len(self)
        prompt = self.prompt_tokens.astype(np.int64) // block
        of_prefix = np.zeros(count, dtype=np.int64)
        if self.prefix is not None and self.prefix_tokens is not None:
            of_prefix = np.where(self.prefix >= 0, self.prefix_tokens // block, 0)
        blocks = of_prefix if self.conversation is None else prompt
        of_prefix = np.minimum(of_prefix, blocks)
        offsets = _offsets(blocks)
        place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], blocks)
        shared = place < np.repeat(of_prefix, blocks)
        group = np.repeat(self.prefix if self.prefix is not None else np.full(count, -1), blocks)
        talk = np.repeat(self.conversation if self.conversation is not None else np.zeros(count, np.int64), blocks)
        return offsets, _mixed(np.where(shared, 2 * group, 2 * talk + 1), place)

    def _of_trace(
        self, block: int, offsets: NDArray[np.int64], hashes: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        import numpy as np

        length = self.hash_tokens
        prompt = self.prompt_tokens.astype(np.int64)
        if length % block == 0:
            parts = length // block
            whole_blocks = np.minimum(np.diff(offsets) * parts, prompt // block)
            made = _offsets(whole_blocks)
            place = np.arange(made[-1]) - np.repeat(made[:-1], whole_blocks)
            source = hashes[np.repeat(offsets[:-1], whole_blocks) + place // parts]
            return made, source if parts == 1 else _mixed(source, place % parts)
        if block % length:
            raise WorkloadError(
                f"block_tokens is {block}, and hashes of this trace are of {length} tokens; pass a divisor or a "
                "multiple of them"
            )
        parts = block // length
        whole_blocks = np.minimum(np.diff(offsets) // parts, prompt // block)
        made = _offsets(whole_blocks)
        place = np.arange(made[-1]) - np.repeat(made[:-1], whole_blocks)
        # The last part has a hash of all tokens before it.
        return made, hashes[np.repeat(offsets[:-1], whole_blocks) + place * parts + parts - 1]


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    import numpy as np

    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts, dtype=np.int64)])


def _ranges(begins: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of all ranges, one after another."""
    import numpy as np

    counts = ends - begins
    made = _offsets(counts)
    numbers: NDArray[np.int64] = np.arange(made[-1]) + np.repeat(begins - made[:-1], counts)
    return numbers


def _mixed(stream: NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return hashes of pairs, by the finalizer of splitmix64."""
    import numpy as np

    bits = stream.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + place.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    found: NDArray[np.int64] = ((bits ^ (bits >> np.uint64(31))) >> np.uint64(1)).astype(np.int64)
    return found


def joined(chunks: Sequence[Requests]) -> Requests:
    """Return the requests of several chunks in one value; without chunks, none."""
    import numpy as np

    if len(chunks) == 1:
        return chunks[0]
    if not chunks:
        nothing = np.zeros(0, dtype=np.int32)
        return Requests(np.zeros(0), nothing, nothing)
    whole_: dict[str, Any] = {
        name: None if getattr(chunks[0], name) is None else np.concatenate([getattr(each, name) for each in chunks])
        for name in (*_COLUMNS, "hashes")
    }
    if chunks[0].hash_offsets is not None:
        counts = [np.diff(each.hash_offsets) for each in chunks if each.hash_offsets is not None]
        whole_["hash_offsets"] = _offsets(np.concatenate(counts))
    return Requests(**whole_, hash_tokens=chunks[0].hash_tokens)

"""Conversations of a workload: turns whose prompts have the prompts and answers before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .._checks import Range
from ..inputs.settings import Settings, number, whole
from .lengths import MOST_TOKENS
from .requests import CHUNK, Requests, WorkloadError, joined

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .lengths import Lengths

_COUNTS, _TURN_PROMPTS, _TURN_OUTPUTS, _GAPS = 101, 102, 103, 104  # streams of random numbers
_STARTS = CHUNK // 8  # conversations that are begun together
_GAP = Range(0.0, 1e9, "s")


class Conversations(Settings):
    """Conversations: the prompt of a turn has all prompts and answers before it.

    `Workload.prompt` has the new tokens of a turn, and arrivals are of conversations. A turn follows the one
    before it after a time that does not depend on the server; it should be longer than an answer takes.
    """

    kind = "turns"
    unnamed = "mean"
    error = WorkloadError
    mean: float = number(
        Range(1.0, 10_000.0), "Mean number of turns; their distribution is geometric. 1 for one turn each."
    )
    gap_s: float = number(_GAP, "Mean seconds from a turn to the next one, exponential.", default=60.0)
    most_tokens: int = whole(
        Range(2, MOST_TOKENS),
        "Longest prompt and answer of a turn together; a conversation ends before it exceeds them.",
        default=131_072,
    )


def conversations(
    turns: Conversations,
    prompts: Lengths,
    outputs: Lengths,
    starts_of: Callable[[int, int], Requests],
    rng: Callable[[int, int], np.random.Generator],
) -> Iterator[Requests]:
    """Yield the turns of all conversations in the order of their arrival.

    Conversations begin in groups. The turns of a group that arrive before the next group begins are sent; later ones
    wait for the next group.

    Args:
        turns: Their number, and the time between them.
        prompts: New tokens of a turn.
        outputs: Tokens of an answer.
        starts_of: Returns the first turns of a group, from its number and their number; called group by group.
        rng: Returns the random numbers of a stream in a group.
    """
    import numpy as np

    waiting: Requests | None = None
    group = 0
    while True:
        starts = starts_of(group, _STARTS)
        at = float(starts.arrival_s[-1])
        made = _turns_of(turns, prompts, outputs, starts, rng, group)
        if waiting is not None:
            made = joined([waiting, made])
            made = made.part(np.argsort(made.arrival_s, kind="stable"))
        ready = int(np.searchsorted(made.arrival_s, at, side="right"))
        for first in range(0, ready, CHUNK):
            yield made.part(slice(first, min(ready, first + CHUNK)))
        waiting = made.part(slice(ready, len(made)))
        group += 1


def _turns_of(
    turns: Conversations,
    prompts: Lengths,
    outputs: Lengths,
    starts: Requests,
    rng: Callable[[int, int], np.random.Generator],
    group: int,
) -> Requests:
    """Return all turns of the conversations of a group, in the order of their arrival."""
    import numpy as np

    count = len(starts)
    numbers: NDArray[np.int64] = rng(_COUNTS, group).geometric(1 / turns.mean, count)
    talk = np.repeat(np.arange(count), numbers)
    begins = np.concatenate([[0], np.cumsum(numbers)[:-1]])
    turn = np.arange(talk.size) - begins[talk]
    own = prompts.draw(rng(_TURN_PROMPTS, group), talk.size).astype(np.int64)
    answer = outputs.draw(rng(_TURN_OUTPUTS, group), talk.size).astype(np.int64)
    own[turn == 0] = starts.prompt_tokens  # with the shared prefix
    answer[turn == 0] = starts.output_tokens
    gaps = rng(_GAPS, group).standard_exponential(talk.size) * turns.gap_s
    gaps[turn == 0] = starts.arrival_s
    prompt = _sums(own + answer, begins, numbers) - answer
    # A conversation ends before it is too long; the first turn stays.
    kept = (turn == 0) | (prompt + answer <= turns.most_tokens)
    order = np.argsort(_sums(gaps, begins, numbers), kind="stable")
    order = order[kept[order]]
    fields: dict[str, Any] = {}
    if starts.prefix is not None and starts.prefix_tokens is not None:
        fields = {"prefix": starts.prefix[talk][order], "prefix_tokens": starts.prefix_tokens[talk][order]}
    return Requests(
        arrival_s=_sums(gaps, begins, numbers)[order],
        prompt_tokens=prompt[order].astype(np.int32),
        output_tokens=answer[order].astype(np.int32),
        conversation=(group * _STARTS + talk[order]).astype(np.int64),
        turn=turn[order].astype(np.int32),
        **fields,
    )


def _sums(values: NDArray[Any], begins: NDArray[Any], numbers: NDArray[Any]) -> NDArray[Any]:
    """Return running sums within each conversation."""
    import numpy as np

    total = np.cumsum(values)
    before = total[begins] - values[begins]
    found: NDArray[Any] = total - np.repeat(before, numbers)
    return found

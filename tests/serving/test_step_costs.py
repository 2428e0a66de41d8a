"""Costs of a step: sums of tables, interpolation and its limits, refused tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyinfercost._core import InputError, StepCosts

TABLES: dict[str, Any] = {
    "tokens": [1, 64, 1024],
    "tokens_s": [1e-3, 2e-3, 20e-3],
    "tokens_j": [0.1, 0.3, 4.0],
    "graphs": [1, 4, 8],
    "graphs_s": [0.5e-3, 0.6e-3, 0.7e-3],
    "graphs_j": [0.05, 0.06, 0.07],
    "outputs": [1, 256],
    "outputs_s": [1e-4, 4e-4],
    "outputs_j": [0.01, 0.04],
    "decode_sequences": [1, 8, 64],
    "decode_contexts": [1, 1024, 4096],
    "decode_s": np.array([[1, 3, 9], [2, 12, 40], [10, 90, 320]]) * 1e-5,
    "decode_j": np.array([[1, 3, 9], [2, 12, 40], [10, 90, 320]]) * 1e-3,
    "prefill_chunks": [1, 512, 2048],
    "prefill_contexts": [0, 4096],
    "prefill_s": np.array([[1, 4], [20, 90], [160, 500]]) * 1e-5,
    "prefill_j": np.array([[1, 4], [20, 90], [160, 500]]) * 1e-3,
    "host_step_s": 2e-4,
    "host_sequence_s": 1e-5,
    "host_prefill_s": 3e-4,
    "idle_w": 100.0,
}


def line(x: float, name: str) -> float:
    """Interpolate a table over one axis; beyond its end the last interval goes on."""
    knots, values = TABLES[name.split("_", maxsplit=1)[0]], TABLES[name]
    if x <= knots[-1]:
        return float(np.interp(x, knots, values))
    return values[-1] + (values[-1] - values[-2]) / (knots[-1] - knots[-2]) * (x - knots[-1])


def surface(x: float, y: float, rows: list[float], columns: list[float], values: Any) -> float:
    """Interpolate along rows, then between rows, each within a cell or beyond the last."""
    r = min(max(int(np.searchsorted(rows, x, side="right")) - 1, 0), len(rows) - 2)
    c = min(max(int(np.searchsorted(columns, y, side="right")) - 1, 0), len(columns) - 2)
    across = (y - columns[c]) / (columns[c + 1] - columns[c])
    down = (x - rows[r]) / (rows[r + 1] - rows[r])
    along = [values[i][c] * (1 - across) + values[i][c + 1] * across for i in (r, r + 1)]
    return along[0] * (1 - down) + along[1] * down


def expected(n: int, context: int, chunks: list[tuple[int, int]], completed: int, unit: str) -> float:
    """Device seconds or joules of a step, from the definition."""
    tokens = n + sum(size for size, _ in chunks)
    outputs = n + completed
    graph = next((i for i, size in enumerate(TABLES["graphs"]) if size >= tokens), None)
    total = TABLES[f"graphs_{unit}"][graph] if graph is not None and not chunks else line(tokens, f"tokens_{unit}")
    total += line(outputs, f"outputs_{unit}") if outputs else 0
    if n:
        rows, columns = TABLES["decode_sequences"], TABLES["decode_contexts"]
        total += surface(n, context / n, rows, columns, TABLES[f"decode_{unit}"])
    for size, before in chunks:
        rows, columns = TABLES["prefill_chunks"], TABLES["prefill_contexts"]
        total += surface(size, before, rows, columns, TABLES[f"prefill_{unit}"])
    return total


STEPS: list[tuple[int, int, list[tuple[int, int]], int]] = [
    (1, 1, [], 0),
    (3, 3000, [], 0),
    (8, 8 * 1024, [], 0),
    (9, 9 * 5000, [], 0),
    (200, 200 * 700, [], 0),
    (0, 0, [(512, 0)], 1),
    (0, 0, [(2048, 4096)], 0),
    (5, 5000, [(100, 50), (3000, 9000)], 1),
]


@pytest.mark.parametrize("overlaps", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_the_sum_of_its_parts(step: tuple[int, int, list[tuple[int, int]], int], overlaps: bool) -> None:
    n, context, chunks, completed = step
    device = expected(n, context, chunks, completed, "s")
    host = 2e-4 + 1e-5 * (n + len(chunks)) + (3e-4 if chunks else 0)
    seconds, joules = StepCosts(**TABLES, overlaps_host=overlaps).step(n, context, chunks, completed)
    assert seconds == pytest.approx(max(device, host) if overlaps else device + host, rel=1e-12)
    assert joules == pytest.approx(expected(n, context, chunks, completed, "j") + 100 * (seconds - device), rel=1e-12)


def test_drafts_cost_tokens_outputs_and_passes() -> None:
    costs = StepCosts(**TABLES, drafts=[1, 3], drafts_s=[1e-3, 2e-3], drafts_j=[0, 0])
    seconds, _ = costs.step(2, 200, tokens_each=5)
    attention = surface(2, 100, TABLES["decode_sequences"], TABLES["decode_contexts"], TABLES["decode_s"])
    # 2 x 5 tokens are beyond the graphs; 10 outputs; drafts of 2 sequences lie between 1 and 2 ms.
    host = 2e-4 + 2e-5
    assert seconds == pytest.approx(line(10, "tokens_s") + line(10, "outputs_s") + attention + 1.5e-3 + host, rel=1e-12)


def test_tables_that_are_left_out_cost_nothing() -> None:
    costs = StepCosts(tokens=[1], tokens_s=[0.25], tokens_j=[2.0])
    assert costs.step(7, 700) == (0.25, 2.0)
    assert costs.step(0, 0, [(100, 0)], 1) == (0.25, 2.0)


def test_beyond_the_knots_nothing_falls() -> None:
    """A last interval that falls, as where a wider tile fits better, does not make larger steps free."""
    last = TABLES["tokens"][-1]
    costs = StepCosts(tokens=TABLES["tokens"], tokens_s=[1e-3, 2e-3, 1.5e-3], tokens_j=[1, 2, 3])
    for more in (1, 10, 1000):
        seconds, joules = costs.step(0, 0, [(last + more, 0)])
        assert seconds == pytest.approx(1.5e-3, rel=1e-12)
        assert joules > 3
    axes = {name: TABLES[name] for name in ("decode_sequences", "decode_contexts", "decode_j")}
    for values in ([[1, 3, 9], [2, 12, 40], [10, 90, 60]], [[1, 3, 9], [2, 12, 40], [10, 90, 95]]):
        grid = StepCosts(tokens=[1], tokens_s=[0.0], tokens_j=[0.0], **axes, decode_s=values)
        beyond = np.array([[grid.step(n, n * c)[0] for c in (4096, 5000, 10**5, 10**7)] for n in (64, 65, 500, 10**4)])
        assert (np.diff(beyond, axis=0) >= 0).all()
        assert (np.diff(beyond, axis=1) >= 0).all()
        assert beyond[-1, -1] > beyond[0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": [1, 1, 2]}, "expected finite knots from 0 on that ascend"),
        ({"tokens": [2, 3, 4]}, "expected a first knot of at most 1"),
        ({"tokens": []}, "has no knots"),
        ({"tokens_s": [1e-3, 2e-3]}, "tokens seconds has 2 values; expected 3"),
        ({"tokens_s": [1e-3, float("nan"), 1]}, "at index 1; expected a finite number"),
        ({"tokens_j": [1, -1, 1]}, "at index 1; expected a finite number of at least 0"),
        ({"graphs": [1.5, 4, 8]}, "expected whole numbers"),
        ({"graphs": [1, 4, 1e9]}, "expected whole numbers from 1 to 1048576"),
        ({"decode_s": np.ones(8)}, "expected 9"),
        ({"prefill_contexts": [1, 4096]}, "expected a first knot of at most 0"),
        ({"host_step_s": -1.0}, "host_step_s is"),
        ({"idle_w": float("inf")}, "idle_w is inf"),
    ],
)
def test_bad_tables_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        StepCosts(**{**TABLES, **change})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sequences": -1, "context": 0}, "sequences is -1"),
        ({"sequences": 1, "context": 2**50}, "context is"),
        ({"sequences": 2**40, "context": 1, "tokens_each": 100}, "tokens of a step"),
        ({"sequences": 1, "context": 1, "chunks": [(0, 0)]}, "tokens of a chunk is 0"),
        ({"sequences": 1, "context": 1, "completed": 1}, "completed is 1; expected at most 0"),
    ],
)
def test_bad_steps_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        StepCosts(**TABLES).step(**arguments)

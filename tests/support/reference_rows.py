"""Definitions of row operators in counting numbers; see reference.py."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from support.reference import Scalar, apply, softmax

Row = Sequence[Scalar]


def reduced(row: Row, start: float, step: Callable[[Scalar, Scalar], Scalar]) -> Scalar:
    """Reduce from the neutral element, with one step per element."""
    result = Scalar(start, row[0].tally)
    for x in row:
        result = step(result, x)
    return result


def total(row: Row) -> Scalar:
    return reduced(row, 0.0, lambda a, x: a + x)


def largest(row: Row) -> Scalar:
    return reduced(row, -math.inf, lambda a, x: apply("maximum", a, x))


def smallest(row: Row) -> Scalar:
    return reduced(row, math.inf, lambda a, x: apply("minimum", a, x))


def mean(row: Row) -> Scalar:
    result = total(row)
    with result.tally.part("row"):
        return result / len(row)


def deviations(row: Row, correction: int) -> tuple[list[Scalar], Scalar]:
    """Return x - mean for each element, and the variance."""
    middle = mean(row)
    apart = [x - middle for x in row]
    squares = total([d * d for d in apart])
    with squares.tally.part("row"):
        return apart, squares / (len(row) - correction)


def logsumexp(row: Row) -> Scalar:
    peak = largest(row)
    grown = total([apply("exp", x - peak) for x in row])
    with grown.tally.part("row"):
        return peak + apply("log", grown)


def norm(row: Row) -> Scalar:
    squares = total([x * x for x in row])
    with squares.tally.part("row"):
        return apply("sqrt", squares)


def scan(row: Row, start: float, step: Callable[[Scalar, Scalar], Scalar]) -> list[Scalar]:
    results = []
    so_far = Scalar(start, row[0].tally)
    for x in row:
        so_far = step(so_far, x)
        results.append(so_far)
    return results


def logcumsumexp(row: Row) -> list[Scalar]:
    peak = largest(row)
    sums = scan([apply("exp", x - peak) for x in row], 0.0, lambda a, x: a + x)
    return [peak + apply("log", s) for s in sums]


def nanmean(row: Row) -> Scalar:
    result = total([x for x in row if apply("isnan", x).value == 0])
    with result.tally.part("row"):
        return result / len(row)


def layer_norm(row: Row, weight: Row | None, bias: Row | None, eps: float = 1e-5) -> list[Scalar]:
    apart, variance = deviations(row, 0)
    with variance.tally.part("row"):
        scale = 1 / apply("sqrt", variance + eps)
    result = [d * scale for d in apart]
    if weight is not None:
        result = [x * w for x, w in zip(result, weight, strict=True)]
    if bias is not None:
        result = [x + b for x, b in zip(result, bias, strict=True)]
    return result


def rms_norm(row: Row, weight: Row | None, eps: float = 1e-5) -> list[Scalar]:
    squares = total([x * x for x in row])
    with squares.tally.part("row"):
        scale = 1 / apply("sqrt", squares / len(row) + eps)
    result = [x * scale for x in row]
    return result if weight is None else [x * w for x, w in zip(result, weight, strict=True)]


def log_softmax(row: Row) -> list[Scalar]:
    peak = largest(row)
    apart = [x - peak for x in row]
    grown = total([apply("exp", x) for x in apart])
    with grown.tally.part("row"):
        shift = apply("log", grown)
    return [x - shift for x in apart]


def histogram(row: Row, bins: int = 4) -> list[Scalar]:
    tally = row[0].tally
    result = [Scalar(0.0, tally) for _ in range(bins)]
    for x in row:
        bin_ = int(apply("floor", (x - 0.0) * float(bins)).value)
        result[bin_] = result[bin_] + 1
    return result


def bincount(row: Row) -> list[Scalar]:
    result = [Scalar(0.0, row[0].tally)]
    for _ in row:
        result[0] = result[0] + 1
    return result


def masked_softmax(row: Row, mask: Row | None) -> list[Scalar]:
    tally = row[0].tally
    if mask is not None:
        row = [apply("select", m, Scalar(-math.inf, tally), x) for x, m in zip(row, mask, strict=True)]
    return softmax(row)


def weight_norm(row: Row) -> list[Scalar]:
    size = norm(row)
    with size.tally.part("row"):
        factor = 2.0 / size
    return [x * factor for x in row]


def multinomial(row: Row) -> list[Scalar]:
    """Draw a random number per element and select those with the largest quotients."""
    drawn = [apply("function", x) for x in row]
    return [(x / d) > 0.5 for x, d in zip(row, drawn, strict=True)]


def equal(row: Row) -> Scalar:
    return reduced(row, 1.0, lambda a, x: apply("and", a, x.equals(0.5)))


def allclose(row: Row) -> Scalar:
    def close(x: Scalar) -> Scalar:
        return apply("abs", x - 0.5) <= 1e-8 + 1e-5 * apply("abs", x)

    return reduced(row, 1.0, lambda a, x: apply("and", a, close(x)))


# From a whole row to one number.
REDUCTIONS: dict[str, Callable[[Row], Any]] = {
    "aten.sum": total,
    "aten.mean": mean,
    "aten.nanmean": nanmean,
    "aten.prod": lambda row: reduced(row, 1.0, lambda a, x: a * x),
    **dict.fromkeys(("aten.max", "aten.amax", "aten.argmax"), largest),
    **dict.fromkeys(("aten.min", "aten.amin", "aten.argmin"), smallest),
    "aten.aminmax": lambda row: (smallest(row), largest(row)),
    "aten.any": lambda row: reduced(row, 0.0, lambda a, x: apply("or", a, x)),
    "aten.all": lambda row: reduced(row, 1.0, lambda a, x: apply("and", a, x)),
    "aten.count_nonzero": lambda row: reduced(row, 0.0, lambda a, x: a + x._with("compare", lambda v: v != 0)),
    **dict.fromkeys(("aten.norm", "aten.linalg_vector_norm"), norm),
    **dict.fromkeys(("aten.var", "aten.var_mean"), lambda row: deviations(row, 1)[1]),
    **dict.fromkeys(("aten.std", "aten.std_mean"), lambda row: deviations(row, 1)[1]),
    "aten.logsumexp": logsumexp,
    "aten.nansum": lambda row: total([x for x in row if apply("isnan", x).value == 0]),
    "aten.special_logsumexp": logsumexp,
    "aten.sum_to_size": total,
    "aten.segment_reduce": total,
    "aten._is_all_true": lambda row: reduced(row, 1.0, lambda a, x: apply("and", a, x)),
    "aten._is_any_true": lambda row: reduced(row, 0.0, lambda a, x: apply("or", a, x)),
    "aten.equal": equal,
    "aten.allclose": allclose,
    "aten._aminmax": lambda row: (smallest(row), largest(row)),
    **{
        f"aten.{name}": norm
        for name in (
            "linalg_norm",
            "linalg_matrix_norm",
            "frobenius_norm",
            "native_norm",
            "norm_except_dim",
        )
    },
    "aten.linalg__powsum": lambda row: total([x * x for x in row]),
    "aten.histc": histogram,
    "aten.bincount": bincount,
}

# From a row to a row.
ROWS: dict[str, Callable[[Row], list[Scalar]]] = {
    "aten.cumsum": lambda row: scan(row, 0.0, lambda a, x: a + x),
    "aten.cumprod": lambda row: scan(row, 1.0, lambda a, x: a * x),
    "aten.cummax": lambda row: scan(row, -math.inf, lambda a, x: apply("maximum", a, x)),
    "aten.cummin": lambda row: scan(row, math.inf, lambda a, x: apply("minimum", a, x)),
    **dict.fromkeys(("aten.logcumsumexp", "aten._logcumsumexp"), logcumsumexp),
    **{f"aten.{name}": softmax for name in ("softmax", "_softmax", "_safe_softmax", "special_softmax")},
    **{f"aten.{name}": log_softmax for name in ("log_softmax", "_log_softmax", "special_log_softmax")},
    **{f"aten.{name}": weight_norm for name in ("_weight_norm", "_weight_norm_interface", "renorm")},
    "aten.multinomial": multinomial,
}

"""Settings of a tracker, checked before anything is traced."""

from __future__ import annotations

import os
from collections.abc import Mapping
from operator import index
from typing import Any

from .. import _core
from ..hardware.dtypes import VALUE_BITS
from .cost_to_serve import Machine


def checked_every(name: str, value: Any) -> int:
    """A whole number of at least 1.

    Raises:
        ValueError: it is none.
    """
    try:
        number = index(value)
    except TypeError:
        raise ValueError(f"{name} is {value!r}; expected a whole number of at least 1") from None
    if number < 1:
        raise ValueError(f"{name} is {number}; expected at least 1")
    return number


def machines_of(
    hardware: Any,
    threads: int | None,
    *,
    price: Any,
    utilisation: float,
    region: str | None,
    transfer: Any,
) -> list[Machine]:
    """The machines to serve on, each with its terms.

    Args:
        hardware: one or several of what `hardware.load` takes; None or nothing for none.
        threads: of a CPU.
        price: for all of them, or a mapping from id to price; machines that it leaves out have none.
        utilisation, region, transfer: as in `estimate`.

    Raises:
        ValueError: for a machine, a price or a place that is not known, or a machine that is named twice.
    """
    from ..deployment.terms import terms_of
    from ..hardware import load

    lone = isinstance(hardware, str | os.PathLike | _core.Hardware)
    given = [hardware] if lone else list(hardware or ())
    loaded = [load(each, threads=threads) for each in given]
    names = [machine.id for machine in loaded]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"hardware has {', '.join(twice)} twice; figures go by the id, so each may be there once")
    if isinstance(price, Mapping):
        unknown = sorted(price.keys() - set(names))
        if unknown:
            raise ValueError(f"price has {', '.join(unknown)}, which is not in hardware ({', '.join(names) or 'none'})")
    return [
        Machine(
            machine.id,
            machine,
            terms_of(
                machine.id,
                price=price.get(machine.id) if isinstance(price, Mapping) else price,
                utilisation=utilisation,
                region=region,
                transfer=transfer,
                threads=threads,
            ),
        )
        for machine in loaded
    ]


# Operands of a matrix unit are fetched in pieces of so many bytes, and rows that are no multiple of it take slower
# paths (cuBLAS: "Tensor Core Requirements" of NVIDIA's Deep Learning Performance guide).
_PIECE_BYTES = 16
_VECTOR_BITS = {"avx512": 512, "amx": 512, "avx2": 256, "neon": 128}
_USUAL_VECTOR_BITS = 256
_USUAL_BITS = 32


def granularity_of(value: Any, machine: _core.Hardware | None, precision: str) -> int:
    """Channels that a machine's units take together.

    Args:
        value: a number, or `"auto"`: of a GPU elements in 16 bytes, of a CPU those of a vector (layouts of oneDNN are
            blocked by them), of other machines 8.
        machine: None for 1.
        precision: the dtype to serve in.

    Raises:
        ValueError: it is neither.
    """
    if value != "auto":
        return checked_every("granularity", value)
    if machine is None:
        return 1
    bits = VALUE_BITS.get(precision.removeprefix("amp_"), _USUAL_BITS)
    if machine.kind == "gpu":
        return 8 * _PIECE_BYTES // bits
    if machine.kind == "cpu":
        vector = next((n for word, n in _VECTOR_BITS.items() if word in machine.family), _USUAL_VECTOR_BITS)
        return vector // max(bits, _USUAL_BITS)
    return 8

"""Settings of a tracker, checked before anything is traced."""

from __future__ import annotations

import os
from collections.abc import Mapping
from operator import index
from typing import Any

from .. import _core
from .serving import Machine


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
    from ..analysis.terms import terms_of
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

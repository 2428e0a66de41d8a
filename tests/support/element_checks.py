"""Comparison of an elementwise row with its definition."""

from __future__ import annotations

import numpy as np
from support.reference import Tally, numbers
from support.reference_elements import Definition
from support.single_node import T, work_of

SHAPE = (2, 3)


def named(definition: Definition) -> str:
    """Return the name of a test: the operator and its given numbers."""
    return "-".join([definition.op.removeprefix("aten."), *map(str, definition.attributes.values())])


def check_element_by_element(definition: Definition) -> None:
    """Check that a row counts as many operations as the definition over all elements."""
    tally = Tally()
    operands = {name: numbers(tally, SHAPE, seed) for seed, name in enumerate(definition.tensors)}
    for index in np.ndindex(*SHAPE):
        definition(*(array[index] for array in operands.values()))
    work = work_of(definition.op, {name: T(SHAPE) for name in operands} | definition.attributes, T(SHAPE))
    assert work.pointwise_flops == tally.pointwise > 0
    assert work.contraction_flops == 0

"""How an element-by-element row is held against its definition."""

from __future__ import annotations

import numpy as np
from support.reference import Tally, numbers
from support.reference_elements import Definition
from support.single_node import T, work_of

SHAPE = (2, 3)


def named(definition: Definition) -> str:
    """The name of a test: the op, and the numbers that it was given."""
    return "-".join([definition.op.removeprefix("aten."), *map(str, definition.attributes.values())])


def check_element_by_element(definition: Definition) -> None:
    """The row counts as many operations as the definition does over all elements."""
    tally = Tally()
    operands = {name: numbers(tally, SHAPE, seed) for seed, name in enumerate(definition.tensors)}
    for index in np.ndindex(*SHAPE):
        definition(*(array[index] for array in operands.values()))
    work = work_of(definition.op, {name: T(SHAPE) for name in operands} | definition.attributes, T(SHAPE))
    assert work.pointwise_flops == tally.pointwise > 0
    assert work.contraction_flops == 0

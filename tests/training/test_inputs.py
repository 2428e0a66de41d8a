"""Model inputs derived from a batch, without advancing random generators."""

from __future__ import annotations

import random
from collections import UserDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import pyinfercost as ic
from pyinfercost.training import BatchInputs
from pyinfercost.training.isolation import preserve_random_states

pytestmark = pytest.mark.torch

X, Y, Z = torch.zeros(2, 4), torch.zeros(2, 1), torch.zeros(2, 3)


class One(nn.Module):
    def forward(self, x: Any, scale: Any = None) -> None:
        pass


class Two(nn.Module):
    def forward(self, left: Any, right: Any, *, mask: Any = None) -> None:
        pass


class Words(nn.Module):
    def forward(self, input_ids: Any = None, attention_mask: Any = None, labels: Any = None) -> None:
        pass


class Open(nn.Module):
    def forward(self, **anything: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("model", "batch", "args", "kwargs"),
    [
        (One(), X, (X,), {}),
        (One(), (X, Y), (X,), {}),
        (One(), [X], (X,), {}),
        (Two(), (X, Z, Y), (X, Z), {}),
        (Two(), {"left": X, "right": Z, "mask": Y, "other": Y}, (), {"left": X, "right": Z, "mask": Y}),
        (Words(), {"input_ids": X, "labels": Y, "name": "a"}, (), {"input_ids": X, "labels": Y}),
        (Words(), UserDict({"input_ids": X}), (), {"input_ids": X}),  # as a tokenizer gives it
        (Words(), ({"input_ids": X}, Y), (), {"input_ids": X}),
        (Open(), {"a": X, "name": "text"}, (), {"a": X}),
        (nn.DataParallel(Words()), {"input_ids": X, "other": Y}, (), {"input_ids": X}),
        (torch.compile(Words(), backend="eager"), {"labels": Y, "other": Y}, (), {"labels": Y}),
        (None, (X, Y), (X,), {}),
    ],
)
def test_the_rule(model: Any, batch: Any, args: Any, kwargs: Any) -> None:
    call = BatchInputs(model).of(batch)
    assert [id(value) for value in call.args] == [id(value) for value in args]
    assert {name: id(value) for name, value in call.kwargs.items()} == {
        name: id(value) for name, value in kwargs.items()
    }


@pytest.mark.parametrize(
    ("batch", "error", "says"),
    [
        (
            {"image": X},
            ValueError,
            r"keys \['image'\] and the forward takes \['attention_mask', 'input_ids', 'labels'\]",
        ),
        ("text", TypeError, "inputs cannot be found in a batch of type str"),
        ((), TypeError, "a batch of type tuple"),
        ((["a"], X), TypeError, "a batch of type tuple"),
        (None, TypeError, "a batch of type NoneType"),
    ],
)
def test_batches_that_say_nothing(batch: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        BatchInputs(Words()).of(batch)
    assert "pass inputs=" in str(caught.value)


def test_an_example_stands_for_batches_of_another_kind() -> None:
    other = BatchInputs(One(), {"x": torch.zeros(7, 3, 3)})
    assert other.of((X, Y)).kwargs["x"].shape == (7, 3, 3)
    ints = BatchInputs(One(), torch.zeros(7, 4, dtype=torch.long))
    assert ints.of((X, Y)).args[0].shape == (7, 4)
    broken = BatchInputs(One(), (X, 1.0))
    assert broken.of("text").args[1] == 1.0
    alike = BatchInputs(One(), torch.zeros(7, 9))
    assert alike.of((X, Y)).args[0] is X
    pair = BatchInputs(Two(), ic.Inputs((X, Z), {"mask": Y}))
    assert pair.example is not None
    assert (len(pair.example.args), pair.example.kwargs.keys()) == (2, {"mask"})


def test_a_function_says_it() -> None:
    assert BatchInputs(One(), lambda batch: batch["a"]).of({"a": X}).args[0] is X
    with pytest.raises(TypeError, match="inputs is a int; expected a tensor, a tuple or a dictionary of keywords"):
        BatchInputs(One(), 3)


def drawn() -> list[float]:
    return [random.random(), np.random.random(), float(torch.rand(()))]  # noqa: NPY002 - what data sets draw from


def test_random_numbers_go_on() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    expected = drawn()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    with preserve_random_states():
        drawn()
    assert drawn() == expected

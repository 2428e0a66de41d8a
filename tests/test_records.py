"""Frozen dataclasses of the package behave as those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any

import pytest

from pyinfercost._records import dataclass


def both(**options: Any) -> tuple[type, type]:
    """The same class, made by the package and by the standard library."""

    def body() -> type:
        class Point:
            """A point."""

            x: int
            y: float = 2.0
            tags: list[str] = dataclasses.field(default_factory=list, compare=False)
            hidden: int = dataclasses.field(default=3, repr=False)
            fixed: int = dataclasses.field(default=7, init=False)

            def __post_init__(self) -> None:
                object.__setattr__(self, "sum", self.x + self.y)

        return Point

    return dataclass(frozen=True, **options)(body()), dataclasses.dataclass(frozen=True, **options)(body())


@pytest.mark.parametrize("options", [{}, {"kw_only": True}, {"eq": False}, {"repr": False}], ids=str)
def test_values_are_made_compared_and_shown_alike(options: dict[str, Any]) -> None:
    ours, theirs = both(**options)
    assert inspect.signature(ours).parameters.keys() == inspect.signature(theirs).parameters.keys()
    kinds = [[p.kind for p in inspect.signature(kind).parameters.values()] for kind in (ours, theirs)]
    assert kinds[0] == kinds[1]
    for cls in (ours, theirs):
        a, b = cls(x=1), cls(x=1)
        assert (a == b) is options.get("eq", True)
        assert (hash(a) == hash(b)) is options.get("eq", True)
        assert a.tags is not b.tags
        assert (a.sum, a.y, a.hidden, a.fixed) == (3.0, 2.0, 3, 7)
        assert cls(x=2) != a
        assert a != 1
        assert cls(x=1, tags=["other"]) != cls(x=1, y=3.0)
    shown = [repr(cls(x=1, tags=["a"])) for cls in (ours, theirs)]
    if options.get("repr", True):
        assert shown[0] == shown[1]


def test_fields_cannot_be_set_or_deleted() -> None:
    for cls in both():
        value = cls(1)
        with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
            value.x = 2
        with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'other'"):
            value.other = 2
        with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
            del value.x
        with pytest.raises(TypeError):
            cls()
        with pytest.raises(TypeError):
            cls(1, nothing=2)


@dataclass(frozen=True)
class Outer:
    """A value in the module, as pickles need."""

    name: str
    inner: Outer | None = None


@dataclass(frozen=True)
class More(Outer):
    """A subclass."""

    count: int = 0


def test_functions_of_the_standard_library_take_them() -> None:
    value = Outer("a", Outer("b"))
    assert dataclasses.is_dataclass(value)
    assert dataclasses.replace(value, name="c") == Outer("c", Outer("b"))
    assert dataclasses.asdict(value) == {"name": "a", "inner": {"name": "b", "inner": None}}
    assert pickle.loads(pickle.dumps(value)) == value == copy.deepcopy(value)
    more = More("a", count=2)
    assert (more.name, more.count, more != Outer("a")) == ("a", 2, True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        more.count = 3  # type: ignore[misc]


def test_the_first_value_may_be_made_by_any_class_and_thread() -> None:
    from concurrent.futures import ThreadPoolExecutor

    for _ in range(20):
        ours, _ = both()
        with ThreadPoolExecutor(8) as pool:
            assert {value.x for value in pool.map(ours, range(64))} == set(range(64))

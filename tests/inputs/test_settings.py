"""Settings types: what all of them have."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinfercost import Scheduler
from pyinfercost._checks import Range
from pyinfercost.deployment import (
    Commitment,
    Egress,
    EngineSettings,
    FixedCosts,
    Interruptions,
    Layout,
    Serverless,
    Startup,
    Transfer,
)
from pyinfercost.errors import InputError
from pyinfercost.fleets import Terms
from pyinfercost.inputs.autoscalers import KINDS, parse_autoscaler
from pyinfercost.inputs.settings import REQUIRED, Setting, Settings, flag, number, numbers, wholes, word
from pyinfercost.serving.arrivals import BurstArrivals, ClosedLoop, GammaArrivals
from pyinfercost.serving.lengths import FixedLengths, LognormalLengths, UniformLengths, parse_lengths
from pyinfercost.serving.varying_arrivals import Modulation, Season, VaryingArrivals

LENGTHS = (FixedLengths, LognormalLengths, UniformLengths)
TYPES: tuple[type[Settings], ...] = (
    *(
        Commitment,
        Egress,
        FixedCosts,
        Interruptions,
        Layout,
        Scheduler,
        Serverless,
        EngineSettings,
        Startup,
        Terms,
        Transfer,
    ),
    *KINDS.values(),
    *LENGTHS,
    *(BurstArrivals, ClosedLoop, GammaArrivals, Modulation, Season, VaryingArrivals),
)
STARTS: dict[type[Settings], dict[str, Any]] = {
    Commitment: {"discount": 0.4},
    Egress: {"usd_per_gb": (0.3, 0.2, 0.1), "up_to_gb": (10, 20)},
    Modulation: {"rates": (0, 5), "sojourns_s": (60, 3)},
    Terms: {"memory_gb": 4},
    UniformLengths: {"low": 5, "high": 9},
}
"""Settings from which others are changed, where those that are needed depend on each other."""
CONVERTED: dict[str, list[Any]] = {
    "version": ["", "0.18", "1.2"],
    "expert_load": ["", "random", "balanced"],
    "commitment": ["discount=0.4,term_years=1"],
    "fixed": ["", "storage_gb=5"],
    "egress": ["aws", "free=100,0.09:10000,0.085"],
    "serverless": ["aws-lambda", "usd_per_request=1"],
    "interruptions": ["", "aws", "notice_s=3"],
    "rate_per_s": [0.1, 3, "90/min"],
    "season": ["", "peak=3,weekend=0.5", {"profile": (1, 0, 2)}],
    "modulation": ["burst=5,share=0.1,length_s=60", {"rates": (1, 2), "sojourns_s": (30, 0.1)}],
}
"""Name of a setting that a function reads -> values of it."""
each_type = pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)


def values(field: Setting) -> st.SearchStrategy[Any]:
    """Valid values of a setting."""
    low, high = field.within.low, field.within.high
    numbers = st.floats(low, high) | (st.just(0.0) if field.within.zero else st.nothing())
    counts = st.dictionaries(st.floats(0.0, 23.0), st.integers(0, 9), min_size=1, max_size=4)
    found: st.SearchStrategy[Any] = {
        "flag": st.booleans(),
        "whole": st.integers(int(low), int(high)),
        "number": numbers | st.sampled_from(field.words) if field.words else numbers,
        "word": st.sampled_from(field.words or ("",)),
        "label": st.text("abc-./: ", min_size=1).map(str.strip).filter(bool),
        "converted": st.sampled_from(CONVERTED.get(field.name, [])),
        "numbers": st.lists(numbers, min_size=1, max_size=4).map(tuple),
        "wholes": st.lists(st.integers(1, 500), unique=True).map(sorted),
        "counts by time": counts.map(lambda each: tuple(sorted(each.items()))),
    }[field.form]
    return st.none() | found if field.optional else found


@st.composite
def settings(draw: st.DrawFn) -> Settings:
    """Settings of any type, some of which are given, where they do not contradict each other."""
    kind = draw(st.sampled_from(TYPES))
    given = dict(STARTS.get(kind, {}))
    needed = [field for field in kind.fields if field.default is REQUIRED and field.name not in given]
    given |= {field.name: draw(values(field)) for field in needed}
    # Names of the catalog stand for others, and a discount for a price.
    optional = [field for field in kind.fields if field.name not in ("name", "cloud", "discount", "usd_per_h")]
    for field in draw(st.lists(st.sampled_from(optional), max_size=4, unique=True)):
        try:
            changed = {**given, field.name: draw(values(field))}
            given = kind(**changed).to_dict()
        except InputError:
            continue
    return kind(**given)


@given(settings())
def test_texts_and_mappings_are_read_as_what_they_were_written_from(made: Settings) -> None:
    parse: Any = parse_autoscaler if isinstance(made, tuple(KINDS.values())) else type(made).parse
    parse = parse_lengths if isinstance(made, LENGTHS) else parse
    assert parse(str(made)) == made if str(made) or not isinstance(made, Serverless) else True  # no price is a mistake
    assert type(made).parse(made.to_dict()) == type(made).parse(made) == made.replace() == made
    assert {made: 1}[copy.deepcopy(made)] == 1
    assert pickle.loads(pickle.dumps(made)) == made


@each_type
def test_help_has_every_setting(kind: type[Settings]) -> None:
    assert list(inspect.signature(kind).parameters) == [field.name for field in kind.fields]
    for field in kind.fields:
        assert f"    {field.name}: {field.text}" in (kind.__doc__ or "")
        assert field.text.endswith((".", "..."))


def test_arguments_in_the_signature_have_the_types_of_the_class() -> None:
    assert str(inspect.signature(Startup).parameters["machine"]) == "machine: 'str | float' = 'running'"
    assert inspect.signature(Layout).parameters["expert_load"].annotation == "str | Iterable[float]"
    with pytest.raises(TypeError, match="layout got 4 without a name; expected NAME=VALUE of tensor, pipeline"):
        Layout(4)  # type: ignore[misc]


@each_type
def test_what_is_no_text_and_no_mapping_is_refused(kind: type[Settings]) -> None:
    for wrong in (3j, None, [], b"a=1"):
        with pytest.raises(kind.error, match=r"expected .*NAME=VALUE of"):
            kind.parse(wrong)


class Oven(Settings):
    """An oven."""

    kind = "the oven"
    unnamed = "mode"
    mode: str = word(("top", "fan"), "Where the heat comes from.", default="top")
    heat_c: float = number(Range(30, 300, "degrees"), "Temperature.", words=("low",), default="low")
    open: bool = flag("Whether its door is open.", default=False)
    racks: tuple[int, ...] = wholes(Range(1, 5), "Places of racks.", default=())
    doses_g: tuple[float, ...] = numbers(Range(0, 50), "Steam.", default=())
    seconds: float = number(Range(1, 9999, "s"), "How long it is on.", default=60.0, short="s")


def test_a_type_is_its_declarations() -> None:
    assert str(Oven()) == ""
    assert Oven.parse("fan,heat_c=200,open,racks=1:3") == Oven(mode="fan", heat_c=200, open=True, racks=[1, 3])  # type: ignore[arg-type]
    assert str(Oven(mode="fan", heat_c=200, open=True, racks=(1, 3))) == "fan,heat_c=200,open,racks=1:3"
    assert Oven.parse({"heat_c": "50", "open": "false"}).heat_c == 50.0
    assert Oven.parse("s=5") == Oven.parse("seconds=5") == Oven.parse({"s": 5}) == Oven(seconds=5)
    assert str(Oven(seconds=5, doses_g=[2, 0.5])) == "doses_g=2:0.5,s=5"  # type: ignore[arg-type]
    assert Oven.parse("doses_g=2:0.5").doses_g == (2.0, 0.5)
    for wrong, message in (
        ("grill", "the oven has 'grill'; expected top, fan, or NAME=VALUE of mode, heat_c, open, racks, doses_g, s"),
        ("heat_c=500", "heat_c of the oven is 500; expected low, or a number from 30 to 300 degrees"),
        ("heat_c=warm", "heat_c of the oven is 'warm'; expected low, or a number from 30 to 300 degrees"),
        ("mode=grill", "mode of the oven is 'grill'; expected one of top, fan"),
        ("open=ajar", "open of the oven is 'ajar'; expected true or false"),
        ("racks=3:1", "racks of the oven is .* expected different whole numbers in ascending order"),
        ("racks=1:x", "racks of the oven is 'x'; expected whole numbers such as 1:2:4:8"),
        ("racks=9", "racks of the oven is 9; expected a whole number from 1 to 5"),
        ("doses_g=", "doses_g of the oven is ''; expected numbers such as 0.5:1:2"),
        ("doses_g=1:99", "doses_g of the oven is 99; expected a number from 0 to 50"),
        ("s=5,seconds=6", "the oven has 'seconds' twice; pass it once"),
        ("open,open", "the oven has 'open' twice; pass it once"),
        ("size=3", "the oven has no setting 'size'; expected"),
    ):
        with pytest.raises(InputError, match=message):
            Oven.parse(wrong)

"""Declarations of results: the place of a base's declarations, default columns, and the figure that leads a page."""

from __future__ import annotations

from pyinfercost.report.derived import default_columns, headlines
from pyinfercost.results.bill import PaidTokens
from pyinfercost.results.declared import declarations_of, declared, fact, figure


@declared(after="usd")
class Meal(PaidTokens):
    """A record with the cost of tokens between its own figures."""

    usd: float | None = figure("Money.")
    name: str = fact("Its name.")
    output_tokens: float | None = figure("Tokens.", title="tokens", spare=1)


KNOWN = Meal(usd=2.0, name="one", output_tokens=4e6)
UNKNOWN = Meal(usd=None, name="other", output_tokens=None)


def test_declarations_of_a_base_follow_the_named_one() -> None:
    leading = declarations_of(PaidTokens)[0].name
    assert [each.name for each in declarations_of(KNOWN)] == ["usd", leading, "name", "output_tokens"]
    assert getattr(KNOWN, leading) == 0.5


def test_columns_and_headlines_have_the_known_figures() -> None:
    first, second = default_columns(Meal, [KNOWN, UNKNOWN, None])
    assert (first.name, first.unit, list(first.cells)) == ("10^6 tokens", "USD", ["0.5000", "", ""])
    assert (second.name, second.spare) == ("tokens", 1)
    assert default_columns(Meal, [UNKNOWN]) == []
    assert headlines(KNOWN) == [("0.5000 USD", "for 10^6 generated tokens")]
    assert headlines(UNKNOWN) == []

"""Terms of reports: each has a meaning, and each figure a group."""

from __future__ import annotations

from pyinfercost import _core
from pyinfercost.report.glossary import BOUNDS, COLUMNS, EFFECTS, TERMS
from pyinfercost.results import figures
from pyinfercost.results.estimate import BOUNDS as TERMS_OF_TIME


def test_each_effect_and_each_term_has_a_meaning() -> None:
    assert set(EFFECTS) == set(_core.effects())
    assert set(TERMS_OF_TIME) <= set(BOUNDS)
    for text in (*BOUNDS.values(), *COLUMNS.values(), *TERMS.values(), *(each.meaning for each in EFFECTS.values())):
        assert text[0].isupper()
        assert text.endswith(".")
    for effect in EFFECTS.values():
        assert not effect.remedy.endswith(".")


def test_each_card_has_one_group() -> None:
    assert {figure.card for figure in figures.of_scope(figures.CARD)} == set(figures.GROUPS)

"""Colors of plots: each has enough contrast on light and on dark pages."""

from __future__ import annotations

import pytest

from pyinfercost.report.colors import ALARM, BOUND, FLEET, LIVE, MEMORY, PLAIN


def luminance(color: str) -> float:
    """As WCAG 2 has it."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    "color", sorted({*BOUND.values(), *MEMORY.values(), *FLEET.values(), *LIVE.values(), PLAIN, ALARM})
)
def test_colors_stand_out_on_white_and_on_black(color: str) -> None:
    assert 1.05 / (luminance(color) + 0.05) >= 3
    assert (luminance(color) + 0.05) / 0.05 >= 3

"""The table of the catalog on narrow and wide pages."""

from __future__ import annotations

import pytest

from pyinfercost.hardware import describe, names
from pyinfercost.report.catalog_tables import hardware_columns
from pyinfercost.report.layout import Table
from pyinfercost.report.table import as_text, laid_out


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (60, "id 16-bit int8 memory bandwidth"),
        (80, "id fp32 16-bit int8 memory bandwidth state"),
        (100, "id kind fp32 16-bit int8 memory bandwidth state"),
        (140, "id kind name fp32 16-bit int8 memory bandwidth state"),
    ],
)
def test_narrow_pages_have_the_figures_and_no_clipped_names(width: int, heads: str) -> None:
    text = as_text(laid_out([Table(hardware_columns([describe(name) for name in names()]))]), width=width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].split() == heads.split()
    stumps = [line for line in lines if "~" in line and len(line.partition("~")[0].split(None, 2)[2]) < 16]
    assert stumps == []
    tpu = next(line for line in lines if line.startswith("tpu-v5e ")).split()
    assert {"197.0", "394.0", "16", "819"} <= set(tpu), "bfloat16, int8, GiB and GB/s of its data sheet"

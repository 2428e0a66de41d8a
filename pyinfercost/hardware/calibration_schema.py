"""What a calibration file may contain: the constants of a family of machines, or of the one that was measured.

Keys, units and ranges are those of the core's table of constants (csrc/hardware/constant_table.hpp).
"""

from __future__ import annotations

from .._core import CalibrationConstant
from .constants import TABLES
from .schema import KINDS, NEED_TEXT, VERSION, Field, Table


def _field(constant: CalibrationConstant) -> Field:
    low, above = (None, constant.low) if constant.above else (constant.low, None)
    return Field("integer" if constant.whole else "number", low=low, above=above, high=constant.high)


def _tables() -> dict[str, Field | Table]:
    found: dict[str, Field | Table] = {}
    classes: dict[str, Field | Table] = {}
    for name, keys in TABLES.items():
        table = Table({"source": NEED_TEXT, **{key: _field(constant) for key, constant in keys.items()}})
        outer, _, inner = name.partition(".")
        if inner:  # [kernel.softmax]
            classes[inner] = table
            found[outer] = Table(classes)
        else:
            found[outer] = table
    return found


CALIBRATION_TABLES: dict[str, Field | Table] = _tables()

CALIBRATION = Table(
    {
        "schema_version": VERSION,
        "family": NEED_TEXT,
        "extends": Field("text", choices=KINDS),
        "fitted": Field("boolean", required=True),
        **CALIBRATION_TABLES,
    }
)

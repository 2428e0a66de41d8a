"""Check the ranks of all legal layouts of 2, 4, 8 and 16 devices for twelve architectures, in both phases.

`nox -s layouts` runs it and writes `tests/golden/layouts.md`: how many layouts each model has, and why others do not
fit. It fails if a rank has more or less than its part.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import layout_laws

DEVICES = (2, 4, 8, 16)
OUT = Path(__file__).parents[1] / "golden" / "layouts.md"


def main() -> int:
    rows, reasons, wrong = [], Counter[str](), []
    with tempfile.TemporaryDirectory() as folder:
        for name in layout_laws.CONFIGS:
            for phase in layout_laws.SIZES:
                whole = layout_laws.captured(Path(folder), name, phase)
                cells = []
                for devices in DEVICES:
                    fitting = 0
                    for layout in layout_laws.legal_layouts(devices):
                        why = layout_laws.refusal(whole, layout)
                        if why.startswith("invalid graph"):
                            wrong.append(f"{name} {phase} {layout}: {why}")
                        if why:
                            reasons[re.sub(r"\d+", "N", why.partition("; expected")[0])] += 1
                            continue
                        fitting += 1
                        wrong += [
                            f"{name} {phase} {layout}: {each}"
                            for each in layout_laws.broken(name, phase, whole, layout)
                        ]
                    cells.append(str(fitting))
                rows.append(f"| {name} | {phase} | {' | '.join(cells)} |")
                sys.stdout.write(rows[-1] + "\n")
                sys.stdout.flush()
    head = f"| model | phase | {' | '.join(f'{devices} devices' for devices in DEVICES)} |"
    text = ["Layouts whose ranks together have the weights, contraction FLOPs and cache of the whole model.", "", head]
    text += ["|---" * (2 + len(DEVICES)) + "|", *rows, "", "| layouts that do not fit | reason |", "|---|---|"]
    text += [f"| {count} | {why} |" for why, count in reasons.most_common()]
    if wrong:
        sys.stdout.write("\n".join(wrong) + "\n")
        return 1
    OUT.write_text("\n".join(text) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

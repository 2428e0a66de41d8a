"""Time to write a report, and time of a browser to draw it.

    python -m benchmarks.bench_report [--rounds 5] [--only resnet50,vit_b_16,llama,kernels]

Writing compares `Profile.to_html` with `Profile.to_json` in one process, in turn. Drawing is measured in a headless
Chromium: from the start of the page to its last figure, then for showing all rows, a sort and a click, including
layout; each round is one run of the browser.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.browsing import chromium  # noqa: E402
from support.report_models import PROFILES  # noqa: E402

EXPAND = "document.getElementById('expand').click()"
SORT = "document.querySelector('#tree .head [data-key=latency] button').click()"
PICK = "document.querySelector('circle.dot').dispatchEvent(new MouseEvent('click', {bubbles: true}))"


def main() -> None:
    """Print a line for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(PROFILES))
    options = parser.parse_args()
    print("model       layers   kB  json ms  html ms  more ms  drawn ms  rows  all rows ms  sort ms  click ms")
    with chromium() as browser:
        for name in options.only.split(","):
            written = write(PROFILES[name](), options.rounds)
            drawn = draw(browser, written["text"], options.rounds)
            print(
                f"{name:10} {written['layers']:7} {len(written['text'].encode()) // 1000:4} {written['json_ms']:8.1f} "
                f"{written['html_ms']:8.1f} {written['html_ms'] - written['json_ms']:8.1f} {drawn['drawn']:9.0f} "
                f"{drawn['rows']:5.0f} {drawn['expand']:12.0f} {drawn['sort']:8.0f} {drawn['pick']:9.1f}",
                flush=True,
            )


def write(profile: Any, rounds: int) -> dict[str, Any]:
    """Return medians of writing both, in turn."""
    taken: dict[str, list[float]] = {"json": [], "html": []}
    text = ""
    for _ in range(rounds):
        for name, seen in taken.items():
            start = time.perf_counter()
            text = profile.to_json() if name == "json" else profile.to_html()
            seen.append(1000 * (time.perf_counter() - start))
    medians = {f"{name}_ms": statistics.median(times) for name, times in taken.items()}
    return {"text": text, "layers": len(profile.counts.layers), **medians}


def draw(browser: Any, text: str, rounds: int) -> dict[str, float]:
    """Return medians of the times measured by the page."""
    found: dict[str, list[float]] = {"drawn": [], "rows": [], "expand": [], "sort": [], "pick": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        file.write_text(text, encoding="utf-8")
        for _ in range(rounds):
            page = browser.new_page(viewport={"width": 1360, "height": 900})
            page.goto(file.as_uri())
            page.wait_for_selector("html[data-ready]")
            found["drawn"].append(float(page.get_attribute("html", "data-drawn")))
            for name, action in (("expand", EXPAND), ("sort", SORT), ("pick", PICK)):
                found[name].append(
                    page.evaluate(
                        f"() => {{const start = performance.now(); {action}; document.body.offsetHeight;"
                        " return performance.now() - start}"
                    )
                )
            found["rows"].append(page.locator("#tree .body .row").count())
            page.close()
    return {name: statistics.median(values) for name, values in found.items()}


if __name__ == "__main__":
    main()

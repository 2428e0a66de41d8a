"""Times of a live page in Chromium: first paint, a slider move, the whole catalog, a serving curve; and sizes of files.

`python -m benchmarks.explore_speed [--moves 30]` prints a table for Llama-3-8B and a decode step of Llama-3-70B. Times
are elapsed ones of the page itself; beside them stands the same work in Python, in this process.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

import pyinfercost as ic
from pyinfercost.report.html.live_packs import CORE

CONFIGS = Path(__file__).parents[1] / "tests" / "support" / "configs"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_MS = 1e3

MOVES = """async (moves) => {
  const root = document.documentElement;
  const range = document.querySelector('#controls input[type="range"][aria-label="batch"]');
  const found = [];
  for (let move = 1; move <= moves; move++) {
    const rest = root.dataset.rested;
    const settled = new Promise((done) => {
      const observer = new MutationObserver(() => { observer.disconnect(); done(performance.now()); });
      observer.observe(root, { attributes: true, attributeFilter: ["data-settled"] });
    });
    const begin = performance.now();
    range.value = String(Math.round(move * 300 / moves) + 20);
    range.dispatchEvent(new Event("input"));
    const all = await settled - begin;
    while (root.dataset.rested === rest) await new Promise((done) => setTimeout(done, 5));
    const { pointMs, catalogMs, servingMs } = root.dataset;
    found.push([Number(pointMs), all, Number(catalogMs), Number(servingMs || 0)]);
  }
  return found;
}"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def shown(values: list[float]) -> str:
    """Return the minimum and the median."""
    return f"{min(values):.1f} / {statistics.median(values):.1f}"


def in_python(call: Callable[[], object], times: int = 5) -> float:
    """Return the least milliseconds of a call."""
    spent = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        spent.append((time.perf_counter() - begin) * _MS)
    return min(spent)


def profiled(decode: ic.results.Profile) -> str:
    """Return the document of a decode step at a batch size."""
    return json.dumps(ic.profile(decode, batch=32).to_dict())


@click.command()
@click.option("--moves", default=30, show_default=True)
def main(moves: int) -> None:
    """Print the table."""
    from playwright.sync_api import sync_playwright

    click.echo(f"{CORE.name} {CORE.stat().st_size / 1e6:.2f} MB")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        click.echo(f"Chromium {browser.version}; minimum / median of {moves} moves in ms")
        for name, machine, layout in (
            ("llama-3-8b", "h100-sxm-80gb", None),
            ("llama-3-70b", "h100-sxm-80gb", "tensor=4"),
        ):
            on: dict[str, Any] = {"hardware": machine, "engine": "vllm", "precision": "bf16", "layout": layout}
            found = ic.explore(f"hf:{CONFIGS / f'{name}.json'}", price="on-demand", **on)
            file = Path(folder, f"{name}.html")
            file.write_text(found.to_html(), encoding="utf-8")
            page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
            page.goto(file.as_uri())
            page.wait_for_selector("html[data-rested]", timeout=120_000)
            columns = [list(column) for column in zip(*page.evaluate(MOVES, moves), strict=True)]
            decode = found.phases[-1].profile
            python_ms = in_python(partial(profiled, decode))
            click.echo(f"\n{name} on {machine}, {layout or 'one device'}: {file.stat().st_size / 1e6:.2f} MB")
            live = float(page.evaluate("document.documentElement.dataset.live"))
            click.echo(f"first paint {page.evaluate(PAINT):.0f}, live {live:.0f}")
            for title, column in zip(
                ("point, drawn", "point and curve, drawn", "catalog", "serving curve"), columns, strict=True
            ):
                click.echo(f"{title:24}{shown(column)}")
            click.echo(f"{'the point in Python':24}{python_ms:.1f}")
        browser.close()


if __name__ == "__main__":
    main()

"""A device file dropped on a page in two browsers: the machine is chosen, and its figures are those of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.browsing import opened
from support.report_pages import repeated_profile

import pyinfercost as ic
from pyinfercost.hardware.catalog_names import CATALOG
from pyinfercost.results.units import quantity

DROP = """async ([name, text]) => {
  const root = document.documentElement;
  const [find, end] = [(what) => document.querySelector(what), performance.now() + 60000];
  const until = async (done) => {
    while (!done()) {
      if (performance.now() > end) throw new Error(`no answer: ${find("#fixed").textContent}`);
      await new Promise((next) => setTimeout(next, 5));
    }
  };
  await until(() => Number(root.dataset.settled));
  const turn = root.dataset.settled;
  const transfer = new DataTransfer();
  transfer.items.add(new File([text], name));
  document.body.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: transfer }));
  await until(() => root.dataset.machineFile === name);
  if (!find(".own-said").textContent) await until(() => root.dataset.settled !== turn);
  return {
    machine: find("select[name=machine]").value, from: find(".own-from").textContent,
    said: find(".own-said").textContent,
    address: location.hash, latency: find('#headline output[data-key="latency_s"]').firstChild.textContent,
    fixed: find("#fixed").textContent, elements: document.querySelectorAll("b i").length,
  };
}"""


@pytest.mark.sample(1)
def test_a_dropped_file_is_one_more_machine(each_browser: Any, tmp_path: Path) -> None:
    text = (CATALOG / "l4.toml").read_text(encoding="utf-8")
    text = (
        text.replace('id = "l4"', 'id = "mine"').replace('"NVIDIA L4"', '"<b><i>Mine</i></b>"').replace("300.1", "30")
    )
    own = tmp_path / "mine.toml"
    own.write_text(text, encoding="utf-8")
    stored = repeated_profile()
    path = tmp_path / "page.html"
    path.write_text(ic.explore(stored).to_html(), encoding="utf-8")
    request: Any = stored.request
    known = ic.profile(request.captured.graph, hardware=own).estimate
    assert known is not None
    with opened(each_browser, path, ready="html[data-live]") as page:
        found = page.evaluate(DROP, ["mine.toml", text])
        assert found == {
            "machine": "mine",
            "from": "constants of nvidia-ada",
            "said": "",
            "address": "#machine=mine",
            "latency": quantity(known.latency_s, "s"),
            "fixed": "",
            "elements": 0,
        }
        again = page.evaluate(DROP, ["bad.toml", text.replace("cores = 58\n", "")])
        assert again["said"] == (
            "bad.toml: 'mine' cannot be used for estimates: the file does not give compute.cores; add the value "
            "with its source to a copy of the file, and pass the copy."
        )
        assert again["machine"] == "mine"

"""The WebAssembly core under node gives the answers of the native one, to the last bit."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.interface_cases import SERVED, Requests, settings

from pyinfercost import _core
from pyinfercost.report.html.live_packs import CORE

RUNNER = Path(__file__).parents[1] / "support" / "run_core.mjs"
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to run the core"),
]


def under_node(lines: Sequence[tuple[dict[str, Any], str]]) -> list[str]:
    text = "\n".join(json.dumps(line) for line in lines)
    result = subprocess.run(
        ["node", str(RUNNER), str(CORE.parent)],
        check=False,
        input=text,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split("\n")[:-1]


def natively(lines: Sequence[tuple[dict[str, Any], str]]) -> list[str]:
    session = _core.Session()
    return [session.answer(json.dumps(request), document) for request, document in lines]


def require_equal(lines: Sequence[tuple[dict[str, Any], str]]) -> None:
    """Require that both cores answer each request with the same text, and none with an error."""
    for (request, _), known, found in zip(lines, natively(lines), under_node(lines), strict=True):
        assert known == found, request
        assert known.startswith('{"answer":'), request


@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_settings_of_five_models_are_equal(count: int) -> None:
    requests = Requests()
    asked = [requests.estimate(setting, nodes=True) for setting in settings(count)]
    assert len(asked) == count
    require_equal(requests.lines)


def test_servers_under_load_are_equal() -> None:
    """Tables, requests that are drawn, and what they take at three rates."""
    requests = Requests()
    draw = {
        "requests": 400,
        "prompt": 200,
        "prompt_variation": 1,
        "output": 40,
        "output_variation": 0.5,
        "columns": True,
    }
    handle = 0
    session, answers = _core.Session(), []
    for served in SERVED:
        number = requests.tabulated(served, tables=True)
        answers += [session.answer(json.dumps(asked), text) for asked, text in requests.lines[len(answers) :]]
        answer = json.loads(answers[number])["answer"]
        handle = answer["handle"]
        cluster = answer["cluster"] | {"usd_per_h": 2.5}
        requests.ask("draw", draw)
        fields = {"steps": handle, "requests": handle + 1, "rates_per_s": [1, 20, 400], "server": answer["server"]}
        requests.ask("serve", fields | {"cluster": cluster})
        requests.taken(2)
    require_equal(requests.lines)


def test_errors_are_the_same_text() -> None:
    lines: list[tuple[dict[str, Any], str]] = [
        ({"load": {"kind": "graph"}}, "garbage"),
        ({"load": {"kind": "machine"}}, "{}"),
        ({"predict": {}}, ""),
        ({"estimate": {"deployment": 1, "machine": 2}}, ""),
    ]
    known = natively(lines)
    assert [set(json.loads(answer)) for answer in known] == [{"error"}] * len(lines)
    assert under_node(lines) == known


def test_the_module_needs_nothing_but_the_growth_of_its_memory() -> None:
    script = (
        "const packed = require('fs').readFileSync(process.argv[1]);"
        "const m = new WebAssembly.Module(require('zlib').inflateSync(packed));"
        "console.log(JSON.stringify([WebAssembly.Module.imports(m), WebAssembly.Module.exports(m)]))"
    )
    result = subprocess.run(["node", "-e", script, str(CORE)], check=True, capture_output=True, text=True)
    imports, exports = json.loads(result.stdout)
    assert {each["name"] for each in imports} == {"emscripten_notify_memory_growth"}
    doors = {"infercost_allocate", "infercost_free", "infercost_answer", "infercost_length", "memory", "_initialize"}
    assert doors <= {each["name"] for each in exports}

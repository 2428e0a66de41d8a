"""The WebAssembly core under node gives the answers of the native one, to the last bit.

`nox -s wasm` builds it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from support.interface_cases import SERVED, Requests, settings

from pyinfercost import _core

ASSETS = Path(str(files("pyinfercost") / "report" / "html" / "assets"))
RUNNER = Path(__file__).parents[1] / "support" / "run_core.mjs"
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(not (ASSETS / "core.wasm").is_file(), reason="there is no core.wasm: nox -s wasm builds it"),
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to run core.wasm"),
]


def under_node(lines: Sequence[tuple[dict[str, Any], str]]) -> list[dict[str, Any]]:
    text = "\n".join(json.dumps(line) for line in lines)
    result = subprocess.run(
        ["node", str(RUNNER), str(ASSETS / "core.wasm"), str(ASSETS / "core.js")],
        check=False,
        input=text,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def natively(lines: Sequence[tuple[dict[str, Any], str]]) -> list[dict[str, Any]]:
    session = _core.Session()
    return [json.loads(session.answer(json.dumps(request), document)) for request, document in lines]


def test_200_settings_of_five_models_are_equal() -> None:
    requests = Requests()
    asked = [requests.estimate(setting, nodes=True) for setting in settings()]
    assert len(asked) == 200
    known, found = natively(requests.lines), under_node(requests.lines)
    assert not [answer for answer in known if "error" in answer]
    for number, (one, other) in enumerate(zip(known, found, strict=True)):
        assert one == other, requests.lines[number][0]


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
    for served in SERVED:
        number = requests.tabulated(served, tables=True)
        answer = natively(requests.lines)[number]["answer"]
        handle = answer["handle"]
        cluster = answer["cluster"] | {"usd_per_h": 2.5}
        requests.ask("draw", draw)
        fields = {"steps": handle, "requests": handle + 1, "rates_per_s": [1, 20, 400], "server": answer["server"]}
        requests.ask("serve", fields | {"cluster": cluster})
        requests.taken(2)
    known, found = natively(requests.lines), under_node(requests.lines)
    assert not [answer for answer in known if "error" in answer]
    for number, (one, other) in enumerate(zip(known, found, strict=True)):
        assert one == other, requests.lines[number][0]


def test_errors_are_the_same_text() -> None:
    lines: list[tuple[dict[str, Any], str]] = [
        ({"load": {"kind": "graph"}}, "garbage"),
        ({"load": {"kind": "machine"}}, "{}"),
        ({"predict": {}}, ""),
        ({"estimate": {"deployment": 1, "machine": 2}}, ""),
    ]
    known = natively(lines)
    assert [set(answer) for answer in known] == [{"error"}] * len(lines)
    assert under_node(lines) == known


def test_the_module_needs_nothing_but_the_growth_of_its_memory() -> None:
    script = (
        "const m = new WebAssembly.Module(require('fs').readFileSync(process.argv[1]));"
        "console.log(JSON.stringify([WebAssembly.Module.imports(m), WebAssembly.Module.exports(m)]))"
    )
    result = subprocess.run(
        ["node", "-e", script, str(ASSETS / "core.wasm")], check=True, capture_output=True, text=True
    )
    imports, exports = json.loads(result.stdout)
    assert {each["name"] for each in imports} == {"emscripten_notify_memory_growth"}
    doors = {"infercost_allocate", "infercost_free", "infercost_answer", "infercost_length", "memory", "_initialize"}
    assert doors <= {each["name"] for each in exports}

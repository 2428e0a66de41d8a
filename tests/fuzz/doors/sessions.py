"""Requests to a session of the core, as a web page sends them: any text is answered with JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost import _core

from ..door import Corpus, Door, Figure, require
from ..mutate import broken_json, mutate
from ..values import Value

_CURVE = {"knots": [1, 8, 64], "seconds": [0.01, 0.01, 0.02], "joules": [1, 1, 2]}
_SURFACE = {"rows": [1, 8], "columns": [1, 64], "seconds": [0.0, 0.001, 0.0, 0.002], "joules": [0, 1, 0, 2]}
_STEPS = {"tokens": _CURVE, "outputs": _CURVE, "decode_attention": _SURFACE, "host_step_s": 0.001}
_REQUESTS = {"arrival_s": [0.1, 0.4, 0.9], "prompt": [10, 20, 30], "output": [4, 1, 9]}
_SERVER = {"engine": "vllm", "blocks": 100, "max_sequences": 4, "max_tokens": 64}


def _dialog(graph: ic.Graph, machine: str, engine: str) -> list[Value]:
    """Return requests with their documents, each of which follows from those before it."""
    deployed: dict[str, Any] = {"graph": 1, "precision": "bf16", "engine": engine, "execution": "cuda_graph"}
    at = {name: 4 for name in graph.sizes}
    first = next(iter(graph.sizes))
    others = {name: 4 for name in graph.sizes if name != first}
    return [
        [{"load": {"kind": "graph"}}, graph.to_dict()],
        [{"load": {"kind": "machine"}}, json.loads(ic.hardware.load(machine).to_json())],
        [{"scale": {"machine": 2, "bandwidth": 2.5}}, ""],
        [{"deploy": {**deployed, "layout": {"tensor": 1}, "step": {"draft_tokens": 0}}}, ""],
        [{"estimate": {"deployment": 4, "machine": 3, "sizes": at, "nodes": True}}, ""],
        [{"grid": {"deployment": 4, "machines": [2, 3], "sizes": others, "axes": {first: [1, 2, 4]}}}, ""],
        [{"count": {"graph": 1, "sizes": {}, "depth": 2}}, ""],
        [{"load": {"kind": "steps"}}, _STEPS],
        [{"load": {"kind": "requests"}}, _REQUESTS],
        [{"serve": {"steps": 5, "requests": 6, "rates_per_s": [1, 4.5], "server": _SERVER}}, ""],
        [{"unload": {"handle": 1}}, ""],
    ]


class Sessions(Door):
    """`Session.answer`, the functions of the WebAssembly module in this process."""

    share = 30_000

    def seeds(self) -> list[Value]:
        """Return dialogs about small graphs."""
        return [
            _dialog(blocks(), "l4", "torch"),
            _dialog(transformer(layers=1), "h100-sxm-80gb", "torch"),
        ]

    def draw(self, random: Random) -> Value:
        """Return a changed dialog; a request or a document may be broken text."""
        if not isinstance(self.corpus, Corpus):
            self.corpus = Corpus(self.corpus)
        dialog = self.corpus.draw(random)
        if random.random() < 0.8:
            dialog = mutate(random, dialog)
        value = {"dialog": dialog, "broken": None}
        if random.random() < 0.1:
            value["broken"] = broken_json(random, dialog)
        return value

    def run(self, value: Value) -> Iterator[Figure]:
        """Ask everything; errors are answers, too."""
        session = _core.Session()
        if value["broken"] is not None:
            _answer(session, value["broken"], value["broken"])
        dialog = value["dialog"] if isinstance(value["dialog"], list) else [value["dialog"]]
        for each in dialog:
            request, document = each if isinstance(each, list) and len(each) == 2 else (each, "")
            text = document if isinstance(document, str) else json.dumps(document)
            _answer(session, json.dumps(request), text)
        yield from ()


def _answer(session: _core.Session, request: str, document: str) -> None:
    try:
        found = json.loads(session.answer(request, document))
    except _core.InputError as error:  # half of a surrogate pair is no text
        require("surrogate" in str(error), "a text has an answer")
        return
    require(set(found) in ({"answer"}, {"error"}), "an answer is an answer or an error")
    if "error" in found:
        require(found["error"]["kind"] in ("input", "overflow"), f"an error is one of input: {found['error']}")

"""Machines as JSON, as arguments of `Hardware`, and scaled; and a model estimated on them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

import pyinfercost as ic

from ..door import Corpus, Door, Figure, require
from ..mutate import broken_json, mutate, real
from ..values import Value
from .figures import EXECUTIONS, MACHINES, PRECISIONS, of_machine
from .hardware_toml import change_numbers


class HardwareJson(Door):
    """`Hardware.from_json`, `Hardware(...)` and `scaled`; then `estimate`."""

    share = 40_000

    def seeds(self) -> list[Value]:
        """Return the documents of machines of every kind."""
        return [json.loads(ic.hardware.load(name).to_json()) for name in MACHINES]

    def draw(self, random: Random) -> Value:
        """Return a machine, as a document or as text, and how to run on it."""
        if not isinstance(self.corpus, Corpus):
            self.corpus = Corpus(self.corpus)
        document = self.corpus.draw(random)
        if random.random() < 0.7:
            change_numbers(random, document)
        if random.random() < 0.5:
            document = mutate(random, document)
        value = {
            "machine": document,
            "scaled": {name: real(random) for name in ("cores", "compute", "bandwidth") if random.random() < 0.15},
            "precision": random.choice(PRECISIONS),
            "execution": random.choice(EXECUTIONS),
            "batch": random.choice((1, 7, 4096)),
        }
        if random.random() < 0.1:
            value["machine"] = broken_json(random, document)
        return value

    def run(self, value: Value) -> Iterator[Figure]:
        """Read the machine, scale it, estimate two models on it, and write and read it again."""
        text = value["machine"] if isinstance(value["machine"], str) else json.dumps(value["machine"])
        machine = ic.Hardware.from_json(text)
        if value["scaled"]:
            machine = machine.scaled(**value["scaled"])
        yield from of_machine(machine, value)
        again = ic.Hardware.from_json(machine.to_json())
        require(again.to_json() == machine.to_json(), "JSON gives the same machine")

"""Configurations as TOML: read, and a command run with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from random import Random

from click.testing import CliRunner
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.cli.configuration import read_configuration

from ..door import Corpus, Door, Figure, require
from ..mutate import mutate, mutated_bytes
from ..toml import to_toml
from ..values import Value
from .figures import check_printable

_SEEDS: list[Value] = [
    {
        "schema_version": 1,
        "defaults": {"hardware": "main", "precision": "fp16", "price": "spot", "devices": 2},
        "commands": {"profile": {"depth": 2, "roofline": False}, "sweep": {"batch": [1, 8]}},
        "models": {"toy": {"spec": "toy.json", "batch": 4, "requests_per_month": 1e6}, "other": "torchvision:resnet18"},
        "machines": {"main": "l4", "lab": "lab.toml"},
        "prices": {"main": 0.5, "t4": "spot", "l4": "0.8/h"},
        "limits": {"latency_s": "+5%", "flops": ["+5%", "any"]},
    },
    {"defaults": {"hardware": "l4", "kv_cache": "fp8"}, "models": {"toy": "toy.json"}},
]
_COMMANDS = (("profile", "toy"), ("profile", "toy", "--hardware", "t4"), ("sweep", "toy", "--batch", "1"), ("info",))


class Configurations(Door):
    """`read_configuration` of a file, and a command that reads it."""

    share = 3_000
    _numbers = count()

    def seeds(self) -> list[Value]:
        """Return configurations with all tables."""
        return _SEEDS

    def draw(self, random: Random) -> Value:
        """Return a changed configuration and a command."""
        if not isinstance(self.corpus, Corpus):
            self.corpus = Corpus(self.corpus)
        tree = self.corpus.draw(random)
        content = to_toml(mutate(random, tree) if random.random() < 0.9 else tree).encode(errors="surrogatepass")
        return {
            "file": mutated_bytes(random, content) if random.random() < 0.2 else content,
            "words": list(random.choice(_COMMANDS)),
        }

    def run(self, value: Value) -> Iterator[Figure]:
        """Read the file and run the command; a refusal is an exit code without an exception."""
        path = self.folder / f"{next(self._numbers)}.toml"
        try:
            path.write_bytes(value["file"])
            (self.folder / "toy.json").write_text(_TOY, encoding="utf-8")
            read = read_configuration(path)
            for name in ("main", "l4", *read.machines):
                price = read.price_of(read.machine(name))
                require(price is None or isinstance(price, str), "a price is a text")
            for name in read.models:
                require(isinstance(read.spec(name), str), "a spec is a text")
            result = CliRunner().invoke(main, ["--config", str(path), *value["words"]])
        finally:
            path.unlink(missing_ok=True)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        check_printable(result.output)
        if result.exit_code:
            raise ic.Error(result.output)
        yield from ()


_TOY = json.dumps(blocks().to_dict())

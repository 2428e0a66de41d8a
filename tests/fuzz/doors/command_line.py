"""The command line: untrusted arguments, on a model of ours and on an untrusted graph."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from random import Random

from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.cli import main

from ..door import Door, Figure, require
from ..mutate import INTEGERS, REALS, mutate, mutated_text, text
from ..values import Value
from .figures import check_printable

_OPTIONS: dict[str, tuple[str, ...]] = {
    "--hardware": ("l4", "t4", "xeon-8380", "l4,t4"),
    "--batch": ("1", "8", "1:64", "1:400000000,5", "1,8,64"),
    "--precision": ("fp16", "int8", "fp16,fp8"),
    "--execution": ("eager", "compiled"),
    "--price": ("on-demand", "0.5", "l4=0.8,t4=0.3", "1e-320"),
    "--utilization": ("0.5", "1e-320", "1"),
    "--region": ("deu", "world"),
    "--devices": ("1", "8", "9" * 30),
    "--threads": ("1", "4"),
    "--set": ("batch=4", "sequence=2048"),
    "--format": ("table", "json", "csv", "md"),
    "--depth": ("1", "2"),
    "--sort": ("latency", "flops", "share"),
    "--top": ("3", "1"),
    "--where": ("latency_s < 0.05", "batch > 3"),
    "--columns": ("latency_s,batch",),
    "--scale": ("bandwidth=1,2", "cores=1:2:0.5"),
    "--fail-if": ("latency_s:+5%", "flops:any"),
    "--threshold": ("0.5", "nan"),
    "--dtype": ("fp16", "int8"),
}
_COMMANDS = (
    ("profile", "MODEL", "--hardware", "l4"),
    ("profile", "MODEL"),
    ("sweep", "MODEL", "--hardware", "l4", "--batch", "1,8"),
    ("diff", "MODEL", "MODEL", "--hardware", "l4"),
    ("sparsity", "MODEL"),
    ("collective", "all_reduce", "64MiB", "--hardware", "h100-sxm-80gb", "--devices", "8"),
    ("hardware", "l4"),
    ("prices",),
    ("info",),
)


class CommandLine(Door):
    """Every command but those that measure. A refusal is an exit code without an exception."""

    share = 8_000
    _numbers = count()

    def draw(self, random: Random) -> Value:
        """Return the words of a command and the graph that MODEL stands for."""
        words = list(random.choice(_COMMANDS))
        takes = {option for parameter in main.commands[words[0]].params for option in parameter.opts}
        names = [name for name in _OPTIONS if name in takes] if random.random() < 0.9 else list(_OPTIONS)
        for name in random.sample(names, min(len(names), random.choice((0, 1, 1, 2, 3)))):
            option = random.choice(_OPTIONS[name])
            drawn = random.random()
            if drawn < 0.2:
                option = mutated_text(random, option)
            elif drawn < 0.3:
                option = str(random.choice(INTEGERS + REALS))[:500]
            elif drawn < 0.35:
                option = text(random)
            words += [name, option]
        graph = json.loads(_TOY)
        return {"words": words, "graph": mutate(random, graph) if random.random() < 0.5 else graph}

    def run(self, value: Value) -> Iterator[Figure]:
        """Run the command in this process."""
        from click.testing import CliRunner

        path = self.folder / f"{next(self._numbers)}.json"
        try:
            path.write_text(json.dumps(value["graph"]), encoding="utf-8")
            words = [str(path) if word == "MODEL" else word for word in value["words"]]
            result = CliRunner().invoke(main, words)
        finally:
            path.unlink(missing_ok=True)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        check_printable(result.output)
        require("Traceback" not in result.output, "no traceback is printed")
        require(result.exit_code in range(4), "the exit code is 0 to 3", result.exit_code)
        if result.exit_code:
            raise ic._core.Error(result.output)
        yield from ()


_TOY = blocks().to_json()

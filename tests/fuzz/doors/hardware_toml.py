"""Machines and calibrations as TOML: loaded, and a model estimated on them."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import pyinfercost as ic

from ..door import Corpus, Door, Figure, require
from ..mutate import integer, mutate, mutated_bytes, real, text
from ..toml import to_toml
from ..values import Value
from .figures import EXECUTIONS, PRECISIONS, of_machine

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

_HARDWARE = Path(ic.hardware.__file__).parent
_DEVICES = ("l4", "xeon-8380", "tpu-v5e", "apple-m2", "mi300x", "coral-edge-tpu", "h100-sxm-80gb", "raspberry-pi-4")
_NUMBER = re.compile(rb"(?<= )[0-9.e+]+$", re.MULTILINE)
_LITERALS = (
    *(
        b"0x7fffffffffffffff",
        b"1_0",
        b"1979-05-27",
        b"07:32:00",
        b"-0.0",
        b"1e15",
        b"1e-15",
        b"9" * 400,
        b"''",
        b'"nan"',
    ),
    *(b"[1]", b"{}", b"true", b"-1", b"1e308", b"5e-324", b"inf", b"nan", b"'''a'''", b"0b1", b"\xff"),
)
_FAMILIES = {"gpu": "nvidia-ada", "cpu": "x86-avx512", "systolic": "google-tpu"}


class HardwareToml(Door):
    """`hardware.load` of a file, with a folder of calibration files for some inputs; then `estimate`."""

    share = 50_000
    _numbers = count()

    def seeds(self) -> list[Value]:
        """Return devices of the catalog, and the calibration files of one family of each kind with that of the kind."""
        devices = [_toml(_HARDWARE / "catalog" / f"{name}.toml") for name in _DEVICES]
        constants = {
            kind: {name: _toml(_HARDWARE / "calibration" / f"{name}.toml") for name in (kind, family)}
            for kind, family in _FAMILIES.items()
        }
        return [{"device": device, "calibration": constants[device["kind"]]} for device in devices]

    def draw(self, random: Random) -> Value:
        """Return a device, the calibration files if they are changed, and how to load and run it."""
        if not isinstance(self.corpus, Corpus):
            self.corpus = Corpus(self.corpus)
        tree = self.corpus.draw(random)
        device, calibration = tree["device"], tree["calibration"]
        chance = 0.5 if device["kind"] == "cpu" else 0.05
        value: dict[str, Value] = {
            "threads": random.choice((1, 4, integer(random))) if random.random() < chance else None,
            "sustained": random.random() < 0.1,
            "precision": random.choice(PRECISIONS),
            "execution": random.choice(EXECUTIONS),
            "batch": random.choice((1, 7, 4096)),
        }
        if random.random() < 0.4:
            name = random.choice(list(calibration))
            if random.random() < 0.3:  # as [calibration] of the device's own file
                device["calibration"] = calibration[name]
                for key in ("schema_version", "family", "extends"):
                    device["calibration"].pop(key, None)
                change_numbers(random, device["calibration"])
            else:
                device["family"] = list(calibration)[1]
                change_numbers(random, calibration[name])
                if random.random() < 0.4:
                    calibration[name] = mutate(random, calibration[name])
                value["calibration"] = {name: to_toml(tree) for name, tree in calibration.items()}
        else:
            change_numbers(random, device)
        if random.random() < 0.25:
            device = mutate(random, device)
        value["device"] = to_toml(device).encode(errors="surrogatepass")
        if random.random() < 0.15:  # numbers of other notations, and values of other kinds
            value["device"] = _NUMBER.sub(random.choice(_LITERALS), value["device"], random.choice((1, 3)))
        if random.random() < 0.1:
            value["device"] = mutated_bytes(random, value["device"])
        if random.random() < 0.01:
            value["device"] += b"zz = " + b"[" * random.choice((50, 500, 100_000))
        return value

    def run(self, value: Value) -> Iterator[Figure]:
        """Load the machine, estimate two models on it, and write and read it as JSON."""
        number = next(self._numbers)  # files are cached by path, time and size
        path, folder = self.folder / f"{number}.toml", self.folder / f"{number}.calibration"
        try:
            path.write_bytes(value["device"])
            if "calibration" in value:
                folder.mkdir()
                for name, content in value["calibration"].items():
                    (folder / f"{name}.toml").write_bytes(content.encode(errors="surrogatepass"))
            machine = ic.hardware.load(
                path,
                threads=value["threads"],
                sustained=value["sustained"],
                calibration=folder if "calibration" in value else None,
            )
        finally:
            path.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
        yield from of_machine(machine, value)
        again = ic.Hardware.from_json(machine.to_json())
        require(json.loads(again.to_json()) == json.loads(machine.to_json()), "JSON gives the same machine")


def _toml(path: Path) -> Value:
    return json.loads(json.dumps(tomllib.loads(path.read_text(encoding="utf-8"))))


def change_numbers(random: Random, tree: Value) -> None:
    """Change numbers of a tree, wherever they stand, for others of the same sign or not."""
    numbers = []
    waiting = [tree]
    while waiting:
        table = waiting.pop()
        for key, item in table.items() if isinstance(table, dict) else enumerate(table):
            if isinstance(item, (dict, list)):
                waiting.append(item)
            elif isinstance(item, (int, float)) and not isinstance(item, bool) and key != "schema_version":
                numbers.append((table, key))
    for table, key in random.sample(numbers, min(len(numbers), random.choice((1, 1, 2, 5)))):
        drawn = random.random()
        if drawn < 0.4:
            table[key] = table[key] * random.choice((0.5, 0.9, 1.1, 2, 10))
        elif drawn < 0.55:
            table[key] = table[key] * 10.0 ** random.uniform(-20, 20)
        elif drawn < 0.75:
            table[key] = real(random)
        else:
            table[key] = integer(random) if drawn < 0.95 else text(random)
